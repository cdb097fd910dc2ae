"""When a gradient is called dead, vanishing, exploding or non-finite, on numbers written by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from keras_xai.analysis.gradients import gradient_health
from keras_xai.analysis.overview import summary
from keras_xai.errors import InvalidInput
from keras_xai.gradient_flags import CONDITIONS, THRESHOLDS
from keras_xai.gradients.flags import Flags, sentence
from keras_xai.records import FLAGS, STATISTICS, Flag, Gradients
from tests.run_in_epochs import RunInEpochs

NAMES = ("layer/kernel", "layer/bias", "other/kernel")
SIZES = (100, 10, 50)


def statistics(rms=(1.0, 1.0, 1.0), zeros=(0.0, 0.0, 0.0), nonfinite=(0, 0, 0)):
    found = {name: np.ones(3, np.float32) for name in STATISTICS}
    return found | {
        "rms": np.array(rms, np.float32),
        "zero_fraction": np.array(zeros, np.float32),
        "nonfinite": np.array(nonfinite, np.float32),
    }


def judged(flags, *epochs, start=0, **options):
    """The flags after the last of some epochs."""
    found = ()
    for epoch, values in enumerate(epochs, start):
        found = flags.judge(epoch, NAMES, statistics(**values), SIZES, **options)
    return found


HEALTHY, DEAD = {}, {"rms": (0, 0, 1), "zeros": (1, 1, 0)}
FAINT = {"rms": (1e-9, 1e-9, 1)}


def test_a_healthy_training_has_no_flag():
    """Also where gradients shrink by half each epoch, to a hundred-thousandth."""
    assert judged(Flags(), *({"rms": (2.0**-k,) * 3} for k in range(17))) == ()


@pytest.mark.parametrize(("kind", "values"), [("dead", DEAD), ("vanishing", FAINT)])
def test_three_epochs_running_make_a_flag(kind, values):
    """It names the epoch in which they began, stands while they last and is gone with the first good one."""
    flags = Flags()
    assert judged(flags, HEALTHY, values, values) == ()
    expected = (("layer/kernel", kind, 1), ("layer/bias", kind, 1))
    assert judged(flags, values, start=3) == expected
    assert judged(flags, values, start=4) == expected
    assert judged(flags, HEALTHY, start=5) == ()
    assert judged(flags, values, values, start=6) == ()


def test_dead_is_not_also_vanishing():
    """One name for one thing."""
    assert {kind for _, kind, _ in judged(Flags(), DEAD, DEAD, DEAD)} == {"dead"}


def test_a_bias_alone_does_not_make_its_layer_vanish():
    """In front of a normalisation it has no gradient by nature."""
    bias = {"rms": (1.0, 1e-12, 1.0), "zeros": (0.0, 1.0, 0.0)}
    assert judged(Flags(), bias, bias, bias) == ()


def test_rare_rows_of_a_table_are_not_dead():
    """A batch uses few of many rows; only a table that gets nothing at all is dead."""
    rare, nothing = {"zeros": (0.9999, 0, 0)}, {"rms": (0, 1, 1), "zeros": (1, 0, 0)}
    names, sizes = ("tokens/embeddings", "head/bias", "other/kernel"), (10_000, 10, 50)

    def run(values):
        flags = Flags()
        for epoch in range(3):
            found = flags.judge(epoch, names, statistics(**values), sizes, ("tokens/embeddings",))
        return found

    assert run(rare) == ()
    assert run(nothing) == (("tokens/embeddings", "dead", 0),)


def test_exploding_is_a_hundred_times_the_usual():
    """Measured against the median of the epochs before, which the explosion itself does not move."""
    flags = Flags()
    high = {"rms": (101.0, 1.0, 1.0)}
    assert judged(flags, HEALTHY, HEALTHY, HEALTHY, {"rms": (99.0, 1, 1)}, high, high) == ()
    assert judged(flags, high, start=6) == (("layer/kernel", "exploding", 4),)
    assert judged(flags, *[high] * 10, start=7) == (("layer/kernel", "exploding", 4),)


def test_from_almost_nothing_to_little_is_no_explosion():
    """Rounding errors that grow a thousandfold are still rounding errors."""
    noise = [{"rms": (1e-12, 1, 1)}] * 3 + [{"rms": (1e-9, 1, 1)}] * 3
    assert judged(Flags(), *noise) == ()


def test_non_finite_counts_at_once():
    """One entry, one epoch."""
    broken = {"nonfinite": (0, 1, 0), "rms": (1, np.nan, 1)}
    assert judged(Flags(), HEALTHY, broken) == (("layer/bias", "non-finite", 1),)


def test_epochs_without_figures_change_nothing():
    """NaN throughout: neither the begin nor the end of a run."""
    nothing = {"rms": (np.nan,) * 3, "zeros": (np.nan,) * 3, "nonfinite": (np.nan,) * 3}
    assert judged(Flags(), DEAD, DEAD, nothing, DEAD) == (("layer/kernel", "dead", 0), ("layer/bias", "dead", 0))


def test_thresholds_can_be_set():
    """Each by its flag's name, and the number of epochs."""
    assert judged(Flags({"vanishing": 0.5, "epochs": 1}), {"rms": (0.4, 0.4, 1)}) == (
        ("layer/kernel", "vanishing", 0),
        ("layer/bias", "vanishing", 0),
    )
    assert judged(Flags({"non-finite": 5}), {"nonfinite": (5, 6, 0)}) == (("layer/bias", "non-finite", 0),)
    assert set(THRESHOLDS) == {*FLAGS, "epochs"}


def test_replay_equals_having_been_there():
    """A continued run judges on as an unbroken one would."""
    story = [HEALTHY, HEALTHY, HEALTHY, DEAD, DEAD]
    unbroken, resumed = Flags(), Flags()
    judged(unbroken, *story)
    past = [Gradients(e, NAMES, statistics(**v), np.zeros((3, 0)), np.zeros(0), 3) for e, v in enumerate(story)]
    resumed.replay(past, dict(zip(NAMES, SIZES, strict=True)))
    assert judged(resumed, DEAD, start=5) == judged(unbroken, DEAD, start=5) != ()


@pytest.mark.parametrize(
    ("thresholds", "match"),
    [
        ({"vanishing": -1e-7}, "'vanishing' is -1e-07, expected a number, 0 or more"),
        ({"dead": float("nan")}, "'dead' is nan"),
        ({"dead": 1.5}, "at most 1"),
        ({"exploding": "much"}, "'exploding' is 'much'"),
        ({"epochs": 0}, "'epochs' is 0"),
        ({"epochs": 1.5}, "'epochs' is 1.5"),
        ({"vanish": 1}, "no threshold 'vanish'. Did you mean 'vanishing'"),
        (3, "expected a dict"),
    ],
)
def test_thresholds_that_cannot_be(thresholds, match):
    """With what came and what is expected."""
    with pytest.raises(InvalidInput, match=match):
        Flags(thresholds)


def test_sentence_says_every_flag_in_words():
    """With names, epochs and the threshold that was crossed."""
    text = sentence([Flag(f"layer{k}/kernel", kind, k) for k, kind in enumerate(FLAGS)], THRESHOLDS)
    for k, kind in enumerate(FLAGS):
        assert f"layer{k}/kernel (since epoch {k}): {kind}" in text
    assert "1e-07" in text
    assert sentence([Flag(f"l{k}", "dead", 2) for k in range(9)], THRESHOLDS).count("since epoch") == 3


def test_older_files_keep_their_columns():
    """`records.FLAGS` numbers the columns of a file: a new kind stands at its end."""
    assert FLAGS[:4] == ("dead", "vanishing", "exploding", "non-finite")


ALWAYS = {"rms": (1e30, 1e30, 1e30), "zeros": (1, 1, 1), "nonfinite": (9, 9, 9)}


@pytest.mark.parametrize("kind", FLAGS)
def test_a_flag_can_be_switched_off(kind):
    """By None: nothing raises it, and the others stand as before."""
    stories = (DEAD, FAINT, ALWAYS)
    for values in stories:
        on, off = Flags(), Flags({kind: None})
        story = [HEALTHY] * 3 + [values] * 3
        assert judged(off, *story) == tuple(flag for flag in judged(on, *story) if flag.kind != kind)
    assert np.isfinite(list(off.thresholds.values())).all()
    with pytest.raises(InvalidInput, match="'epochs' is None"):
        Flags({"epochs": None})


@pytest.mark.parametrize("kind", FLAGS)
def test_every_kind_has_words_of_its_own(kind):
    """In the warning, the overview and the view of weight gradients, with the numbers filled in."""
    condition, threshold = CONDITIONS[kind], THRESHOLDS[kind]
    flag = Flag("layer/kernel", kind, 7)
    empty = np.zeros((1, 0), np.float32)
    values = {name: np.ones(1, np.float32) for name in STATISTICS}
    record = Gradients(9, ("layer/kernel",), values, empty, np.zeros(0, np.float32), 3, flags=(flag,))
    run = RunInEpochs(
        epochs=[9], weight_gradients=[record], alerts=[], stops=[], history=[], methods=(), mappings=[], slices=[], probe=None,
        importance=None, importance_live=None, data_score=None,
    )  # fmt: skip
    assert sentence([flag], THRESHOLDS).startswith(f"layer/kernel (since epoch 7): {kind}, ")
    assert f"1 of 1 variable {condition.verb}:" in summary(run).sentence
    health = gradient_health(run)
    assert health.startswith(f"1 of 1 variables {kind}. layer/kernel ")
    assert "since epoch 7" in health
    assert "{" not in health
    calm = replace(record, flags=())
    told = gradient_health(RunInEpochs(weight_gradients=[calm]))
    assert (f" {kind.capitalize()}: " in told) == bool(condition.rule)
    for words in ("warning", "verb", "reason"):
        texts = [getattr(other, words) for other in CONDITIONS.values()]
        assert all(texts)
        assert len(set(texts)) == len(texts)
    off = replace(calm, thresholds={**THRESHOLDS, kind: condition.off})
    assert f" {kind.capitalize()}: " not in gradient_health(RunInEpochs(weight_gradients=[off]))
    assert condition.off != threshold
