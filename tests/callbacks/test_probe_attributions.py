"""The gallery, in a real fit."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution import METHODS
from keras_xai.attribution.attributor import Attributor
from tests.callbacks.small_training import small_model
from tests.frameworks import array


@pytest.fixture(scope="module")
def images():
    r = np.random.default_rng(0)
    return r.random((64, 8, 8, 2)).astype(np.float32), r.integers(0, 3, 64)


def convolutional():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(3, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_the_log_holds_what_the_engine_says_after_training(tmp_path, images):
    """The last epoch's records equal `kx.attribute` on the trained model, method by method; images are channel sums."""
    x, y = images
    model = convolutional()
    methods = {"saliency": {}, "integrated_gradients": {"n_steps": 32}, "grad_cam": {"layer": "conv"}}
    model.fit(
        x,
        y,
        epochs=2,
        verbose=0,
        callbacks=[kx.ProbeAttributions(tmp_path, (x, y), methods, samples=6, on_error="raise")],
    )
    run = kx.load(tmp_path)["."]
    assert run.methods == ("grad_cam", "integrated_gradients", "saliency")
    gallery = kx.Probe(x, y).gallery(6)
    np.testing.assert_array_equal(run.probe.y, gallery.y)
    np.testing.assert_allclose(run.probe.x, gallery.x, atol=1 / 255)
    for name, options in methods.items():
        found, expected = run.attributions(name)[1], kx.attribute(model, gallery, name, **options)
        values = expected.values.sum(-1) if expected.values.ndim == 4 else expected.values
        np.testing.assert_allclose(found.values, values, atol=np.ptp(values) / 255)
        np.testing.assert_array_equal(found.target, gallery.y)
        np.testing.assert_allclose(found.score, expected.score, rtol=1e-5)
        np.testing.assert_allclose(found.outputs, expected.outputs, rtol=1e-5)
        np.testing.assert_array_equal(found.prediction, expected.prediction)
        assert (found.space, found.epoch) == ("logit", 1)
        assert (found.completeness_error is None) == (expected.completeness_error is None)


def test_tables_are_written_exactly(tmp_path, model, fit, data):
    """float32, to the bit: a skewed row of many columns would lose most of them to eight bits."""
    fit(model, kx.ProbeAttributions(tmp_path, data, "input_x_gradient", samples=5, on_error="raise"))
    found = kx.load(tmp_path)["."].attributions("input_x_gradient")[-1]
    expected = kx.attribute(model, kx.Probe(*data).gallery(5), "input_x_gradient")
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-6)


def test_how_well_limes_line_fits_stands_in_the_log(tmp_path, model, fit, data):
    """`r2` of each sample and epoch, as `kx.attribute` says it, and the outputs beside it are whole."""
    fit(model, kx.ProbeAttributions(tmp_path, data, ["lime", "saliency"], samples=5, on_error="raise"))
    run = kx.load(tmp_path)["."]
    found = run.attributions("lime")[-1]
    expected = kx.attribute(model, kx.Probe(*data).gallery(5), "lime", n_samples=256)
    np.testing.assert_allclose(found.r2, expected.r2, rtol=1e-4)
    np.testing.assert_allclose(found.outputs, expected.outputs, rtol=1e-5)
    assert run.outputs("lime").r2.shape == (3, 5)
    assert run.outputs("saliency").r2 is None
    assert run.attributions("saliency")[-1].r2 is None


@pytest.mark.parametrize(("title", "expected"), [("Input × gradient", "Input × gradient"), ("", "Input x gradient")])
def test_a_method_is_titled_as_it_says_itself(tmp_path, model, fit, data, monkeypatch, title, expected):
    """The title stands in the log; a file of an older version has none, and the name serves."""
    monkeypatch.setattr(METHODS["input_x_gradient"], "title", title)
    fit(model, kx.ProbeAttributions(tmp_path, data, "input_x_gradient", samples=5, on_error="raise"), epochs=1)
    assert kx.load(tmp_path)["."].method_title("input_x_gradient") == expected


def test_a_method_says_what_its_values_are(tmp_path, model, fit, data, monkeypatch):
    """In the log and in the record; an older file has no such word, and the two slopes of its version are known by name."""
    monkeypatch.setattr(METHODS["input_x_gradient"], "quantity", "other")
    methods = ["saliency", "input_x_gradient", "occlusion"]
    fit(model, kx.ProbeAttributions(tmp_path / "new", data, methods, samples=5, on_error="raise"), epochs=1)
    run = kx.load(tmp_path / "new")["."]
    assert [run.method_quantity(name) for name in methods] == ["slope", "other", "contribution"]
    assert [run.attribution(name, 0).quantity for name in methods] == ["slope", "other", "contribution"]
    for name in methods:
        monkeypatch.setattr(METHODS[name], "quantity", "contribution")
    fit(model, kx.ProbeAttributions(tmp_path / "old", data, methods, samples=5, on_error="raise"), epochs=1)
    run = kx.load(tmp_path / "old")["."]
    assert [run.method_quantity(name) for name in methods] == ["slope", "contribution", "contribution"]


def test_one_trace_serves_a_whole_fit(tmp_path, model, fit, data):
    """Compiled once."""
    traces = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            traces.append(watch._explainer.engine.traces)

    watch = kx.ProbeAttributions(tmp_path, data, ["saliency", "integrated_gradients"], on_error="raise")
    fit(model, watch, Count(), epochs=4)
    assert traces == [1, 1, 1, 1]


def test_without_labels_the_first_epochs_predictions_are_explained(tmp_path, model, fit, data):
    """And stay the target, so that the maps of two epochs compare."""
    fit(model, kx.ProbeAttributions(tmp_path, data[0], "saliency", on_error="raise"), epochs=4)
    targets = kx.load(tmp_path)["."].outputs("saliency").target
    assert (targets == targets[0]).all()


def test_nothing_of_the_samples_is_written_where_they_are_private(tmp_path, model, fit, data):
    """store="none": no inputs, no labels in the file, and the rest works."""
    probe = kx.Probe(*data, feature_names=list("abcd"), store="none")
    fit(model, kx.ProbeAttributions(tmp_path, probe, "saliency", on_error="raise"))
    run = kx.load(tmp_path)["."]
    assert run.probe.x is None
    assert run.probe.y is None
    assert run.probe.feature_names == tuple("abcd")
    assert run.attributions("saliency")[0].values.shape == (16, 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "saliencey"}, "Did you mean 'saliency'"),
        ({"method": []}, "at least one"),
        ({"method": ["saliency"], "n_steps": 3}, "could belong to any"),
        ({"method": "saliency", "steps": 3}, "no option 'steps'"),
        ({"samples": 0}, "samples=0"),
    ],
)
def test_bad_arguments_are_errors_at_construction(tmp_path, data, arguments, words):
    """What came, what is expected."""
    with pytest.raises(kx.InvalidInput, match=words):
        kx.ProbeAttributions(tmp_path, data, **arguments)


@pytest.mark.parametrize(
    ("method", "words"),
    [({"grad_cam": {"layer": "cnov"}}, "Did you mean 'conv'"), ({"grad_cam": {"layer": "conv"}}, None)],
)
def test_a_layer_that_does_not_exist_is_an_error_at_train_begin(tmp_path, images, method, words):
    """With close matches."""
    watch = kx.ProbeAttributions(tmp_path, images, method)
    if words is None:
        convolutional().fit(*images, verbose=0, callbacks=[watch])
        return
    with pytest.raises(kx.InvalidInput, match=words):
        convolutional().fit(*images, verbose=0, callbacks=[watch])


def test_subclassed_models_are_explained(tmp_path, data):
    """No graph of layers, built by its first batch."""

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.out = keras.layers.Dense(4, "tanh"), keras.layers.Dense(3, "softmax")

        def call(self, x):
            return self.out(self.hidden(x))

    model = Subclassed()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(
        *data,
        epochs=2,
        verbose=0,
        callbacks=[kx.ProbeAttributions(tmp_path, data, "integrated_gradients", on_error="raise")],
    )
    assert kx.load(tmp_path)["."].attributions("integrated_gradients")[1].space == "logit"


def test_training_is_bit_identical_with_and_without(tmp_path, data):
    """Weights, optimizer and the global generators."""
    found = []
    for callbacks in (
        [],
        [kx.ProbeAttributions(tmp_path, data, ["saliency", "integrated_gradients"], on_error="raise")],
    ):
        model = small_model()
        model.fit(*data, epochs=3, verbose=0, callbacks=callbacks)
        found.append(([*model.get_weights(), *(array(v) for v in model.optimizer.variables)], np.random.random()))
    for a, b in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert found[0][1] == found[1][1]


def test_tokens_are_watched_by_all_three_with_their_mask(tmp_path):
    """`Explain` in a real fit: the padding has no gradient and no importance, and what is explained is what is trained."""
    r = np.random.default_rng(0)
    x = r.integers(1, 20, (64, 6))
    x[:, 5] = 0  # nobody writes that long
    x[r.random(64) < 0.5, 3:] = 0
    y = (x[:, 0] > 9).astype(np.int64)
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input((6,), dtype="int32")
    h = layers.GlobalAveragePooling1D()(layers.Embedding(20, 4, mask_zero=True)(inputs))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Dense(6, activation="tanh")(h)))
    model.compile("adam", "sparse_categorical_crossentropy")
    probe = kx.Probe(x, y, kind="tokens")
    model.fit(x, y, epochs=3, verbose=0, callbacks=[kx.Explain(tmp_path, probe, on_error="raise")])
    run, gallery = kx.load(tmp_path)["."], probe.gallery(16)
    for method, options in (("saliency", {}), ("integrated_gradients", {"n_steps": 8})):
        found = run.attributions(method)[-1]
        assert found.kind == "tokens"
        assert ((found.values != 0) == (gallery.x != 0)).all()
        np.testing.assert_allclose(found.outputs, model.predict(gallery.x, verbose=0), rtol=1e-4)
        np.testing.assert_allclose(
            found.values, kx.attribute(model, gallery, method, **options).values, rtol=1e-4, atol=1e-6
        )
    names, values = kx.importance(model, probe, "saliency")
    assert run.importance.names == tuple(names)
    np.testing.assert_allclose(run.importance.share[-1], values / values.sum(), rtol=1e-4)
    share = dict(zip(names, run.importance.share[-1], strict=True))
    assert share.pop("token 0") == 0
    assert max(share.values()) > 0


@pytest.mark.tensorflow
def test_strings_are_explained_and_not_stored(tmp_path):
    """A looked-up column, without a gradient: its values are in the log, its words are not, which have no map."""
    import tensorflow as tf

    layers = keras.layers
    x = np.array([["red", "s"], ["blue", "xl"]] * 4)
    lookup = layers.StringLookup(vocabulary=["red", "blue", "s"], output_mode="multi_hot")
    inputs = keras.Input((2,), dtype="string")
    model = keras.Model(inputs, layers.Dense(2)(lookup(inputs)))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    probe = kx.Probe(x, np.arange(8) % 2, feature_names=["colour", "size"])
    watch = kx.ProbeAttributions(tmp_path, probe, "occlusion", samples=4, on_error="raise")
    model.fit(
        tf.data.Dataset.from_tensor_slices((x, np.arange(8) % 2)).batch(4), shuffle=False, verbose=0, callbacks=[watch]
    )
    run = kx.load(tmp_path)["."]
    expected = kx.attribute(model, probe.gallery(4), "occlusion").values
    np.testing.assert_allclose(run.attributions("occlusion")[0].values, expected, rtol=1e-5)
    assert (expected != 0).any()
    assert run.probe.x is None
    assert run.probe.feature_names == ("colour", "size")


class Steep(keras.layers.Layer):
    """Turns all at once, though smoothly: eight steps of a path miss it, sixty-four do not."""

    def call(self, x):
        return keras.ops.tanh(12.0 * (x - 0.7))


class Jump(keras.layers.Layer):
    """No number of steps sees it."""

    def call(self, x):
        return keras.ops.where(x > 0.01, 5.0, 0.0) + 0.1 * x


def behind(layer):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-3, name="plain"), loss)
    return model


def test_samples_that_miss_their_sum_take_more_steps(tmp_path, fit, data):
    """In the same graphs whatever rows those are, epoch after epoch; the values are those of 64 steps."""
    model, traces = behind(Steep()), []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            traces.append(watch._explainer._refined["integrated_gradients"].traces)

    watch = kx.ProbeAttributions(tmp_path, data, n_steps=8, on_error="raise")
    fit(model, watch, Count(), epochs=3)
    assert traces == [1, 1, 1]
    last = kx.load(tmp_path)["."].attributions("integrated_gradients")[-1]
    rows = watch.gallery.x
    target = watch.gallery.classes
    few = Attributor(model, kx.Probe(rows), "integrated_gradients", target, options={"n_steps": 8})().completeness_error
    assert (few > 0.05).any()
    assert (last.completeness_error[few > 0.06] < few[few > 0.06]).all()
    fine = Attributor(model, kx.Probe(rows), "integrated_gradients", target, options={"n_steps": 64})()
    np.testing.assert_allclose(last.values[few > 0.06], fine.values[few > 0.06], rtol=1e-3, atol=1e-5)


def test_a_map_that_stays_incomplete_is_said_once(tmp_path, fit, data):
    """A warning and a note; more steps that mend nothing are not taken for ever."""
    passes = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            passes.append(watch._explainer._refined["integrated_gradients"]._in_vain)

    watch = kx.ProbeAttributions(tmp_path, data, on_error="raise")
    with pytest.warns(UserWarning, match="miss the score") as caught:
        fit(behind(Jump()), watch, Count(), epochs=4)
    assert sum("miss the score less the baseline's" in str(w.message) for w in caught) == 1
    assert passes == [1, 2, 2, 2]
    notes = [note for epoch in kx.load(tmp_path)["."].history for note in epoch.notes]
    assert sum("miss the score less the baseline's" in note for note in notes) == 1
