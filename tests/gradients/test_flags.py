"""When a gradient is called dead, vanishing, exploding or non-finite, on numbers written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from keras_xai.errors import InvalidInput
from keras_xai.gradients.flags import CONDITIONS, THRESHOLDS, Flags, sentence
from keras_xai.records import FLAGS, STATISTICS, Flag, Gradients

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


def test_every_kind_that_a_file_can_hold_has_a_condition():
    """`records.FLAGS` numbers the columns of a file: a new kind stands at its end."""
    assert tuple(CONDITIONS) == FLAGS
