"""The rules on inputs and classes."""

import keras
import numpy as np
import pytest

from keras_xai.probe import Probe
from keras_xai.training_checks.classes import class_imbalance, has_learned, neglected_class
from keras_xai.training_checks.finding import Unjudged
from keras_xai.training_checks.inputs import unscaled_input
from keras_xai.training_checks.thresholds import THRESHOLDS

IMAGES = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3)).astype("float32")
TABLE = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")


def model_of(shape, *layers):
    return keras.Sequential([keras.Input(shape), *layers, keras.layers.Flatten(), keras.layers.Dense(2)])


@pytest.mark.every_backend
def test_images_in_0_to_255_are_flagged_unless_the_model_scales_them():
    """0 to 1, -1 to 1 and standardised ones are not."""
    plain = model_of((8, 8, 3))
    finding = unscaled_input(Probe(IMAGES, kind="image"), plain, THRESHOLDS)
    assert finding.value == pytest.approx(np.sqrt((IMAGES**2).mean()), rel=1e-5)
    assert finding.sentence.startswith("values lie between 0 and 255, root mean square 15")
    assert finding.advice.endswith("keras.layers.Rescaling(1 / 255) first in the model")
    for scaled in (IMAGES / 255, IMAGES / 127.5 - 1, (IMAGES - 127) / 73):
        assert unscaled_input(Probe(scaled, kind="image"), plain, THRESHOLDS) is None
    for layer in (keras.layers.Rescaling(1 / 255), keras.layers.BatchNormalization()):
        assert unscaled_input(Probe(IMAGES, kind="image"), model_of((8, 8, 3), layer), THRESHOLDS) is None
    late = model_of((8, 8, 3), keras.layers.Conv2D(2, 3), keras.layers.BatchNormalization())
    assert unscaled_input(Probe(IMAGES, kind="image"), late, THRESHOLDS) is not None


def test_columns_of_other_scales_are_flagged():
    """A large column, and one that is a thousandth of the others; whole numbers of few values are categories."""
    names, model = ["age", "income", "flag"], model_of((3,))
    finding = unscaled_input(Probe(TABLE * [1, 5000, 1], feature_names=names), model, THRESHOLDS)
    assert (finding.name, finding.limit) == ("income", 100)
    finding = unscaled_input(Probe((TABLE * [1, 50, 1e-3]).astype("float32"), feature_names=names), model, THRESHOLDS)
    assert "income is" in finding.sentence
    assert "times as large as flag" in finding.sentence
    assert unscaled_input(Probe(TABLE, feature_names=names), model, THRESHOLDS) is None
    codes = Probe({"city": (np.arange(32) % 9) * 1000, "age": TABLE[:, 0]}, kind="table")
    assert unscaled_input(codes, model, THRESHOLDS) is None
    assert unscaled_input(Probe(np.ones((4, 5), int), kind="tokens"), model, THRESHOLDS) is None


def test_a_rare_class_is_flagged_with_its_numbers():
    """Ten times fewer is not yet, more is; a single class is not judged."""
    assert class_imbalance(np.repeat([0, 1], [100, 10]), THRESHOLDS, None, "training rows") is None
    finding = class_imbalance(np.repeat([0, 1], [1100, 10]), THRESHOLDS, ("healthy", "ill"), "training rows")
    assert (finding.name, finding.value) == ("ill", 110)
    assert finding.sentence == "class healthy has 1,100 of the training rows, class ill has 10, 110 times fewer"
    assert isinstance(class_imbalance(np.zeros(9, int), THRESHOLDS, None, ""), Unjudged)
    gap = class_imbalance(np.repeat([0, 5], [200, 10]), THRESHOLDS, None, "training rows")
    assert gap.name == "5", "classes without a row are not counted"


def test_a_class_that_is_predicted_wrongly_while_others_are_not():
    """Eight rows of a class or more, 70 % of them wrong, less than half of the others."""
    classes = np.repeat([0, 1, 2], 10)
    right = np.repeat([1, 1, 0], 10).astype(bool)
    assert neglected_class(right, classes, THRESHOLDS, None).name == "2"
    assert neglected_class(right, np.roll(classes, 4), THRESHOLDS, None) is None
    assert neglected_class(~right, classes, THRESHOLDS, None) is None, "the model has not learned the others either"
    assert isinstance(neglected_class(right[:12], np.repeat([0, 1], [9, 3]), THRESHOLDS, None), Unjudged)


def test_guessing_is_told_from_learning():
    """A constant prediction has a mean recall of 1 / K, whatever the shares of the classes."""
    classes = np.repeat([0, 1], [54, 10])
    assert not has_learned(classes == 0, classes)
    assert has_learned(np.ones(64, bool), classes)
    tens = np.arange(60) % 10
    assert not has_learned(tens == 3, tens)
    random = np.random.default_rng(0)
    guesses = [has_learned(random.integers(0, 10, 60) == tens, tens) for _ in range(500)]
    assert np.mean(guesses) < 0.05
