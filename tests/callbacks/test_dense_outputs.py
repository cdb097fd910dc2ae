"""`Explain` watches a model with a dense output in one line: every callback of it, and what is written is read back."""

import keras
import numpy as np
import pytest
import scipy.special

import keras_xai as kx
from tests.attribution.dense_models import blobs, sentences, tagger, unet

pytestmark = pytest.mark.filterwarnings("ignore:The probe has")
SPEC = kx.outputs.segmentation()


def watched(directory, model, probe, live, **options):
    """The run of two epochs, read back."""
    watch = kx.Explain(directory, probe, live=live, mappings=True, method="saliency", on_error="raise", **options)
    history = model.fit(*live, epochs=2, batch_size=16, verbose=0, callbacks=[watch]).history
    return kx.load(directory)["."], history


def is_watched(tmp_path):
    """Importance, gallery, mappings, slices and the reliance gap; accuracy is what Keras measures, pixel by pixel."""
    keras.utils.set_random_seed(0)
    model = unet(activation=None, channels=1)  # behind a softmax of maps PyTorch 2.13 has no gradient on a CPU
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    x, y = blobs(56)
    probe = kx.Probe(x[:24], y[:24], output=SPEC, slices={"half": np.arange(24) % 2})
    run, history = watched(tmp_path, model, probe, (x[24:], y[24:]))
    accuracy = model.evaluate(x[:24], y[:24], verbose=0)[1]
    result = run.mappings[-1].result
    assert (run.probe.output, result.unit, result.answer) == ("segmentation()", "pixel", "class")
    np.testing.assert_allclose([result.accuracy, run.slices[-1].overall_accuracy], accuracy, rtol=1e-5)
    prediction = scipy.special.softmax(model.predict(x[:24], verbose=0).astype(np.float64), -1)
    right = prediction.argmax(-1) == y[:24]
    np.testing.assert_allclose(result.right, right.mean((1, 2)), rtol=1e-5)
    truth = np.take_along_axis(prediction, y[:24, ..., None], -1)[..., 0]
    np.testing.assert_allclose(result.confidence, truth.mean((1, 2)), rtol=1e-4)
    np.testing.assert_allclose(result.certainty, prediction.max(-1).mean((1, 2)), rtol=1e-4)
    np.testing.assert_allclose(run.slices[-1].accuracy, [right[::2].mean(), right[1::2].mean()], rtol=1e-5)
    counts = run.predictions.records[-1].counts
    pairs, times = np.unique(np.stack([y[:24].ravel(), prediction.argmax(-1).ravel()], 1), axis=0, return_counts=True)
    np.testing.assert_array_equal(counts.cells[:, 1:], np.column_stack([pairs, times]))
    np.testing.assert_allclose(run.predictions.accuracy[-1], accuracy, rtol=1e-5)
    np.testing.assert_allclose(run.predictions.right[-1], right.mean((1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(run.predictions.updates, [0, 1])
    foreground = np.where(y[:24].any((1, 2)), y[:24].max((1, 2)), 0)
    np.testing.assert_array_equal(result.label, foreground)
    np.testing.assert_array_equal(run.outputs("saliency").target[-1], run.probe.classes)
    assert run.reliance[-1].blind == ""
    assert np.isfinite(history["xai_gap"]).all()
    assert run.importance.epochs.tolist() == [0, 1]


def test_a_unet_is_watched_in_one_line(tmp_path):
    """By every callback of `Explain`."""
    is_watched(tmp_path)


@pytest.mark.full  # JAX compiles for a quarter of a minute
@pytest.mark.every_backend
def test_a_unet_is_watched_on_every_backend(tmp_path):
    """The same."""
    is_watched(tmp_path)


def test_tags_are_counted_where_the_model_does_not_mask(tmp_path):
    """As Keras' own metric does."""
    keras.utils.set_random_seed(0)
    model, x = tagger(), sentences(48)
    y = np.where(x > 0, 1 + x % 2, 0)
    model.compile("adam", "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    probe = kx.Probe(x[:16], y[:16], kind="tokens", output=kx.outputs.tagging())
    model.fit(x[16:], y[16:], verbose=0, callbacks=[kx.ProbeMappings(tmp_path, probe, on_error="raise")])
    result = kx.load(tmp_path)["."].mappings[-1].result
    assert result.unit == "token"
    inside = x[:16] > 0
    right = model.predict(x[:16], verbose=0).argmax(-1) == y[:16]
    np.testing.assert_allclose(result.accuracy, right[inside].mean(), rtol=1e-5)
    counts = kx.load(tmp_path)["."].predictions.records[-1].counts
    assert (counts.total, counts.certainty_bins[:, 2].sum()) == (inside.sum(), right[inside].sum())


def test_without_a_description_fit_says_which_line_is_missing(tmp_path):
    """Before the first step."""
    model = unet(channels=1)
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = blobs(24)
    with pytest.raises(kx.InvalidInput, match=r"output=kx.outputs.segmentation\(target=…\)"):
        model.fit(x, y, verbose=0, callbacks=[kx.Explain(tmp_path, (x, y))])
