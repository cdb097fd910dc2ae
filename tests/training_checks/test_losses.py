"""The rules on the loss."""

import math

import numpy as np
import pytest

from keras_xai.errors import InvalidInput
from keras_xai.training_checks.finding import Finding, Unjudged
from keras_xai.training_checks.losses import LossHistory, loss_not_decreasing, overfit
from keras_xai.training_checks.thresholds import TABLE, THRESHOLDS, checked
from keras_xai.training_records import RULES


def history_of(losses, val_losses=None):
    history = LossHistory()
    for epoch, loss in enumerate(losses):
        history.add(epoch, loss, None if val_losses is None else val_losses[epoch])
    return history


def judged(losses, has_learned=None):
    return loss_not_decreasing(history_of(losses), THRESHOLDS, has_learned)


def test_a_loss_that_never_fell_is_flagged_after_as_many_updates_as_the_threshold_says():
    """Ten updates after the first, and from the update at which it was lowest."""
    assert judged([2.3] * 10) == Unjudged("loss not decreasing", "10 of the 11 updates that it takes")
    finding = judged([2.3] * 11)
    assert (finding.kind, finding.value, finding.since) == ("loss not decreasing", 0, 0)
    assert finding.sentence == "the loss has stood at 2.3 for 10 epochs, from 2.3 at the begin"


def test_a_converged_loss_is_no_flag():
    """A plateau after a fall is what a training ends with, noise on it is not a rise."""
    fall = np.exp(-np.arange(15)) + 0.01
    noise = 0.01 + 0.002 * np.abs(np.sin(np.arange(20)))
    assert judged([*fall, *noise]) is None
    assert judged([*fall, *noise], has_learned=True) is None


def test_a_plateau_at_guessing_is_one():
    """The first epochs learned the shares of the classes, nothing came after them."""
    finding = judged([2.6, 2.31, *[2.303] * 11], has_learned=False)
    assert "no better than guessing" in finding.sentence
    assert judged([2.6, 2.31, *[2.303] * 11], has_learned=True) is None


def test_a_loss_that_rose_again_is_one():
    """From 1.0 down to 0.2, back to 0.6: half of the fall is lost."""
    finding = judged([1.0, 0.4, 0.2, *[0.6] * 10])
    assert finding.since == 2
    assert (
        finding.sentence == "the loss has not fallen for 10 epochs: it was 0.2 at epoch 2 and its median since is 0.6"
    )


def test_a_loss_that_is_not_finite_is_one_at_once():
    """NaN since the first update that has no finite one after it."""
    finding = judged([1.0, math.nan, 0.5, math.nan, math.nan])
    assert (finding.since, finding.sentence) == (3, "the loss is not finite")
    assert judged([math.nan]).since == 0
    assert judged([]) == Unjudged("loss not decreasing", "no loss in the logs")


def test_losses_below_zero_are_judged_by_their_size():
    """A log-likelihood that rises, a loss that falls below zero."""
    assert judged(np.linspace(-1, -20, 30)) is None
    assert judged([-5.0] * 12).kind == "loss not decreasing"


def test_overfitting_names_the_epoch_to_stop_at():
    """val_loss has its lowest at epoch 3, five validations later it is 40 % above it, the loss fell all the while."""
    losses = np.linspace(1, 0.1, 9)
    val_losses = [1.0, 0.6, 0.4, 0.31, 0.36, 0.38, 0.4, 0.42, 0.44]
    finding = overfit(history_of(losses, val_losses), THRESHOLDS)
    assert finding.since == 4
    assert finding.value == pytest.approx((0.36 - 0.31) / 0.31)
    assert finding.sentence == (
        "val_loss has risen for 5 epochs from 0.31 (epoch 3) to 0.44 while loss fell from 0.6625 to 0.1"
    )
    assert finding.advice.startswith("stop at epoch 3")


@pytest.mark.parametrize(
    ("losses", "val_losses"),
    [
        (np.linspace(1, 0.1, 20), np.linspace(1, 0.3, 20)),
        (np.linspace(1, 0.1, 20), [1.0, 0.5, *[0.3, 0.35] * 9]),  # noise: the lowest comes again
        (np.linspace(0.1, 1, 20), np.linspace(0.3, 1, 20)),  # both rise: that is another fault
        (np.linspace(1, 0.1, 20), [1.0, 0.001, *[0.0012] * 18]),  # next to nothing
    ],
)
def test_no_overfitting(losses, val_losses):
    """Falling, noisy, diverging and tiny val_loss."""
    assert overfit(history_of(losses, val_losses), THRESHOLDS) is None


def test_without_validation_it_is_not_judged():
    """No val_loss is not quiet."""
    assert (
        overfit(history_of([1.0] * 20), THRESHOLDS).reason == "no val_loss in the logs: give validation_data to fit()"
    )
    assert overfit(history_of([1.0] * 3, [1.0] * 3), THRESHOLDS).reason == "3 of the 6 validations that it takes"
    assert isinstance(overfit(history_of([1.0] * 9, [math.nan] * 9), THRESHOLDS), Unjudged)


def test_means_since_the_begin_of_an_epoch_become_means_since_the_last_update():
    """Steps of loss 1, 2, 3, 4 in two updates of two steps, then an epoch that begins anew."""
    history = LossHistory("step")
    history.add(2, 1.5, None, ends_epoch=False)
    history.add(4, 2.5, 0.7)
    history.add(6, 5.0, None, ends_epoch=False)
    history.add(6, 5.0, None, ends_epoch=False)  # the same update once more
    assert [(loss.update, loss.loss, loss.val_loss) for loss in history.losses] == [
        (2, 1.5, None),
        (4, 3.5, 0.7),
        (6, 5.0, None),
    ]


def test_thresholds_are_checked_at_construction():
    """Unknown names with what there is, numbers out of their range, what is no number; None switches a rule off alone."""
    assert set(RULES) <= set(TABLE)
    with pytest.raises(
        InvalidInput, match=r"no threshold 'overfitt'. Did you mean 'overfit'.*Known: 'loss not decreasing'"
    ):
        checked({"overfitt": 1})
    for name, value in {
        "overfit": -1,
        "dead units": 1.5,
        "loss updates": 2.5,
        "class imbalance": "10",
        "overfit updates": None,
    }.items():
        with pytest.raises(InvalidInput, match=f"{name!r} is {value!r}, expected"):
            checked({name: value})
    with pytest.raises(InvalidInput, match="thresholds=3: expected a dict"):
        checked(3)
    assert checked({"overfit": None})[1] == {"overfit"}


def test_a_finding_is_a_tuple():
    """It can be unpacked."""
    kind, name, *_ = Finding("overfit", "model", 1.0, 0.1, "it rose", "stop")
    assert (kind, name) == ("overfit", "model")
