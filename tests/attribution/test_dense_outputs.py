"""A dense output is explained as its definition says: the mean over a fixed region of one class's logit."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution.metrics import deletion, insertion, randomisation

from .dense_models import blobs, decoder, detector, sentences, tagger, unet

outputs = kx.outputs
FEW = {"kernel_shap": {"n_samples": 40}, "lime": {"n_samples": 40}, "smoothgrad": {"n_samples": 3}}


@pytest.fixture(scope="module")
def segmenter():
    keras.utils.set_random_seed(0)
    model = unet(channels=1)
    return model, *blobs(6)


def logits_of(model):
    """The same model without the softmax of its last layer, which shares the weights."""
    head = model.layers[-1]
    hidden = keras.Model(model.input, head.input)
    return lambda x: keras.ops.conv(hidden(x), head.kernel, padding="valid") + head.bias


def by_hand(model, regions, target):
    """The score of a callable: masked means of the logits, of samples in the order of `regions` alone."""
    logits = logits_of(model)
    weights = (regions / regions.sum((1, 2), keepdims=True)).astype(np.float32)

    def scores(_, x):
        copies = x.shape[0] // len(weights)
        mask = keras.ops.convert_to_tensor(np.tile(weights, (copies, 1, 1))[..., None])
        return keras.ops.sum(logits(x) * mask, axis=(1, 2))

    return {"output": scores, "target": target}


MASK = np.zeros((8, 8), bool)
MASK[2:5, 1:7] = True
METHODS_OF_PIXELS = ("saliency", "integrated_gradients", "occlusion", "deeplift", "kernel_shap", "smoothgrad")
CELLS = [(method, over) for method in METHODS_OF_PIXELS for over in ("label", "predicted", "mask")]
QUICK = [("saliency", "label"), ("integrated_gradients", "mask"), ("occlusion", "predicted")]


def is_the_masked_mean(segmenter, method, over):
    """Against the same model whose logits a callable averages; by labels, by predictions, in a mask."""
    model, x, y = segmenter
    spec = outputs.segmentation(1, MASK if over == "mask" else over)
    if over == "label":
        region = y == 1
    else:
        region = model.predict(x, verbose=0).argmax(-1) == 1 if over == "predicted" else np.broadcast_to(MASK, y.shape)
    region = np.where(region.any((1, 2), keepdims=True), region, True)
    options = FEW.get(method, {})
    how = {} if over == "label" else {"output": spec}
    a = kx.attribute(model, kx.Probe(x, y, output=spec) if over == "label" else x, method, **how, **options)
    b = kx.attribute(model, x, method, **by_hand(model, region, 1), **options)
    np.testing.assert_allclose(a.values, b.values, atol=2e-6)
    np.testing.assert_allclose(a.score, b.score, rtol=1e-4, atol=1e-6)
    assert (a.space, a.task, a.link, a.target.tolist()) == ("logit", "classes", "softmax", [1] * 6)


@pytest.mark.parametrize(("method", "over"), QUICK)
def test_a_segmentation_is_the_masked_mean_of_logits(segmenter, method, over):
    """Some methods and regions, so that each region is there."""
    is_the_masked_mean(segmenter, method, over)


@pytest.mark.full
@pytest.mark.parametrize(("method", "over"), CELLS)
def test_whatever_the_method_is(segmenter, method, over):
    """Each over each region."""
    is_the_masked_mean(segmenter, method, over)


@pytest.mark.every_backend
def test_a_layer_of_one_pixel_has_a_closed_form():
    """Of a linear map of each pixel the slope is the weight over the region's size, inside; zero outside."""
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 1, use_bias=False)])
    model.set_weights([np.array([3.0, -5.0], np.float32).reshape(1, 1, 1, 2)])
    x = np.arange(32, dtype=np.float32).reshape(2, 4, 4, 1) + 1
    mask = np.tri(4) > 0
    for method, expected in (("saliency", np.ones_like(x)), ("deeplift", x)):
        a = kx.attribute(model, x, method, output=outputs.segmentation(1, mask))
        np.testing.assert_allclose(a.values, -5 * expected * mask[..., None] / 10, rtol=1e-5)
        np.testing.assert_allclose(a.score, (-5 * x[..., 0] * mask).sum((1, 2)) / 10, rtol=1e-5)


def test_the_head_is_no_layer_of_a_cam(segmenter):
    """What it holds is the answer itself; the map is of the layer before, and explains the logit."""
    model, x, _ = segmenter
    spec = outputs.segmentation(1, "predicted")
    cam = kx.attribute(model, x, "grad_cam", output=spec)
    named = kx.attribute(model, x, "grad_cam", output=spec, layer=model.layers[-2].name)
    np.testing.assert_array_equal(cam.values, named.values)
    np.testing.assert_allclose(cam.score, kx.attribute(model, x, "saliency", output=spec).score, rtol=1e-5)


def test_one_channel_says_class_1_or_not():
    """Its logit; class 0 by the negative, over the pixels of class 0."""
    keras.utils.set_random_seed(0)
    model = unet(1, "sigmoid", channels=1)
    x, y = blobs(4)
    y = np.minimum(y, 1)[..., None]
    a, b = (kx.attribute(model, kx.Probe(x, y, output=outputs.segmentation(c)), "saliency") for c in (1, 0))
    assert (a.task, a.space) == ("binary", "logit")
    p = model.predict(x, verbose=0)[..., 0].astype(np.float64)
    logit = np.log(p / (1 - p))
    inside = np.where(y[..., 0].any((1, 2), keepdims=True), y[..., 0] == 1, True)
    np.testing.assert_allclose(a.score, (logit * inside).sum((1, 2)) / inside.sum((1, 2)), rtol=1e-4, atol=1e-6)
    outside = y[..., 0] == 0
    np.testing.assert_allclose(b.score, -(logit * outside).sum((1, 2)) / outside.sum((1, 2)), rtol=1e-4, atol=1e-6)


def test_a_token_that_comes_next():
    """The logit at a step, by label, by number, by prediction; what comes after it says nothing."""
    keras.utils.set_random_seed(0)
    model, x = decoder(), sentences(5)
    logits, rows = model.predict(x, verbose=0), np.arange(5)
    last = (x > 0).sum(1) - 1
    y = np.roll(x, -1, 1)
    a = kx.attribute(model, x, "saliency", output=outputs.next_token(padding=0))
    np.testing.assert_array_equal(a.target, logits[rows, last].argmax(1))
    np.testing.assert_allclose(a.score, logits[rows, last].max(1), rtol=1e-5)
    a = kx.attribute(model, x, "integrated_gradients", output=outputs.next_token(4, step=2))
    np.testing.assert_allclose(a.score, logits[:, 2, 4], rtol=1e-5)
    assert (a.values[:, 3:] == 0).all()
    assert (a.values[:, :3] != 0).all()
    a = kx.attribute(model, kx.Probe(x, y, kind="tokens", output=outputs.next_token(step=1)), "occlusion")
    np.testing.assert_allclose(a.score, logits[rows, 1, y[:, 1]], rtol=1e-5)


def test_steps_that_the_model_masks_do_not_count():
    """Neither for a default tag, nor in a region, nor as the last step."""
    keras.utils.set_random_seed(0)
    model, x = tagger(), sentences(5)
    y = np.where(x > 0, 1 + x % 2, 0)
    lengths = (x > 0).sum(1)
    probe = kx.Probe(x, y, kind="tokens", output=outputs.tagging())
    a = kx.attribute(model, probe, "saliency")
    commonest = [np.bincount(row[:n]).argmax() for row, n in zip(y, lengths, strict=True)]
    assert a.target.tolist() == commonest
    logit = np.log(model.predict(x, verbose=0).astype(np.float64))
    a = kx.attribute(model, x, "saliency", output=outputs.tagging(0, step=-1))
    b = kx.attribute(model, x, "saliency", output=outputs.tagging(1, step=-1))
    at = np.arange(5), lengths - 1
    np.testing.assert_allclose(a.score - b.score, (logit[..., 0] - logit[..., 1])[at], atol=1e-5)


def test_a_class_at_a_box():
    """Of a dict of heads the scores are told by their name; a box over a quarter is explained by that quarter."""
    keras.utils.set_random_seed(0)
    model, x = detector(), np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)
    p = model.predict(x, verbose=0)["classes"].astype(np.float64)
    logit = np.log(p / (1 - p))
    a = kx.attribute(model, x, "saliency", output=outputs.detection(target=1, box=3))
    np.testing.assert_allclose(a.score, logit[:, 3, 1], rtol=1e-4, atol=1e-6)
    assert (a.values[:, 4:, 4:] != 0).all()
    assert (a.values[:, :4] == 0).all()
    best = kx.attribute(model, x, "saliency", output=outputs.detection(target=2))
    np.testing.assert_allclose(best.score, logit[..., 2].max(1), rtol=1e-4, atol=1e-6)
    any_class = kx.attribute(model, x, "saliency", output=outputs.detection())
    np.testing.assert_allclose(any_class.score, logit.max((1, 2)), rtol=1e-4, atol=1e-6)


def test_a_box_by_its_coordinates():
    """The one of the model's that overlaps it most; columns of one tensor are named by slices."""
    inputs = keras.Input((2, 3))
    model = keras.Model(inputs, keras.layers.Dense(6, use_bias=False)(inputs))
    model.set_weights([np.array([[0, 0, 1, 1, 2, 3], [2, 2, 2, 2, 5, 7], [0, 0, 0, 0, 0, 0]], np.float32)])
    x = np.eye(2, 3, dtype=np.float32)[None]  # the first box is (0, 0, 1, 1), the second of no area
    how = {"boxes": slice(0, 4), "classes": slice(4, None), "target": 1}
    a = kx.attribute(model, x, "saliency", output=outputs.detection(box=[0, 0, 0.9, 1.0], **how))
    assert a.score.tolist() == [3.0]
    assert a.values[0].tolist() == [[3.0, 7.0, 0.0], [0.0, 0.0, 0.0]]
    with pytest.raises(kx.InvalidInput, match="No box of the model overlaps"):
        kx.attribute(model, x, "saliency", output=outputs.detection(box=[5.0, 5, 6, 6], **how))


MISSING = {
    "a map of classes": (lambda: unet(channels=1), blobs(2)[0], r"output=kx.outputs.segmentation\(target=…\)"),
    "tags": (tagger, sentences(2), r"kx.outputs.tagging\(target=…\).*kx.outputs.next_token"),
    "boxes": (detector, blobs(2)[0], r"one of 'boxes', 'classes'.*output=kx.outputs.detection\(target=…\)"),
}


@pytest.mark.parametrize("name", MISSING)
def test_without_a_description_the_line_to_write_is_named(name):
    """By what the output looks like."""
    make, x, words = MISSING[name]
    with pytest.raises(kx.InvalidInput, match=words):
        kx.attribute(make(), x, "saliency")


def test_what_does_not_fit_the_model_is_refused(segmenter):
    """With what came, what is expected, and what to do."""
    model, x, y = segmenter
    refused = {
        "over='label' needs labels": {"output": outputs.segmentation(over="label")},
        "class 3, the output has 3": {"output": outputs.segmentation(3)},
        r"mask of shape \(4, 4\): expected \(8, 8\)": {"output": outputs.segmentation(over=np.ones((4, 4)))},
        "no output 'masks'": {"output": outputs.segmentation(output="masks")},
        "axis=7": {"output": outputs.segmentation(axis=7)},
    }
    for words, how in refused.items():
        with pytest.raises(kx.InvalidInput, match=words):
            kx.attribute(model, x, "saliency", **how)
    with pytest.raises(kx.InvalidInput, match="one label a pixel"):
        kx.attribute(model, kx.Probe(x, y[:, 0, 0], output=outputs.segmentation()), "saliency")


@pytest.mark.full
def test_tests_of_an_explanation_take_it_too(segmenter):
    """Deletion ends at the baseline, where insertion begins; the weights are put back."""
    model, x, _ = segmenter
    spec = outputs.segmentation(1, np.ones((8, 8)))
    a = kx.attribute(model, x, "integrated_gradients", output=spec)
    falls = deletion(model, x, a.values, output=spec, steps=4)
    rises = insertion(model, x, a.values, output=spec, steps=4)
    np.testing.assert_allclose(falls[:, 0], a.score, rtol=1e-5)
    np.testing.assert_allclose(falls[:, -1], rises[:, 0], rtol=1e-5)
    np.testing.assert_allclose(falls[:, -1], a.baseline_score, rtol=1e-4)
    before = model.get_weights()
    assert -1 <= min(randomisation(model, x, output=spec, target=1).values()) <= 1
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_importance_of_a_segmentation(segmenter):
    """Cells of the image by gradients; by permutation the increase of the loss of all pixels."""
    model, x, y = segmenter
    probe = kx.Probe(x, y, output=outputs.segmentation(), groups=np.repeat([[0] * 4 + [1] * 4], 8, 0))
    names, values = kx.importance(model, probe)
    assert len(names) == 2
    assert (values > 0).all()
    loss = keras.losses.SparseCategoricalCrossentropy()
    model.compile("sgd", loss)
    _, by_loss = kx.importance(model, probe, "permutation", n_repeats=2)
    r, expected = np.random.default_rng(0), np.zeros(2)
    orders = [r.permutation(6) for _ in range(2)]
    base = float(loss(y, model.predict(x, verbose=0)))
    for k, columns in enumerate((slice(0, 4), slice(4, 8))):
        for order in orders:
            shuffled = x.copy()
            shuffled[:, :, columns] = x[order][:, :, columns]
            expected[k] += float(loss(y, model.predict(shuffled, verbose=0))) - base
    np.testing.assert_allclose(by_loss, expected / 2, atol=1e-5)
