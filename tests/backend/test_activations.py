"""What layers give, in every kind of model: against the layers called by hand, or a model rebuilt up to them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_xai.backend import get_backend
from keras_xai.errors import InvalidInput
from keras_xai.mapping.reading import Reader

R = np.random.default_rng(0)
X = R.normal(size=(20, 6)).astype("float32")
IMAGES = R.random((20, 8, 8, 2)).astype("float32")
TOKENS = R.integers(1, 30, (20, 7)).astype("int32")
TOKENS[:, 5:] = 0
TOKENS[3, 2:] = 0

pytestmark = pytest.mark.every_backend


class Reading(Reader):
    """With the rows of every layer laid open."""

    def __init__(self, model, x, layers=None):
        super().__init__(model, [x], x, None, layers)

    @property
    def table(self):
        """{name: Z (B, D) centred, or its Gram matrix}."""
        found = self.read()
        return {layer.name: matrix.values for layer, matrix in zip(self.layers, found.matrices, strict=True)}


def centred(values):
    values = np.asarray(keras.ops.convert_to_numpy(values), np.float64)
    values = values.reshape(len(values), -1)
    return values - values.mean(0)


def assert_rows(found, values):
    """As they are, or as a Gram matrix where there are more columns than rows."""
    z = centred(values)
    np.testing.assert_allclose(found, z @ z.T if z.shape[1] > len(z) else z, atol=2e-4, rtol=1e-4)


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def test_a_sequential_model():
    """Children in order; Dropout and Flatten change nothing and have no row; the last Dense is the logits' own row."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(3, 3, activation="relu", name="conv"),
            layers.MaxPooling2D(name="pool"),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(5, activation="tanh", name="hidden"),
            layers.Dense(4, activation="softmax", name="out"),
        ]
    )
    reader = Reading(model, IMAGES)
    table = reader.table
    assert list(table) == ["conv", "pool", "hidden", "logits"]
    by_hand = IMAGES
    for layer in model.layers[:2]:
        by_hand = layer(by_hand)
        assert_rows(table[layer.name], by_hand)
    hidden = model.get_layer("hidden")(keras.ops.reshape(by_hand, (20, -1)))
    assert_rows(table["hidden"], hidden)
    out = model.get_layer("out")
    assert_rows(table["logits"], keras.ops.matmul(hidden, out.kernel) + out.bias)
    assert [layer.function for layer in reader.layers] == ["relu", "relu", "tanh", ""]
    assert [layer.width for layer in reader.layers] == [3, 3, 5, 4]


def test_a_nested_model_is_one_layer_and_can_be_looked_into():
    """A block is read as one; a path leads inside; a model that only wraps another is looked through."""
    inside = keras.Sequential([keras.Input((6,)), layers.Dense(5, "relu", name="deep"), layers.Dense(4)], name="block")
    model = keras.Sequential([keras.Input((6,)), inside, layers.Dense(2, name="out")])
    table = Reading(model, X).table
    assert list(table) == ["block", "logits"]
    assert_rows(table["block"], inside(X))
    named = Reading(model, X, ["block/deep"]).table
    assert list(named) == ["block/deep", "logits"]
    assert_rows(named["block/deep"], inside.get_layer("deep")(X))
    wrapped = keras.Sequential([keras.Input((6,)), inside])
    assert list(Reading(wrapped, X).table) == ["block/deep", "logits"]


class Held(keras.Model):
    """Layers in a dict and in a list, functions between them, one layer called twice."""

    def __init__(self):
        super().__init__()
        self.parts = {"first": layers.Dense(6, name="first"), "second": layers.Dense(6, name="second")}
        self.tail = [layers.Dense(3, name="scores")]
        self.shared = layers.Dense(6, name="shared")
        self.idle = layers.Dense(2, name="idle")  # built, never called
        self.idle.build((None, 6))

    def call(self, x):
        x = keras.ops.relu(self.parts["first"](x))
        x = self.shared(x)
        x = self.parts["second"](x) + self.shared(x)
        return self.tail[0](x)


def test_a_subclassed_model_with_layers_in_a_dict_and_a_shared_layer():
    """No graph of layers is needed; of a layer that is called twice the first call is kept, and that is said."""
    model = Held()
    model(X)
    reader = Reading(model, X)
    table = reader.table
    first = keras.ops.relu(model.parts["first"](X))
    shared = model.shared(first)
    assert list(table) == ["first", "shared", "second", "logits"]
    assert_rows(table["first"], model.parts["first"](X))
    assert_rows(table["shared"], shared)
    assert_rows(table["second"], model.parts["second"](shared))
    assert_rows(table["logits"], model(X))
    assert reader.facts.shared == ["shared"]


def test_recurrent_layers_with_padded_steps():
    """A BiLSTM over steps of which some are padding: mean over those that count, whatever the others hold."""
    model = keras.Sequential(
        [
            keras.Input((7,), dtype="int32"),
            layers.Embedding(30, 4, mask_zero=True, name="words"),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="steps"),
            layers.TimeDistributed(layers.Dense(5), name="each"),
            layers.LSTM(3, name="last"),
            layers.Dense(2, name="out"),
        ]
    )
    table = Reading(model, TOKENS).table
    assert list(table) == ["words", "steps", "each", "last", "logits"]
    mask = (TOKENS != 0).astype("float64")
    words = keras.ops.convert_to_numpy(model.get_layer("words")(TOKENS))
    steps = model.get_layer("steps")(words, mask=TOKENS != 0)
    each = model.get_layer("each")(steps)
    for name, values in (("words", words), ("steps", steps), ("each", each)):
        values = np.asarray(keras.ops.convert_to_numpy(values), np.float64)
        mean = np.stack([row[m > 0].mean(0) for row, m in zip(values, mask, strict=True)])
        assert_rows(table[name], mean)


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")  # the padding is padding all the same
@pytest.mark.parametrize("layer", [layers.Dense(4, activation="relu"), layers.Conv1D(4, 1, activation="relu")])
def test_padded_steps_carry_no_weight(layer):
    """Whatever a padded step holds: rows, mean, std, saturation and dead units are those of the other steps alone."""
    inputs = keras.Input((7, 3))
    masked = layers.Masking(name="masked")(inputs)
    outputs = layers.Dense(2, name="out")(layers.GlobalMaxPooling1D()(layer(masked)))
    model = keras.Model(inputs, outputs)
    x = R.normal(size=(20, 7, 3)).astype("float32")
    x[:, 5:] = 0
    x[3, 2:] = 0
    layer.kernel.assign(R.normal(size=layer.kernel.shape))
    layer.bias.assign([5.0, -50.0, 0.0, 0.1])
    counts = (x != 0).any(-1)
    reader = Reader(model, [x], x, None, [layer.name])
    found = reader.read().matrices[0]
    values = np.asarray(keras.ops.convert_to_numpy(layer(x)), np.float64)
    assert_rows(found.values, np.stack([v[c].mean(0) for v, c in zip(values, counts, strict=True)]))
    of_steps = values[counts]
    np.testing.assert_allclose(
        [found.mean, found.std, found.saturation, found.dead],
        [of_steps.mean(), of_steps.std(), (of_steps == 0).mean(), (of_steps.max(0) == 0).mean()],
        rtol=1e-5,
    )
    assert found.dead >= 0.25


def test_figures_over_units_are_those_of_all_activations():
    """Mean, std, saturation and dead units over samples and places, in several chunks with a filled-up one."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(6, 3, activation="relu", name="relu"),
            layers.Conv2D(6, 3, activation="sigmoid", name="sigmoid"),
            layers.Conv2D(6, 3, name="linear"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, name="out"),
        ]
    )
    generator = np.random.default_rng(3)
    for name, scale in (("relu", 0.3), ("sigmoid", 30.0), ("linear", 0.3)):
        layer = model.get_layer(name)
        layer.kernel.assign(scale * generator.uniform(-1, 1, layer.kernel.shape))
    model.get_layer("relu").bias.assign([-50, -50, 0, 0, 0, 0])
    reader = Reader(model, [IMAGES], IMAGES, None, ["relu", "sigmoid", "linear"])
    reader.runner.chunk = 8  # two and a half chunks
    matrices = reader.read().matrices
    found = {layer.name: m for layer, m in zip(reader.layers, matrices, strict=True)}
    a = IMAGES
    for name in ("relu", "sigmoid", "linear"):
        a = model.get_layer(name)(a)
        values = keras.ops.convert_to_numpy(a).astype(np.float64)
        np.testing.assert_allclose(found[name].mean, values.mean(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found[name].std, values.std(), rtol=1e-4)
        if name == "relu":
            np.testing.assert_allclose(found[name].saturation, (values == 0).mean(), atol=1e-6)
            assert found[name].dead == pytest.approx(2 / 6)
        elif name == "sigmoid":
            saturated = ((values < 0.01) | (values > 0.99)).mean()
            assert saturated > 0.2
            np.testing.assert_allclose(found[name].saturation, saturated, atol=1e-6)
            assert np.isnan(found[name].dead)
        else:
            assert np.isnan([found[name].saturation, found[name].dead]).all()
        np.testing.assert_allclose(found[name].power, np.square(values.reshape(20, -1)).sum(), rtol=1e-4)


@pytest.mark.parametrize("width", [5, 30])
def test_an_offset_does_not_drown_the_activations(width):
    """Around 1e4 a product of float32 would keep nothing: the rows are centred first, by a mean that is exact."""
    model = keras.Sequential([keras.Input((6,)), layers.Dense(width, name="far"), layers.Dense(2)])
    model.get_layer("far").bias.assign(np.full(width, 1e4))
    reader = Reader(model, [X], X, None, ["far"])
    matrix = reader.read().matrices[0]
    z = centred(model.get_layer("far")(X))  # the same float32 activations, centred in double precision
    expected = z @ z.T if width > 20 else z
    np.testing.assert_allclose(matrix.values, expected, atol=1e-5 * np.abs(expected).max())


def test_wide_maps_are_averaged_down_to_4096_numbers():
    """By halving, an odd edge by what is there; a film's steps stay."""
    model = keras.Sequential(
        [keras.Input((50, 50, 3)), layers.Conv2D(4, 3, name="conv"), layers.GlobalAveragePooling2D(), layers.Dense(2)]
    )
    x = R.normal(size=(9, 50, 50, 3)).astype("float32")
    reader = Reader(model, [x], x, None, ["conv"])
    gram = reader.read().matrices[0].values
    a = keras.ops.convert_to_numpy(model.get_layer("conv")(x)).astype(np.float64)  # 48 × 48 × 4
    halved = a.reshape(9, 24, 2, 24, 2, 4).mean((2, 4))
    assert reader.layers[0].columns == 24 * 24 * 4
    z = centred(halved)
    np.testing.assert_allclose(gram, z @ z.T, rtol=1e-4, atol=1e-3)


@pytest.mark.tensorflow
@pytest.mark.torch  # JAX takes a minute to compile it
def test_a_nested_mobilenet_in_mixed_precision():
    """A real backbone, float16 inside: the block, a layer deep in it by its path, all float32 and finite here."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        backbone = keras.applications.MobileNetV2((32, 32, 3), include_top=False, weights=None, alpha=0.35)
        model = keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                backbone,
                layers.GlobalAveragePooling2D(),
                layers.Dense(3, "softmax", dtype="float32"),
            ]
        )
    finally:
        keras.config.set_dtype_policy("float32")
    x = R.random((8, 32, 32, 3)).astype("float32")
    deep = f"{backbone.name}/out_relu"
    table = Reading(model, x, [deep]).table
    assert list(table) == [deep, "logits"]
    rebuilt = keras.Model(backbone.input, backbone.get_layer("out_relu").output)
    z = centred(rebuilt(x))
    np.testing.assert_allclose(table[deep], z @ z.T, rtol=2e-2, atol=1e-3 * np.abs(z @ z.T).max())
    assert np.isfinite(table["logits"]).all()


def test_the_rule_takes_eight_evenly():
    """Of a deep stack the first and the last feature layer, six between them at most, and the logits; normalisation and
    activation go with the layer before them."""
    stack = []
    for k in range(12):
        stack += [layers.Dense(6, name=f"dense{k}"), layers.BatchNormalization(), layers.ReLU(name=f"relu{k}")]
    model = keras.Sequential([keras.Input((6,)), *stack, layers.Dense(3, name="out")])
    generator = np.random.default_rng(0)
    model.set_weights([np.abs(generator.normal(size=w.shape)) for w in model.get_weights()])  # no layer is dead
    assert list(Reading(model, X).table) == ["relu0", "relu2", "relu4", "relu6", "relu7", "relu9", "relu11", "logits"]


def test_nothing_is_left_behind():
    """No `call` in any layer's own dictionary, no variable, no new attribute, the same graphless model as before."""
    model = Held()
    model(X)
    before = [(layer, set(vars(layer))) for layer in model._flatten_layers()]
    variables = [v.path for v in model.variables]
    Reading(model, X).table  # noqa: B018
    with pytest.raises(InvalidInput):
        Reading(model, X, ["idle"]).table  # noqa: B018
    for layer, attributes in before:
        assert set(vars(layer)) == attributes
    assert [v.path for v in model.variables] == variables


def test_state_that_inference_moves_is_put_back():
    """A dropout that is always on moves its seed: the training must not notice."""

    class AlwaysOn(layers.Dropout):
        def call(self, inputs, training=None):
            return super().call(inputs, training=True)

    model = keras.Sequential([keras.Input((6,)), layers.Dense(5), AlwaysOn(0.5), layers.Dense(2)])
    reader = Reading(model, X)
    before = [keras.ops.convert_to_numpy(v) for v in model.variables]
    reader.table  # noqa: B018
    reader.table  # noqa: B018
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)


class Counting(layers.Layer):
    def call(self, x):
        return keras.ops.cast(x > 0, "int32")


class Looping(layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.within = layers.Dense(3, name="within")

    def build(self, shape):
        self.within.build((shape[0], shape[2]))

    def call(self, x):
        count, first = keras.ops.shape(x)[1], keras.ops.zeros_like(x[:, 0])
        return keras.ops.while_loop(lambda t, _: t < count, lambda t, _: (t + 1, self.within(x[:, t])), (0, first))[1]


def test_layers_that_cannot_be_read_are_refused_in_words():
    """A name that does not exist, with close ones; integers; a layer inside a loop; one that takes no part."""
    inputs = keras.Input((7, 3))
    x = layers.TimeDistributed(layers.Dense(4, name="inner"), name="each")(inputs)
    counted = Counting(name="counts")(x)
    x = layers.LSTM(3, name="cells")(x) + keras.ops.cast(keras.ops.sum(counted, (1, 2)), "float32")[:, None]
    model = keras.Model(inputs, layers.Dense(2, name="out")(x))
    data = R.normal(size=(20, 7, 3)).astype("float32")
    with pytest.raises(InvalidInput, match="Did you mean 'cells'"):
        Reading(model, data, ["cels"])
    with pytest.raises(InvalidInput, match="'counts' cannot be read: it gives integers"):
        Reading(model, data, ["counts"]).table  # noqa: B018
    held = Held()
    held(X)
    with pytest.raises(InvalidInput, match="'idle' takes no part"):
        Reading(held, X, ["idle"]).table  # noqa: B018
    for path, owner in (("cells/lstm_cell", "cells"), ("inner", "each")):
        with pytest.raises(InvalidInput, match=f"is run by '{owner}'.*take that one"):
            Reading(model, data, [path])
    looping = keras.Sequential([keras.Input((7, 3)), Looping(name="around"), layers.Dense(2)])
    # Of a loop of Python's the first round is looked at, whose output the second one throws away.
    words = "inside a loop" if get_backend().compiles() else "it does not lead to the output"
    with pytest.raises(InvalidInput, match=words):
        Reading(looping, data, ["within"]).table  # noqa: B018


def test_weights_are_read_live():
    """One trace; the second reading sees the new weights."""
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, name="dense"), layers.Dense(2)])
    reader = Reading(model, X)
    first = reader.table["dense"]
    model.get_layer("dense").kernel.assign(2 * model.get_layer("dense").kernel)
    np.testing.assert_allclose(reader.table["dense"], 2 * first, rtol=1e-5)
    assert reader.traces == 1
