"""The examples do what they tell."""

import importlib.util
import re
import runpy
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_xai as kx

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = (
    "ask_a_language_model",
    "ask_a_tagger",
    "catch_a_leaking_column",
    "explain_a_detector",
    "find_a_block_in_volumes",
    "see_where_a_transformer_looks",
    "stop_when_the_model_cheats",
    "watch_a_segmentation",
)


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


@pytest.mark.full
def test_the_tagger_knows_names_by_their_title(tmp_path):
    """Nearly all of the tag's logit comes from the step in front of it."""
    story = example("ask_a_tagger")
    model, run = story.train(tmp_path)
    assert run.mappings[-1].result.accuracy > 0.99
    x, y = story.sentences(8, seed=3)
    over = kx.outputs.tagging(target=story.NAME, over=y == story.NAME)
    values = kx.attribute(model, x, "integrated_gradients", output=over).values
    assert (values.argmax(1) == (x == story.TITLE).argmax(1)).all()


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:ALERT")
def test_the_transformer_looks_into_the_corner(tmp_path):
    """The alarm names a block there, and relevance is largest in its patch."""
    story = example("see_where_a_transformer_looks")
    model, (x, _), run = story.train(tmp_path)
    assert {alert.features[0].name for alert in run.alerts} <= {
        f"block ({row},{column})" for row in (6, 7) for column in (0, 1)
    }
    assert run.alerts[0].verdict == "training-only shortcut"
    marked = x[x[:, 7, 0, 0] == np.float32(story.MARK)][:32]
    for method in ("lrp", "deeplift"):
        values = kx.attribute(model, marked, method, target=1, verbose=False).values
        patches = values.reshape(-1, 4, 2, 4, 2).sum((2, 4)).mean(0)
        assert np.unravel_index(patches.argmax(), (4, 4)) == (3, 0)


@pytest.mark.full
def test_the_next_token_comes_of_the_first_mark(tmp_path):
    """Occlusion says so in nearly every sample, of a model that is always right."""
    story = example("ask_a_language_model")
    model, run = story.train(tmp_path)
    at_mark, right = story.part_at_first_mark(model)
    assert at_mark > 0.95
    assert right > 0.99
    assert run.attributions(run.methods[0])[-1].values.shape[1] == story.LENGTH


@pytest.mark.full
def test_a_box_is_explained_by_the_shape_in_it(tmp_path):
    """Which takes a sixteenth of the image, and most of the attribution."""
    story = example("explain_a_detector")
    model, run = story.train(tmp_path)
    assert min(story.share_on_shape(model, shape) for shape in (story.SQUARE, story.CROSS)) > 0.75
    assert str(run.probe.output).startswith("detection(")


@pytest.mark.filterwarnings("ignore:ALERT")
def test_the_example_in_the_form_of_keras_io_does_what_its_text_says(tmp_path, monkeypatch, capsys):
    """Its head has keras.io's fields; text and code alternate; the model that cheats is named, the mended one is better."""
    path = EXAMPLES / "keras_io_shortcut.py"
    head, *parts = re.findall(r'^"""\n(.*?)^"""$', path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    fields = [line.split(":")[0] for line in head.splitlines()]
    assert fields == ["Title", "Author", "Date created", "Last modified", "Description", "Accelerator"]
    assert len([part for part in parts if part.startswith("## ")]) == 5
    plotly = pytest.importorskip("plotly.graph_objects")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plotly.Figure, "show", lambda figure: None)
    names = runpy.run_path(str(path))
    assert names["alert"].verdict == "training-only shortcut"
    assert {move.name for move in names["alert"].features} == {f"block ({r},{c})" for r in (0, 1) for c in (0, 1)}
    assert not kx.load("logs")["mended"].alerts
    marked, clean = [int(words) for words in re.findall(r"clean pictures (\d+)%", capsys.readouterr().out)]
    assert marked + 10 < clean
    assert names["history"].history["accuracy"][-1] > 0.95
    assert (tmp_path / "report.html").exists()
