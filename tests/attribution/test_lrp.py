"""LRP against zennit, LXT, closed forms and conservation; `references.md` tells how the arrays were made."""

from pathlib import Path

import keras
import numpy as np
import pytest

import keras_xai as kx

layers = keras.layers
ops = keras.ops
REFERENCES = Path(__file__).parent / "references"
# The options under which the arrays were made, by their names.
RULES = {
    "default": {},
    "epsilon": {"epsilon": 0.25, "gamma": 0.0},
    "gamma": {"epsilon": 1e-3, "gamma": 0.6, "dense_gamma": 0.1},
}
R = np.random.default_rng(0)

on_every_backend = (
    pytest.mark.every_backend
)  # the others take long to compile; `tests/backend/test_agreement.py` has more


def read(name):
    with np.load(REFERENCES / f"{name}.npz") as file:
        return dict(file)


def relative(values, expected):
    return np.linalg.norm(values - expected) / np.linalg.norm(expected)


@pytest.fixture(scope="module")
def ported():
    stored = read("lrp_convolutions")
    model = keras.Sequential(
        [
            keras.Input((10, 10, 2)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.AveragePooling2D(2),
            layers.Conv2D(5, 2, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(6, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.set_weights([stored[f"weight_{k}"] for k in range(12)])
    return model, stored


@pytest.mark.parametrize("name", [*list(RULES)[:2], pytest.param("gamma", marks=on_every_backend)])
def test_a_convolutional_network_agrees_with_zennit(ported, name):
    """Batch normalisation with scales of both signs, both poolings, inputs of both signs."""
    model, stored = ported
    a = kx.attribute(model, stored["x"], "lrp", target=1, **RULES[name])
    assert relative(a.values, stored[name]) < 2e-5


@on_every_backend
def test_a_transformers_block_agrees_with_lxt():
    """Attention, layer and RMS normalisation, a gate."""
    stored = read("lrp_transformer")
    inputs = keras.Input((5, 8))
    attention = layers.MultiHeadAttention(2, 4)
    h = layers.LayerNormalization(epsilon=1e-3)(inputs + attention(inputs, inputs))
    h = layers.RMSNormalization(epsilon=1e-6)(
        h + layers.Dense(8, "silu", name="gate")(h) * layers.Dense(8, name="up")(h)
    )
    model = keras.Model(inputs, layers.Dense(3, name="head")(layers.GlobalAveragePooling1D()(h)))
    for layer in model.layers:
        if isinstance(layer, layers.MultiHeadAttention):
            names = [f"{part}_{kind}" for part in ("query", "key", "value", "output") for kind in ("kernel", "bias")]
        else:
            by_type = {layers.LayerNormalization: ["gamma", "beta"], layers.RMSNormalization: ["scale"]}
            names = by_type.get(type(layer), [f"{layer.name}_kernel", f"{layer.name}_bias"])
        if layer.weights:
            layer.set_weights([stored[name] for name in names])
    a = kx.attribute(model, stored["x"], "lrp", target=1)
    np.testing.assert_allclose(a.score, stored["scores"][:, 1], rtol=1e-4, atol=1e-5)
    assert relative(a.values, stored["values"]) < 2e-5


def without_biases(*stack, shape):
    model = keras.Sequential([keras.Input(shape), *stack, layers.Flatten(), layers.Dense(3, use_bias=False)])
    keras.utils.set_random_seed(0)
    model.set_weights([R.normal(size=w.shape).astype(np.float32) * 0.5 for w in model.get_weights()])
    return model


class Gated(layers.Layer):
    """A dense layer times another one, as transformers have it."""

    def __init__(self, units):
        super().__init__()
        self.gate = layers.Dense(units, activation="silu", use_bias=False)
        self.up = layers.Dense(units, use_bias=False)

    def call(self, x):
        return self.gate(x) * self.up(x)


class Residual(layers.Layer):
    """What stands around a layer in a residual network."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, x):
        return x + self.layer(x)


class OwnRmsNormalisation(layers.Layer):
    """Written by hand."""

    def call(self, x):
        return x / ops.sqrt(ops.mean(x * x, axis=-1, keepdims=True) + 1e-6)


CONSERVING = {
    "convolutions": lambda: without_biases(
        layers.Conv2D(4, 3, activation="relu", use_bias=False),
        layers.DepthwiseConv2D(2, activation="elu", use_bias=False),
        layers.SeparableConv2D(3, 2, activation="gelu", use_bias=False),
        layers.Conv2D(4, 2, dilation_rate=2, use_bias=False),
        layers.Conv2DTranspose(2, 2, activation="leaky_relu", use_bias=False),
        layers.MaxPooling2D(2),
        shape=(9, 9, 2),
    ),
    "series": lambda: without_biases(
        layers.Conv1D(4, 3, padding="causal", activation="tanh", use_bias=False),
        layers.DepthwiseConv1D(2, depth_multiplier=2, use_bias=False),
        layers.SeparableConv1D(4, 2, padding="same", activation="hard_sigmoid", use_bias=False),
        Residual(layers.Conv1D(4, 3, padding="same", activation="swish", use_bias=False)),
        layers.AveragePooling1D(2),
        shape=(8, 2),
    ),
    "volumes": lambda: without_biases(
        layers.Conv3D(3, 2, activation="mish", use_bias=False), layers.MaxPooling3D(2), shape=(5, 5, 5, 2)
    ),
    "tokens": lambda: without_biases(
        layers.LayerNormalization(center=False),
        Residual(Gated(6)),
        OwnRmsNormalisation(),
        layers.EinsumDense("btf,fg->btg", (5, 4), activation="gelu"),
        layers.GroupNormalization(2, center=False),
        layers.UnitNormalization(),
        layers.Permute((2, 1)),
        shape=(5, 6),
    ),
}


@pytest.mark.parametrize("name", CONSERVING)
def test_relevance_is_conserved(name):
    """Where there is no bias and no softmax the values sum to the score, whatever the options."""
    model = CONSERVING[name]()
    x = R.normal(size=(3, *model.input_shape[1:])).astype(np.float32)
    for options in ({"epsilon": 1e-9}, {"epsilon": 1e-9, "gamma": 0, "dense_gamma": 0.3}):
        a = kx.attribute(model, x, "lrp", target=1, **options)
        np.testing.assert_allclose(a.values.reshape(3, -1).sum(1), a.score, rtol=2e-3, atol=1e-4)
        assert (a.values != 0).any()


REGION = np.zeros((6, 6), bool)
REGION[1:4, 2:5] = True
DENSE_OUTPUTS = {
    "pixels": (
        lambda: keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                layers.Conv2D(4, 3, padding="same", activation="relu", use_bias=False),
                Residual(layers.Conv2D(4, 3, padding="same", activation="gelu", use_bias=False)),
                layers.Conv2D(3, 1, activation="softmax", use_bias=False),
            ]
        ),
        kx.outputs.segmentation(1, REGION),
        lambda scores: scores[:, REGION, 1].mean(1),
    ),
    "tokens": (
        lambda: keras.Sequential(
            [
                keras.Input((6, 3)),
                layers.Conv1D(5, 2, padding="causal", activation="silu", use_bias=False),
                layers.LayerNormalization(center=False),
                layers.Dense(4, use_bias=False),
            ]
        ),
        kx.outputs.next_token(3, step=2),
        lambda scores: scores[:, 2, 3],
    ),
}


@pytest.mark.parametrize("name", DENSE_OUTPUTS)
def test_relevance_of_a_dense_output_is_the_score_of_its_region(name):
    """The mean of the logits in a mask; the logit of a step. No bias takes any of it."""
    keras.utils.set_random_seed(0)
    build, output, of_region = DENSE_OUTPUTS[name]
    model = build()
    x = R.normal(size=(3, *model.input_shape[1:])).astype(np.float32)
    logits = keras.Sequential(model.layers)
    a = kx.attribute(model, x, "lrp", epsilon=1e-9, output=output)
    model.layers[-1].activation = keras.activations.linear
    np.testing.assert_allclose(a.score, of_region(logits.predict(x, verbose=0)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(a.values.reshape(3, -1).sum(1), a.score, rtol=2e-3, atol=1e-5)


@on_every_backend
def test_a_number_inside_an_activation_takes_no_relevance():
    """hard_sigmoid is relu6(x + 3) / 6 in some frameworks and whole in others: all goes to x in each."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Activation("hard_sigmoid")(inputs))
    x = R.uniform(0.2, 2.5, size=(3, 4)).astype(np.float32)
    a = kx.attribute(model, x, "lrp", target=1, output=lambda model, x: model(x))
    np.testing.assert_allclose(a.values, np.eye(4)[1] * (x / 6 + 0.5), rtol=1e-4, atol=1e-6)


HALF = ["lrp"]
HALF += [
    pytest.param(name, marks=[pytest.mark.full, on_every_backend], id=f"{name}-full") for name in ("lrp", "deeplift")
]


@pytest.mark.parametrize("method", HALF)
def test_half_precision_with_branches_has_the_relevance_of_single_precision(method):
    """A tensor that a product and a layer of weights both take; a softmax over it."""
    half, single = (gated_convolution(dtype) for dtype in ("mixed_float16", "float32"))
    half.set_weights(single.get_weights())
    x = R.uniform(0.5, 1, size=(2, 5, 2)).astype(np.float32)
    values, expected = (kx.attribute(model, x, method, target=0).values for model in (half, single))
    assert relative(values, expected) < 0.03


def gated_convolution(dtype):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 2))
    h = layers.Conv1D(3, 2, activation="relu", dtype=dtype)(inputs)
    weights = layers.Softmax(axis=1, dtype=dtype)(layers.Conv1D(1, 1, dtype=dtype)(h))
    h = layers.Flatten(dtype=dtype)(layers.Multiply(dtype=dtype)([h, weights]))
    return keras.Model(inputs, layers.Dense(2, dtype="float32")(h))


def softmaxed(z):
    powers = np.exp(z - z.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@on_every_backend
def test_the_rules_of_attention_in_their_own_words():
    """AttnLRP's equations 13 and 15 in relevances, one after the other: half of a product to each factor."""
    inputs = keras.Input((4, 3))
    weights = ops.softmax(ops.matmul(inputs, ops.transpose(inputs, (0, 2, 1))), -1)
    model = keras.Model(inputs, layers.Flatten()(ops.matmul(weights, inputs)))
    x = R.normal(size=(2, 4, 3)).astype(np.float32)
    a = kx.attribute(model, x, "lrp", target=7, output=lambda model, x: model(x))
    for values, z in zip(a.values, x.astype(np.float64), strict=True):
        logits = z @ z.T
        p = softmaxed(logits)
        above = np.zeros((4, 3))
        above[7 // 3, 7 % 3] = (p @ z)[7 // 3, 7 % 3]
        shares = above / (p @ z)
        of_p, of_value = p * (shares @ z.T) / 2, z * (p.T @ shares) / 2
        of_logits = logits * (of_p - p * of_p.sum(-1, keepdims=True))
        shares = of_logits / logits
        of_query, of_key = z * (shares @ z) / 2, z * (shares.T @ z) / 2
        np.testing.assert_allclose(values, of_value + of_query + of_key, rtol=1e-3, atol=1e-5)


def test_without_gamma_a_network_of_rectifiers_has_input_times_gradient():
    """As epsilon nears zero; biases included."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6, 6, 2)), layers.Conv2D(3, 3, activation="relu"), layers.Flatten(), layers.Dense(2)]
    )
    x = R.normal(size=(4, 6, 6, 2)).astype(np.float32)
    a = kx.attribute(model, x, "lrp", target=0, gamma=0, epsilon=1e-9)
    b = kx.attribute(model, x, "input_x_gradient", target=0)
    np.testing.assert_allclose(a.values, b.values, rtol=1e-4, atol=1e-6)


@on_every_backend
def test_epsilon_takes_relevance_from_sums_that_nearly_cancel():
    """z / (z + ε sign(z)) of the score is left, where a layer has no bias."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False)])
    model.set_weights([np.array([[1.0], [-2.0], [0.5]], np.float32)])
    x = np.array([[1.0, 0.25, 0.5], [0.5, 0.5, 0.2]], np.float32)
    a = kx.attribute(model, x, "lrp", epsilon=0.5, output=lambda model, x: model(x))
    z = x @ np.array([1.0, -2.0, 0.5])
    expected = x * [1.0, -2.0, 0.5] * (z / (z + 0.5 * np.sign(z)))[:, None]
    np.testing.assert_allclose(a.values, expected, rtol=1e-5)


@on_every_backend
def test_an_operation_without_a_rule_is_named():
    """With its layer."""
    inputs = keras.Input((6,))
    h = layers.Lambda(lambda z: ops.sort(z), name="sorting")(layers.Dense(6)(inputs))
    model = keras.Model(inputs, layers.Dense(2)(h))
    with pytest.raises(kx.InvalidInput, match=r"LRP has no rule for the operation .*sorting"):
        kx.attribute(model, R.normal(size=(2, 6)).astype(np.float32), "lrp", target=0)


@pytest.mark.parametrize("options", [{"epsilon": 0}, {"gamma": -1}, {"dense_gamma": "much"}, {"epsilon": float("nan")}])
def test_options_are_checked(options):
    """An epsilon of zero divides by sums of zero."""
    with pytest.raises(kx.InvalidInput, match=f"{next(iter(options))}="):
        kx.attribute(
            keras.Sequential([keras.Input((2,)), layers.Dense(1)]), np.ones((1, 2), "float32"), "lrp", **options
        )


def test_a_gallery_of_it_is_written_while_a_model_trains(tmp_path):
    """By the callback, as any method's; options pass, and its values are those of the weights at the end of the epoch."""
    x = R.normal(size=(6, 5)).astype(np.float32)
    model = keras.Sequential(
        [keras.Input((5,)), layers.Dense(4, activation="relu"), layers.Dense(3, activation="softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    labels = np.arange(6) % 3
    callback = kx.ProbeAttributions(tmp_path, kx.Probe(x, labels), {"lrp": {"epsilon": 1e-2}})
    model.fit(x, labels, epochs=1, verbose=0, callbacks=[callback])
    (run,) = kx.load(tmp_path).values()
    assert run.methods == ("lrp",)
    (record,) = run.attributions("lrp")
    expected = kx.attribute(model, run.probe.x, "lrp", epsilon=1e-2, target=run.probe.y).values
    np.testing.assert_allclose(record.values, expected, rtol=1e-4, atol=1e-6)
