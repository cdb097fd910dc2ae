"""SmoothGrad, expected gradients and DeepLIFT against closed forms and slow loops."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution.smoothgrad import SmoothGrad

layers = keras.layers

pytestmark = pytest.mark.every_backend


@pytest.fixture(scope="module")
def quadratic():
    """score = (w·x)², with its gradient 2 (w·x) w: a network with a square as its activation."""
    w = np.array([1.0, -2.0, 0.5], np.float32)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(1, use_bias=False, activation=keras.ops.square),
            layers.Dense(1, use_bias=False),
        ]
    )
    model.set_weights([w[:, None], np.ones((1, 1), np.float32)])
    return w, model, np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


@pytest.mark.parametrize("reduce", ["mean", "variance", "square"])
def test_smoothgrad_is_the_moment_of_the_gradients_at_its_own_draws(quadratic, reduce):
    """The same draws one by one, with the gradient written out."""
    w, model, x = quadratic
    found = kx.attribute(model, x, "smoothgrad", n_samples=9, stdev_spread=0.2, reduce=reduce, seed=5).values
    noise = np.random.default_rng([5, 0]).standard_normal((9, 3), np.float32)  # as the docstring says
    sigma = 0.2 * (x.max(1) - x.min(1))
    points = x[None] + sigma[None, :, None] * noise[:, None]
    gradient = 2 * (points @ w)[..., None] * w
    moment = {"mean": gradient.mean(0), "variance": gradient.var(0), "square": (gradient**2).mean(0)}[reduce]
    np.testing.assert_allclose(found, moment, rtol=1e-3, atol=1e-5)


def test_smoothgrad_draws_are_normal():
    """Mean 0 and variance 1 over a hundred thousand; another seed, another input is another draw; more extend fewer."""
    draws = SmoothGrad(n_samples=2).draws((50_000,), 0)
    assert abs(draws.mean()) < 0.02
    assert abs(draws.std() - 1) < 0.02
    assert not np.array_equal(draws, SmoothGrad(n_samples=2, seed=1).draws((50_000,), 0))
    assert not np.array_equal(draws, SmoothGrad(n_samples=2).draws((50_000,), 1))
    np.testing.assert_array_equal(draws, SmoothGrad(n_samples=3).draws((50_000,), 0)[:2])


def test_smoothgrad_takes_a_width_for_each_column(quadratic):
    """No noise at all is saliency."""
    _, model, x = quadratic
    plain = kx.attribute(model, x, "saliency").values
    np.testing.assert_allclose(kx.attribute(model, x, "smoothgrad", stdevs=np.zeros(3)).values, plain, rtol=1e-5)
    assert not np.allclose(kx.attribute(model, x, "smoothgrad", stdevs=[0.0, 1.0, 0.0]).values, plain)


def test_expected_gradients_have_a_closed_form_on_a_square(quadratic):
    """Along r + a (x − r) the gradient is linear in a, so the mean over a is its middle."""
    w, model, x = quadratic
    background = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    a = kx.attribute(model, x, "expected_gradients", background=background, n_steps=2)
    change = x[:, None] - background[None]
    middle = (x[:, None] + background[None]) / 2
    np.testing.assert_allclose(a.values, (change * 2 * (middle @ w)[..., None] * w).mean(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(a.baseline_score, np.mean((background @ w) ** 2), rtol=1e-5)
    assert a.completeness_error.max() < 1e-4


def test_a_probes_table_is_the_background(quadratic):
    """Its own background where it has one, else its rows."""
    _, model, x = quadratic
    rows = kx.attribute(model, x, "expected_gradients", background=x)
    np.testing.assert_allclose(kx.attribute(model, kx.Probe(x), "expected_gradients").values, rows.values, rtol=1e-5)
    one = kx.attribute(model, kx.Probe(x, background=np.zeros((1, 3), np.float32)), "expected_gradients")
    path = kx.attribute(model, x, "integrated_gradients")
    np.testing.assert_allclose(one.values, path.values, rtol=1e-4, atol=1e-6)


def test_deeplift_is_the_rescale_rule_by_hand():
    """Two ReLU layers, the multipliers layer by layer in float64."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(6, activation="relu"), layers.Dense(5, activation="relu"), layers.Dense(2)]
    )
    r = np.random.default_rng(0)
    model.set_weights([w + r.normal(size=w.shape) * 0.1 for w in model.get_weights()])
    x, base = r.normal(size=(5, 4)).astype(np.float32), np.full(4, 0.2, np.float32)
    a = kx.attribute(model, x, "deeplift", target=1, baseline=base)
    w1, b1, w2, b2, w3, _ = (w.astype(np.float64) for w in model.get_weights())
    relu = lambda z: np.maximum(z, 0)  # noqa: E731
    z1, r1 = x @ w1 + b1, base @ w1 + b1
    z2, r2 = relu(z1) @ w2 + b2, relu(r1) @ w2 + b2
    m = np.tile(w3[:, 1], (5, 1)) * (relu(z2) - relu(r2)) / (z2 - r2)
    m = (m @ w2.T) * (relu(z1) - relu(r1)) / (z1 - r1)
    np.testing.assert_allclose(a.values, (x - base) * (m @ w1.T), rtol=1e-4, atol=1e-6)
    assert a.completeness_error.max() < 1e-4


def test_deeplift_is_complete_through_everything_it_has_a_rule_for():
    """Kinks, maxima, normalisation, padding, branches and a nested model; integrated gradients are not as exact here."""
    keras.utils.set_random_seed(1)
    inner_input = keras.Input((8, 8, 4))
    h = layers.MaxPooling2D()(layers.Activation("elu")(inner_input))
    inner = keras.Model(inner_input, layers.BatchNormalization()(h))
    inputs = keras.Input((8, 8, 2))
    h = layers.LeakyReLU()(layers.Conv2D(4, 3, padding="same")(inputs))
    h = inner(h)
    side = layers.AveragePooling2D(2)(layers.DepthwiseConv2D(3, padding="same")(h))
    h = layers.Concatenate()([layers.GlobalMaxPooling2D()(h), layers.Flatten()(side)])
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Dropout(0.5)(h)))
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 2)).astype(np.float32)
    a = kx.attribute(model, x, "deeplift", target=1)
    assert a.completeness_error.max() < 1e-3
    assert (a.values != 0).any()


COMPOSED = (
    "gelu",
    "silu",
    "mish",
    "hard_swish",
    "celu",
    "hard_shrink",
    "soft_shrink",
    "squareplus",
    "tanh_shrink",
    "log_sigmoid",
)


@pytest.mark.parametrize("name", [*COMPOSED, "gelu approximated", "by hand"])
def test_deeplift_takes_an_activation_of_several_operations_as_one(name):
    """Its slope between the baseline and the sample, as of any other: x · sigmoid(x) is no product of two activations."""
    function = {
        "gelu approximated": lambda z: keras.activations.gelu(z, approximate=True),
        "by hand": lambda z: z * keras.ops.sigmoid(1.7 * z) + 0.1 * keras.ops.square(z),
    }.get(name) or keras.activations.get(name)
    keras.utils.set_random_seed(0)
    first, last = layers.Dense(6), layers.Dense(1)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, last(layers.Lambda(function, output_shape=(6,))(first(inputs))))
    r = np.random.default_rng(0)
    x, base = 2 * r.normal(size=(5, 4)).astype(np.float32), r.normal(size=4).astype(np.float32)
    a = kx.attribute(model, x, "deeplift", baseline=base)
    (w1, b1), (w2, _) = first.get_weights(), last.get_weights()
    z, z0 = x @ w1 + b1, base @ w1 + b1
    values, values0 = (keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(rows))) for rows in (z, z0))
    slope = (values - values0) / (z - z0)
    np.testing.assert_allclose(a.values, (x - base) * ((slope * w2[:, 0]) @ w1.T), rtol=1e-4, atol=5e-6)


ALIKE = {
    "an activation of several operations": lambda: [layers.Conv2D(4, 3, activation="gelu"), layers.MaxPooling2D(2)],
    "the same where rows are folded": lambda: [
        layers.Lambda(lambda t: keras.ops.reshape(t, (-1, 8, 2))),
        layers.Conv1D(3, 2, activation="silu"),
        layers.Lambda(lambda t: keras.ops.reshape(t, (-1, 8, 7, 3))),
    ],
    "windows side by side": lambda: [layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(2)],
    "a maximum of the input": lambda: [layers.MaxPooling2D(2), layers.Conv2D(4, 2, activation="relu")],
    "windows that overlap": lambda: [layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(3, strides=2)],
    "the largest place": lambda: [layers.Conv2D(4, 3, activation="relu"), layers.GlobalMaxPooling2D()],
    "places between": lambda: [layers.Conv2D(4, 2, dilation_rate=2, activation="relu"), layers.Conv2D(2, 2)],
    "samples and rows in one axis": lambda: [
        layers.Lambda(lambda t: keras.ops.reshape(t, (-1, 8, 2))),
        layers.Conv1D(3, 2, activation="relu"),
        layers.Lambda(lambda t: keras.ops.reshape(t, (-1, 8, 7, 3))),
    ],
    "smooth": lambda: [layers.Conv2D(4, 3, activation="softplus"), layers.AveragePooling2D(2)],
}


@pytest.mark.parametrize("stack", ALIKE.values(), ids=ALIKE)
@pytest.mark.parametrize("output", [None, lambda model, x: keras.ops.squeeze(model(x))], ids=["model", "squeezed"])
def test_deeplift_from_one_baseline_is_that_from_many_that_are_the_same(stack, output):
    """One row stands for all of them, where the model keeps samples apart; half of each sample is its baseline."""
    keras.utils.set_random_seed(2)
    r = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((8, 8, 2)), *stack(), layers.Flatten(), layers.Dense(1)])
    model.set_weights([w + r.normal(size=w.shape) * 0.1 for w in model.get_weights()])
    x, base = r.normal(size=(6, 8, 8, 2)).astype(np.float32), np.full((8, 8, 2), 0.1, np.float32)
    x[:, :4] = base[:4]
    one = kx.attribute(model, x, "deeplift", baseline=base, output=output)
    many = kx.attribute(model, x, "deeplift", baseline=np.repeat(base[None], len(x), 0), output=output)
    np.testing.assert_allclose(one.values, many.values, rtol=1e-4, atol=2e-6)
    np.testing.assert_allclose(one.baseline_score, many.baseline_score, rtol=1e-5)
    assert one.completeness_error.max() < 1e-4
    assert (one.values[:, 4:] != 0).any()


def test_deeplift_names_the_layer_that_it_has_no_rule_for(cnn, images):
    """The process is usable afterwards."""
    inputs = keras.Input((4,))
    ordered = layers.Lambda(lambda z: keras.ops.sort(z), name="ordered")(layers.Dense(3)(inputs))
    model = keras.Model(inputs, layers.Dense(1)(ordered))
    x = np.ones((2, 4), np.float32)
    with pytest.raises(kx.InvalidInput, match=r"no rule for the operation .* in .*ordered"):
        kx.attribute(model, x, "deeplift")
    model.compile("sgd", "mse")
    model.fit(x, np.zeros(2), verbose=0)
    assert kx.attribute(model, x, "integrated_gradients").completeness_error is not None
