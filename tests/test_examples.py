"""The examples do what they tell."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = ("catch_a_leaking_column", "find_a_block_in_volumes", "stop_when_the_model_cheats", "watch_a_segmentation")


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_a_story_of_one_page(name):
    """Under 80 lines."""
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < 80


def test_the_leaking_column_is_caught(tmp_path):
    """At its epoch, by name, as a change of the data, with no alarm before."""
    story = example("catch_a_leaking_column")
    run = story.train(tmp_path, on_drift=lambda alert: None)
    alert = run.alerts[0]
    assert story.REPAIRED <= alert.epoch <= story.REPAIRED + 1
    assert (alert.features[0].name, alert.verdict) == ("refund", "data changed")


@pytest.mark.filterwarnings("ignore:ALERT")
def test_the_cheating_model_is_stopped_and_its_last_honest_weights_kept(tmp_path):
    """Stopped at the alarm; the weights that are kept are those of the epoch before it."""
    story, weights_at = example("stop_when_the_model_cheats"), {}

    class Remember(keras.callbacks.EarlyStopping):
        def on_epoch_end(self, epoch, logs=None):
            weights_at[epoch] = self.model.get_weights()
            super().on_epoch_end(epoch, logs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.callbacks, "EarlyStopping", Remember)
        model, history = story.train(str(tmp_path))
    assert story.STAMPED <= history.epoch[-1] <= story.STAMPED + 1
    for a, b in zip(model.get_weights(), weights_at[history.epoch[-2]], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.full  # ten seconds; docs/volumes.md tells a shorter story
def test_the_block_in_the_volumes_is_found(tmp_path):
    """By the name of its cell, and nothing else is."""
    story = example("find_a_block_in_volumes")
    run = story.train(tmp_path, on_drift=lambda alert: None)
    assert [alert.features[0].name for alert in run.alerts] == ["depth 6 row 1 column 1"]
    assert run.attribution("saliency", run.epochs[-1]).values.shape == (12, 16, 16, 16)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:ALERT")
def test_the_marks_beside_the_lesions_are_found(tmp_path):
    """As a shortcut of the training rows, by the blocks of the upper edge."""
    run = example("watch_a_segmentation").train(tmp_path, epochs=5)
    alert = run.alerts[0]
    assert (alert.source, alert.verdict) == ("gap", "training-only shortcut")
    assert all(feature.name.startswith("block (0,") for feature in alert.features)
    assert (run.probe.output, run.mappings[-1].result.unit) == ("segmentation(target=1)", "pixel")
