"""Every kind of input: tokens with masks, series, several inputs, integers, channels first, half precision, nested models."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution import METHODS
from keras_xai.backend import get_backend
from tests.frameworks import array as to_numpy

layers = keras.layers
TOKENS = np.array([[3, 1, 4, 0, 0], [1, 5, 9, 2, 6], [5, 3, 0, 0, 0]])

pytestmark = pytest.mark.every_backend


class Pooled(layers.Layer):
    """The mean over the tokens that the mask keeps."""

    supports_masking = True

    def call(self, x, mask=None):
        m = keras.ops.cast(mask, x.dtype)[..., None]
        return keras.ops.sum(x * m, 1) / keras.ops.sum(m, 1)

    def compute_mask(self, x, mask=None):
        return None


class Placed(layers.Layer):
    """Tokens with the embedding of their place added, looked up from a range of its own."""

    supports_masking = True

    def __init__(self):
        super().__init__()
        self.places = layers.Embedding(5, 4, name="places")

    def build(self, shape):
        self.places.build()

    def call(self, x):
        return x + self.places(keras.ops.arange(5))[None]


@pytest.fixture(scope="module")
def text():
    """A classifier of masked tokens, with position embeddings beside the words."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,), dtype="int32")
    words = layers.Embedding(10, 4, mask_zero=True, name="words")
    h = Placed()(words(inputs))
    h = layers.Dense(6, activation="tanh")(Pooled()(h))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(h)), words


def logit(model, embedding, target):
    """The model written out from the embeddings on: the logit, and its gradient there."""
    places = next(layer.places for layer in model.layers if isinstance(layer, Placed))
    mask = (TOKENS != 0)[..., None].astype(np.float32)
    h = ((embedding + to_numpy(places.embeddings)[None]) * mask).sum(1) / mask.sum(1)
    (w1, b1), (w2, b2) = [layer.get_weights() for layer in model.layers if isinstance(layer, layers.Dense)]
    hidden = np.tanh(h @ w1 + b1)
    slope = ((1 - hidden**2) * w2[:, target]) @ w1.T
    return (hidden @ w2 + b2)[:, target], slope[:, None] * mask / mask.sum(1)[:, None]


def test_tokens_are_explained_at_the_embedding_with_their_mask(text):
    """(B, T): the gradient at the words' embedding, summed over it; padding has none; places are left alone."""
    model, words = text
    embedding = to_numpy(words.embeddings)[TOKENS]
    score, gradient = logit(model, embedding, 1)
    a = kx.attribute(model, TOKENS, "saliency", target=1)
    np.testing.assert_allclose(a.values, gradient.sum(-1), rtol=1e-4, atol=1e-6)
    assert (a.values[TOKENS == 0] == 0).all()
    np.testing.assert_allclose(a.score, score, rtol=1e-5)
    product = kx.attribute(model, TOKENS, "input_x_gradient", target=1).values
    np.testing.assert_allclose(product, (gradient * embedding).sum(-1), rtol=1e-4, atol=1e-6)


def test_paths_between_embeddings_are_complete(text):
    """From an embedding of zeros, or from the tokens of a baseline; the mask is the sample's all the way."""
    model, words = text
    a = kx.attribute(model, TOKENS, "integrated_gradients", target=1)
    assert a.values.shape == TOKENS.shape
    assert a.completeness_error.max() < 1e-4
    zero, _ = logit(model, np.zeros((3, 5, 4)), 1)
    np.testing.assert_allclose(a.baseline_score, zero, rtol=1e-5, atol=1e-6)
    padded = kx.attribute(model, TOKENS, "integrated_gradients", target=1, baseline=np.full(5, 7))
    other, _ = logit(model, to_numpy(words.embeddings)[np.full((3, 5), 7)], 1)
    np.testing.assert_allclose(padded.baseline_score, other, rtol=1e-5, atol=1e-6)
    assert padded.completeness_error.max() < 1e-4


@pytest.mark.parametrize("method", [name for name, one in METHODS.items() if one.input_shaped])
def test_every_method_explains_tokens(text, method):
    """(B, T), finite, nothing on padding but for what fits a line."""
    few = {"n_samples": 40} if "n_samples" in METHODS[method].__dataclass_fields__ else {}
    values = kx.attribute(text[0], TOKENS, method, target=1, **few).values
    assert values.shape == TOKENS.shape
    assert np.isfinite(values).all()
    if method not in ("lime", "kernel_shap"):  # drawn or rounded
        np.testing.assert_allclose(values[TOKENS == 0], 0, atol=1e-6)


def test_what_no_gradient_leads_to_is_held_fixed_and_named():
    """Numbers and an encoded class beside them: paths stay complete, a warning names the class, occlusion covers it."""
    keras.utils.set_random_seed(0)
    numbers, kind = keras.Input((3,), name="numbers"), keras.Input((1,), dtype="int32", name="kind")
    encoded = layers.CategoryEncoding(4, output_mode="one_hot")(kind)
    h = layers.Dense(5, activation="tanh")(layers.Concatenate()([numbers, encoded]))
    model = keras.Model({"numbers": numbers, "kind": kind}, layers.Dense(2)(h))
    r = np.random.default_rng(0)
    x = {"numbers": r.normal(size=(4, 3)).astype(np.float32), "kind": np.array([[0], [1], [2], [3]])}
    with pytest.warns(UserWarning, match="'kind'.*held fixed.*occlusion"):
        a = kx.attribute(model, x, "integrated_gradients", target=1)
    assert a.completeness_error.max() < 1e-4
    assert (a.values["kind"] == 0).all()
    loss = kx.attribute(model, x, "occlusion", target=1).values
    assert loss["numbers"].shape == (4, 3)
    assert (loss["kind"][1:] != 0).all()  # class 0 is the baseline
    shapley = kx.attribute(model, x, "kernel_shap", target=1)
    assert shapley.completeness_error.max() < 1e-4


def test_an_attention_mask_beside_tokens_is_held_fixed():
    """A dict of tokens and their mask: the tokens have values, the mask has none and is named."""
    keras.utils.set_random_seed(0)
    tokens, mask = keras.Input((5,), dtype="int32", name="tokens"), keras.Input((5,), dtype="int32", name="mask")
    h = layers.Embedding(10, 4)(tokens) * keras.ops.cast(keras.ops.expand_dims(mask, -1), "float32")
    model = keras.Model({"tokens": tokens, "mask": mask}, layers.Dense(2)(layers.GlobalAveragePooling1D()(h)))
    x = {"tokens": TOKENS, "mask": (TOKENS != 0).astype(np.int32)}
    with pytest.warns(UserWarning, match="to 'mask': held fixed"):
        a = kx.attribute(model, x, "integrated_gradients", target=1)
    assert a.completeness_error.max() < 1e-4
    assert ((a.values["tokens"] != 0) == (TOKENS != 0)).all()
    assert (a.values["mask"] == 0).all()


def test_without_any_gradient_the_error_says_what_to_take():
    """Integers that are encoded: gradient methods refuse, forward-only ones serve."""
    model = keras.Sequential([keras.Input((2,), dtype="int32"), layers.CategoryEncoding(4), layers.Dense(2)])
    x = np.array([[0, 1], [2, 3]])
    with pytest.raises(kx.InvalidInput, match=r"No gradient leads .*occlusion"):
        kx.attribute(model, x, "saliency")
    assert kx.attribute(model, x, "occlusion").values.shape == (2, 2)


def test_embedded_categories_beside_numbers():
    """A list of two inputs, one looked up: a value for each category, complete together with the numbers."""
    keras.utils.set_random_seed(0)
    numbers, kind = keras.Input((3,)), keras.Input((), dtype="int32")
    h = layers.Concatenate()([numbers, layers.Embedding(6, 2)(kind)])
    model = keras.Model([numbers, kind], layers.Dense(2)(layers.Dense(5, activation="tanh")(h)))
    x = [np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32), np.array([0, 1, 5, 2])]
    for method in ("integrated_gradients", "deeplift", "kernel_shap"):
        a = kx.attribute(model, x, method, target=1)
        assert [v.shape for v in a.values] == [(4, 3), (4,)]
        assert a.completeness_error.max() < 1e-3
        assert (a.values[1] != 0).all()


def test_series_have_a_value_for_each_moment_and_sensor():
    """(B, T, C) through a recurrent network."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6, 2)), layers.GRU(4), layers.Dense(2, activation="softmax")])
    x = np.random.default_rng(0).normal(size=(3, 6, 2)).astype(np.float32)
    a = kx.attribute(model, x, "integrated_gradients")
    assert a.values.shape == x.shape
    assert a.completeness_error.max() < 1e-3
    occluded = kx.attribute(model, x, "occlusion", window=2, stride=1).values
    np.testing.assert_array_equal(occluded[..., 0], occluded[..., 1])  # a moment is taken away with all its sensors
    with pytest.raises(kx.InvalidInput, match="no rule for"):
        kx.attribute(model, x, "deeplift")


def test_mixed_precision_is_explained_in_float32():
    """float16 layers; the values are float32 and near those of the same network in float32."""
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    found = {}
    for policy in ("float32", "mixed_float16"):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input((5,)), layers.Dense(8, activation="tanh", dtype=policy), layers.Dense(3, dtype=policy)]
        )
        for method in ("saliency", "integrated_gradients", "deeplift", "occlusion"):
            found[policy, method] = kx.attribute(model, x, method, target=1).values
            assert found[policy, method].dtype == np.float32
    for method in ("saliency", "integrated_gradients", "deeplift", "occlusion"):
        np.testing.assert_allclose(found["mixed_float16", method], found["float32", method], atol=0.01)


def test_a_pretrained_backbone_inside_with_its_scaling():
    """Rescaling, augmentation and a nested model: raw pixels are explained, and the inner layers have paths."""
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, activation="relu", name="top_conv"), layers.BatchNormalization()],
        name="backbone",
    )
    inputs = keras.Input((8, 8, 3))
    h = layers.Rescaling(1 / 255)(layers.RandomFlip()(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(inner(h))))
    x = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3)).astype(np.uint8)
    assert kx.attribute(model, x, "hires_cam", layer="backbone/top_conv").values.shape == (3, 6, 6)
    a = kx.attribute(model, x, "deeplift")
    assert a.completeness_error.max() < 1e-3
    assert a.values.shape == x.shape


def test_the_embedding_of_tokens_is_explained_in_callbacks_too(text, tmp_path):
    """Through fit and the log: (B, T) maps of every epoch."""
    model, _ = text
    model.compile("sgd", "sparse_categorical_crossentropy")
    probe = kx.Probe(TOKENS, [0, 1, 2], kind="tokens")
    callback = kx.ProbeAttributions(tmp_path, probe, ["integrated_gradients", "occlusion"], on_error="raise")
    model.fit(TOKENS, np.array([0, 1, 2]), epochs=2, verbose=0, callbacks=[callback])
    run = kx.load(tmp_path)["."]
    for method in ("integrated_gradients", "occlusion"):
        maps = run.attributions(method)
        assert [a.epoch for a in maps] == [0, 1]
        assert maps[-1].values.shape == TOKENS.shape
    assert maps[-1].kind == "tokens"


def test_one_of_several_outputs_or_a_function_of_the_model():
    """By name, by index, or a callable, which serves models whose `call` is not the thing to explain."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    h = layers.Dense(6, activation="tanh")(inputs)
    heads = {"kind": layers.Dense(3, activation="softmax", name="kind")(h), "size": layers.Dense(1, name="size")(h)}
    model = keras.Model(inputs, heads)
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    found = {}
    for output in ("kind", "size", lambda model, x: model(x)["size"]):
        for method in ("saliency", "occlusion"):
            a = kx.attribute(model, x, method, output=output, target=0)
            found[output if isinstance(output, str) else "callable", method] = a
    assert found["kind", "saliency"].space == "logit"
    assert found["size", "saliency"].space == "raw"
    for method in ("saliency", "occlusion"):
        np.testing.assert_allclose(found["size", method].values, found["callable", method].values, rtol=1e-5)
        assert not np.allclose(found["size", method].values, found["kind", method].values)
    with pytest.raises(kx.InvalidInput, match="several outputs: choose one"):
        kx.attribute(model, x, "deeplift")


def test_channels_first_pictures_have_cells_and_windows_over_their_places():
    """(n, c, h, w): windows and cells lie over h and w, and keep the channels together. No convolution: a CPU has none."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3, 8, 8)), layers.Flatten(), layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    occluded = kx.attribute(model, x, "occlusion", window=2, target=1).values
    np.testing.assert_array_equal(occluded[:, 0], occluded[:, 2])
    np.testing.assert_array_equal(occluded[:, :, ::2, ::2], occluded[:, :, 1::2, 1::2])
    kernel = to_numpy(model.layers[-1].kernel)[:, 1].reshape(3, 8, 8)
    window = (x * kernel).sum(1).reshape(2, 4, 2, 4, 2).sum((2, 4))
    np.testing.assert_allclose(occluded[:, 0, ::2, ::2], window, rtol=1e-3, atol=1e-5)
    cells = kx.attribute(model, x, "kernel_shap", target=1, n_samples=400).values
    assert [len(np.unique(v)) for v in cells] == [16, 16]
    exact = (x * kernel).sum(1).reshape(2, 4, 2, 4, 2).sum((2, 4)) / 12
    np.testing.assert_allclose(cells[:, 0, ::2, ::2], exact, rtol=1e-3, atol=1e-5)
    assert kx.attribute(model, x, "rise", target=1, n_samples=20).values.shape == (2, 8, 8)


@pytest.mark.parametrize(
    "reader", [keras.layers.Rescaling(1 / 255), keras.layers.Normalization(mean=100.0, variance=9.0)]
)
@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "grad_cam", "occlusion"])
def test_pictures_of_bytes_are_explained_as_numbers(reader, method):
    """The twin takes floats. The model goes on taking bytes, and those that are looked up stay what they are."""
    x = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 1)).astype(np.uint8)
    layers = [reader, keras.layers.Conv2D(2, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)]
    twin = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    expected = kx.attribute(twin, x.astype(np.float32), method, verbose=False)
    model = keras.Sequential([keras.Input((8, 8, 1), dtype="uint8"), *layers])
    found = kx.attribute(model, x, method, verbose=False)
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.score, expected.score)
    assert model.inputs[0].dtype == "uint8"
    inputs = keras.Input((4,), dtype="int32")
    looked_up = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.CategoryEncoding(300)(inputs)))
    with pytest.raises(kx.InvalidInput, match="No gradient leads"):
        kx.attribute(looked_up, x[:, 0, :4, 0], "saliency")


def test_text_is_refused_in_words_where_the_backend_has_none(monkeypatch):
    """Whatever the model may do with it."""

    class Anything(keras.Model):
        def call(self, x):
            return x

    model = Anything()
    model.built = True
    monkeypatch.setattr(get_backend(), "has_text", lambda: False)
    with pytest.raises(kx.InvalidInput, match="no tensors of text: explain the model of numbers behind the lookup"):
        kx.attribute(model, np.array([["good"], ["bad"]]), "occlusion")
