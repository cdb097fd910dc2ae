"""When something is said, and in which words."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from keras_xai.mapping.flags import Flags, HeldOutGap, held_out_gap, training_gap

NAN = float("nan")


@pytest.fixture
def judged(mappings):
    """`judged(flags, epoch, r2=..., held_out=..., gap=..., **features)` -> record with flags and notes."""

    def judge(flags, epoch, *, r2=0.9, held_out=0.9, gap=NAN, rows=200, apart=None, **figures):
        record = mappings(epoch)
        quiet = {"dead": [0, 0, NAN], "spread": [0.5, 0.5, 0.5], "cka_previous": [0.9, 0.9, 0.9], "mean": [0, 0, 0]}
        features = dataclasses.replace(
            record.features, **{name: np.array(values, np.float32) for name, values in (quiet | figures).items()}
        )
        result = dataclasses.replace(record.result, held_out=np.ones(rows, bool), held_out_accuracy=held_out)
        raised, notes = flags.judge(epoch, features, result, r2, gap, apart)
        return dataclasses.replace(record, features=features, result=result, flags=raised, notes=notes)

    return judge


def test_only_the_first_dead_layer_is_flagged(judged):
    """All units zero, or the same for every sample; what comes behind it can do nothing about it."""
    flags = Flags()
    assert judged(flags, 0).flags == ()
    record = judged(flags, 1, dead=[0, 1, NAN], spread=[0.5, 0, 0])
    assert record.flags == (("head/hidden", "dead layer", 1),)
    words = flags.sentence(record.flags, record)
    assert words == "head/hidden is dead since epoch 1: 100 % of its units give zero on the probe"
    record = judged(flags, 2, spread=[0.5, 0.5, 1e-9])
    assert record.flags == (("logits", "dead layer", 2),)
    assert "the same for every sample" in flags.sentence(record.flags, record)


def test_memorising_needs_both_signs(judged):
    """R² 0.10 under its best, and held-out accuracy two standard errors under its own."""
    flags = Flags()
    for epoch, (r2, accuracy) in enumerate([(0.98, 0.9), (0.70, 0.9), (0.97, 0.8), (0.70, 0.87)]):
        assert judged(flags, epoch, r2=r2, held_out=accuracy).flags == (), epoch
    # 200 rows at 0.9: two standard errors are 0.043
    record = judged(flags, 4, r2=0.70, held_out=0.85)
    assert record.flags == (("model", "memorising", 4),)
    assert judged(flags, 5, r2=0.70, held_out=0.85).flags == (("model", "memorising", 4),)
    record = dataclasses.replace(record, decision=mapped(record, 0.70))
    words = flags.sentence(record.flags, record)
    assert "explained 0.98" in words
    assert "explains 0.70" in words
    assert "from 90.0% to 85.0%" in words


def mapped(record, r2):
    linear = dataclasses.replace(record.decision.surrogates["linear"], r2=r2)
    return dataclasses.replace(record.decision, surrogates={"linear": linear})


def test_a_gap_to_held_out_rows_is_memorising_and_noise_does_not_lower_it(judged):
    """Labels that are all random: right of 100 % of the training rows and of a coin toss elsewhere, whatever R² does. The flag
    stands while half of the gap is there, and two calm records are no end of it."""
    flags, stood = Flags(), []
    story = [0.1, 0.24, 0.5, 0.15, 0.05, 0.05, 0.13, 0.05, 0.05, 0.05, 0.05]
    for epoch, gap in enumerate(story):
        record = judged(flags, epoch, apart=HeldOutGap(0.5 + gap, 0.5, "the validation rows"))
        stood.append(record.flags)
        if epoch == 2:
            words = flags.sentence(record.flags, record)
            assert words.endswith("it is right on 100.0% of the training rows and on 50.0% of the validation rows")
    assert stood == [()] * 2 + [(("model", "memorising", 2),)] * 7 + [()] * 2


def test_held_out_rows_are_those_that_are_known_best(mappings):
    """The rows that `held_out` names, else the validation metric, else a labelled probe; nothing without a training metric."""
    result = mappings(0).result
    logs = {"loss": 1.0, "accuracy": 1.0, "val_accuracy": 0.6}
    assert held_out_gap(logs, result)[:2] == (1.0, result.held_out_accuracy)
    unnamed = dataclasses.replace(result, held_out=None, held_out_accuracy=NAN)
    assert held_out_gap(logs, unnamed)[:2] == (1.0, 0.6)
    assert held_out_gap({"accuracy": 1.0}, unnamed)[:2] == (1.0, result.accuracy)
    assert held_out_gap({"loss": 1.0, "val_accuracy": 0.6}, result) is None


def test_without_held_out_rows_nothing_is_called_memorising(judged):
    """Nothing is known of rows that were not trained on."""
    flags = Flags()
    for epoch, r2 in enumerate([0.98, 0.2]):
        assert judged(flags, epoch, r2=r2, held_out=NAN).flags == ()


def test_a_perfect_score_of_few_rows_is_no_certainty(judged):
    """One miss of ten after ten hits of ten is no memorising."""
    flags = Flags()
    judged(flags, 0, r2=0.98, held_out=1.0, rows=10)
    assert judged(flags, 1, r2=0.5, held_out=0.9, rows=10).flags == ()
    assert judged(flags, 2, r2=0.5, held_out=0.5, rows=10).flags == (("model", "memorising", 2),)


def test_values_that_are_not_finite(judged):
    """The first layer that has them."""
    flags = Flags()
    record = judged(flags, 0, mean=[0, np.nan, np.inf], spread=[0.5, NAN, NAN])
    assert record.flags == (("head/hidden", "non-finite", 0),)
    assert "NaN or infinite" in flags.sentence(record.flags, record)


def test_the_inference_gap(judged, mappings):
    """The training metric against the rows that were trained on."""
    flags = Flags()
    assert judged(flags, 0, gap=0.2).flags == ()
    record = judged(flags, 1, gap=0.6)
    assert record.flags == (("model", "inference gap", 1),)
    assert "batch normalisation" in flags.sentence(record.flags, record)
    result = mappings(0).result
    trained = ~result.held_out
    expected = 0.98 - result.correct[trained].mean()
    assert training_gap({"loss": 1.0, "val_accuracy": 0.5, "accuracy": 0.98}, result) == pytest.approx(expected)
    assert np.isnan(training_gap({"loss": 1.0}, result))


def test_notes_are_no_flags(judged):
    """More than half of the units dead; three records that hardly differ."""
    flags = Flags()
    assert judged(flags, 0, dead=[0.6, 0, NAN]).notes == (("stem/conv", "part-dead", 0),)
    for epoch in (1, 2):
        assert judged(flags, epoch, cka_previous=[0.9, 0.999, NAN]).notes == ()
    record = judged(flags, 3, cka_previous=[0.9, 0.999, NAN])
    assert record.notes == (("head/hidden", "stable", 1),)
    assert record.flags == ()
    assert judged(flags, 4, cka_previous=[0.9, 0.99, NAN]).notes == ()


def test_a_continued_run_goes_on_where_it_was(judged):
    """Replayed records give the same flags as if nothing had been interrupted."""
    whole, first = Flags(), Flags()
    story = [(0.98, 0.9), (0.9, 0.9), (0.7, 0.8), (0.7, 0.8)]
    records = [judged(whole, e, r2=r2, held_out=a, cka_previous=[0.999, 0.9, 0.9]) for e, (r2, a) in enumerate(story)]
    past = [
        dataclasses.replace(record, decision=mapped(record, r2))
        for record, (r2, _) in zip(records[:3], story, strict=False)
    ]
    first.replay(past)
    again = judged(first, 3, r2=0.7, held_out=0.8, cka_previous=[0.999, 0.9, 0.9])
    assert again.flags == records[3].flags == (("model", "memorising", 2),)
    assert again.notes == records[3].notes == (("stem/conv", "stable", 0),)
