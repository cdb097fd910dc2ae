"""What stands for nothing: what is refused, and what is taken where nothing is given."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.attribution.integrated_gradients import IntegratedGradients

layers = keras.layers
R = np.random.default_rng(0)
X = (R.normal(size=(64, 4)) * 3 + 5).astype(np.float32)
REFUSED = {
    "NaN": (np.full(4, np.nan), r"baseline of shape \(4,\) contains NaN or infinite values \(4 of 4\)"),
    "infinite as float32": (np.full(4, 1e300), "contains NaN or infinite"),
    "a word": ("mean", r"baseline='mean': expected numbers"),
    "objects": (np.array([None] * 4), "dtype object"),
    "complex": (np.ones(4) * 1j, "dtype complex"),
    "rows of two lengths": ([1, [2]], "different lengths"),
    "another shape": (np.zeros(3), r"baseline has shape \(3,\), x has \(8, 4\)"),
}


@pytest.fixture(scope="module")
def line():
    return keras.Sequential([keras.Input((4,)), layers.Dense(2)])


@pytest.mark.parametrize("baseline", REFUSED)
def test_a_baseline_that_cannot_work_is_refused_in_words(line, baseline):
    """With its name, its shape, and what is expected."""
    given, words = REFUSED[baseline]
    with pytest.raises(kx.InvalidInput, match=words):
        kx.attribute(line, X[:8], baseline=given)


@pytest.mark.parametrize("method", ["expected_gradients", "kernel_shap"])
@pytest.mark.parametrize(
    ("background", "words"),
    [
        (np.full((3, 4), np.inf), "NaN or infinite"),
        ("mean", "expected numbers"),
        (np.zeros((0, 4)), "expected rows like x"),
    ],
    ids=["infinite", "a word", "no rows"],
)
def test_and_so_is_a_background(line, method, background, words):
    """Before anything is traced."""
    with pytest.raises(kx.InvalidInput, match=words):
        kx.attribute(line, X[:8], method, background=background)


def test_tokens_have_no_fractions():
    """A baseline of tokens is tokens."""
    model = keras.Sequential(
        [keras.Input((3,), dtype="int32"), layers.Embedding(5, 2), layers.Flatten(), layers.Dense(1)]
    )
    with pytest.raises(kx.InvalidInput, match="fractions"):
        kx.attribute(model, np.ones((2, 3), np.int32), baseline=np.full(3, 0.5))


def test_inputs_are_matched_by_name():
    """Whatever the order of the baseline's dict; another name is refused with both lists."""
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    model = keras.Model({"a": a, "b": b}, layers.Dense(1)(layers.Concatenate()([a, 2 * b])))
    x = {"a": X[:4, :2], "b": X[:4, 2:]}
    one = kx.attribute(model, x, baseline={"a": np.ones(2), "b": np.zeros(2)})
    other = kx.attribute(model, x, baseline={"b": np.zeros(2), "a": np.ones(2)})
    np.testing.assert_array_equal(one.baseline_score, other.baseline_score)
    with pytest.raises(kx.InvalidInput, match="inputs 'b', 'c', x has 'a', 'b'"):
        kx.attribute(model, x, baseline={"b": np.zeros(2), "c": np.ones(2)})


def adapted(x, **keywords):
    layer = layers.Normalization(**keywords)
    layer.adapt(x)
    return layer


def two_inputs():
    i, j = keras.Input((4,)), keras.Input((4,))
    return keras.Model([i, j], layers.Dense(1)(layers.Concatenate()([adapted(X)(i), adapted(2 * X)(j)])))


def rescaled():
    i = keras.Input((4,))
    return keras.Model(i, layers.Dense(1)(adapted(X / 10 - 1)(layers.Rescaling(0.1, -1)(i))))


def sliced():
    """The last column does not go through the normalisation: nothing is zero there."""
    i = keras.Input((4,))
    return keras.Model(i, layers.Dense(1)(layers.Concatenate()([adapted(X[:, :3])(i[:, :3]), i[:, 3:]])))


MEAN = X.mean(0)
NORMALISED = {
    "two inputs": (two_inputs, [X[:8], 2 * X[:8]], [MEAN, 2 * MEAN]),
    "a rescaling before it": (rescaled, X[:8], MEAN),
    "some columns": (sliced, X[:8], MEAN * [1, 1, 1, 0]),
}


@pytest.mark.parametrize("case", NORMALISED)
def test_behind_a_normalization_nothing_is_the_adapted_mean(case):
    """Of each input, in its own units."""
    made, x, mean = NORMALISED[case]
    model = made()
    default = kx.attribute(model, x, "integrated_gradients")
    given = kx.attribute(model, x, "integrated_gradients", baseline=mean)
    np.testing.assert_allclose(default.baseline_score, given.baseline_score, atol=1e-4)


@pytest.fixture(scope="module", params=[0.0, -1.0], ids=["of zero", "of minus one"])
def masked(request):
    """(a recurrent model behind a mask value, series that are filled up with it, which steps are)."""
    keras.utils.set_random_seed(0)
    value = request.param
    model = keras.Sequential(
        [keras.Input((6, 2)), layers.Masking(value), layers.SimpleRNN(4, bias_initializer="ones"), layers.Dense(1)]
    )
    x = (np.random.default_rng(0).normal(size=(5, 6, 2)) + 3).astype(np.float32)
    padded = np.arange(6) >= np.array([2, 3, 4, 5, 6])[:, None]
    x[padded] = value
    return model, x, padded


@pytest.mark.parametrize("method", ["integrated_gradients", "expected_gradients"])
def test_the_path_does_not_jump_at_a_mask_value(masked, method):
    """Complete, nothing on the steps that the model skips; a jump would be a warning, which is an error here."""
    model, x, padded = masked
    a = kx.attribute(model, x, method, n_steps=64)
    assert a.completeness_error.max() < 0.02
    assert (a.values[padded] == 0).all()
    assert (a.values[~padded] != 0).all()


def test_a_path_that_jumps_is_a_warning(masked):
    """The sample and what misses are named, and what helps."""
    model, x, _ = masked
    value = model.layers[0].mask_value
    with pytest.warns(UserWarning, match=r"integrated_gradients: the values of \d of 5 samples miss .* baseline="):
        a = kx.attribute(model, x, baseline=np.full((6, 2), value, np.float32))
    assert a.completeness_error.max() > 0.05


def test_other_rows_are_compared_with_steps_of_their_own(masked):
    """As the live rows of a callback: those that are padding elsewhere."""
    model, x, padded = masked
    explainer = ProbeExplainer(model, kx.Probe(x, kind="series"), {"ig": IntegratedGradients(64)})
    (part,) = explainer.rows_in_parts(kx.Probe(x[::-1], kind="series"))
    assert (part["ig"].values[padded[::-1]] == 0).all()
    assert part["ig"].completeness_error.max() < 0.02


def test_a_gallery_takes_the_rows_of_a_baseline_for_each_sample_alone():
    """One sample's baseline stays one, also where a sample has as many columns as there are samples."""
    probe = kx.Probe(X[:4], baseline=np.arange(4.0))
    assert probe.gallery(2).baseline.tolist() == [0, 1, 2, 3]
    each = kx.Probe(X[:4], baseline=np.arange(16.0).reshape(4, 4))
    assert each.gallery(2).baseline.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    several = kx.Probe([X[:4], X[:4, :2]], baseline=[np.zeros(4), np.ones((4, 2))])
    assert [np.shape(part) for part in several.gallery(2).baseline] == [(4,), (2, 2)]
