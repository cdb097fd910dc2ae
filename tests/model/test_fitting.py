"""What a model says of samples: their kind, and which column goes into which input."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.model.fitting import fit_probe

layers = keras.layers
SERIES = np.random.default_rng(0).normal(size=(8, 12, 3)).astype(np.float32)
IDS = np.arange(56).reshape(8, 7) % 20


class Looked(keras.Model):
    """A subclassed model that looks tokens up."""

    def __init__(self):
        super().__init__()
        self.words, self.read, self.say = layers.Embedding(20, 4), layers.LSTM(3), layers.Dense(1)

    def call(self, x):
        return self.say(self.read(self.words(x)))


def columns_looked_up():
    """Each column has a table of its own: integers, and no tokens."""
    x = keras.Input((7,), dtype="int32")
    found = [layers.Flatten()(layers.Embedding(20, 2)(x[:, k : k + 1])) for k in range(7)]
    return keras.Model(x, layers.Dense(1)(layers.Concatenate()(found)))


def nested():
    inner = keras.Sequential([keras.Input((12, 3)), layers.Dense(2), layers.GRU(2)])
    return keras.Sequential([keras.Input((12, 3)), inner, layers.Dense(1)])


@pytest.mark.parametrize(
    ("x", "model", "kind"),
    [
        (SERIES, lambda: keras.Sequential([layers.LSTM(2), layers.Dense(1)]), "series"),
        (SERIES, lambda: keras.Sequential([keras.Input((12, 3)), layers.Bidirectional(layers.GRU(2))]), "series"),
        (SERIES, lambda: keras.Sequential([keras.Input((None, 3)), layers.Conv1D(2, 3), layers.Flatten()]), "series"),
        (SERIES, nested, "series"),
        (
            SERIES,
            lambda: keras.Sequential([layers.Reshape((12, 3, 1)), layers.Conv2D(2, 2), layers.Flatten()]),
            "image",
        ),
        (SERIES, lambda: keras.Sequential([keras.Input((12, 3, 1)), layers.Flatten()]), "image"),
        (np.zeros((2, 8, 8, 12), "f4"), lambda: keras.Sequential([layers.Conv2D(2, 2), layers.Flatten()]), "image"),
        (IDS, lambda: keras.Sequential([layers.Embedding(20, 4), layers.GlobalAveragePooling1D()]), "tokens"),
        (IDS, lambda: keras.Sequential([keras.Input((None,)), layers.Embedding(20, 4), layers.LSTM(2)]), "tokens"),
        (IDS, Looked, "tokens"),
        (IDS, columns_looked_up, "table"),
        (IDS, lambda: keras.Sequential([layers.Dense(1)]), "table"),
        ([IDS, IDS], Looked, "tokens"),
        ([IDS, IDS], lambda: keras.Sequential([layers.Dense(1)]), "table"),
    ],
)
def test_the_model_says_what_its_samples_are(x, model, kind):
    """The kind is open until a model is there, built or not."""
    probe = kx.Probe(x)
    assert probe.kind == ""
    assert fit_probe(model(), probe).kind == kind
    assert probe.kind == ""  # another model may say another thing
    assert fit_probe(model(), kx.Probe(x, kind="series")).kind == "series"


@pytest.mark.parametrize(
    ("x", "reader"),
    [(SERIES, layers.Flatten()), (np.zeros((2, 8, 8, 12), "f4"), layers.TimeDistributed(layers.Flatten()))],
)
def test_where_the_model_leaves_a_doubt_the_kind_is_asked_for(x, reader):
    """As a model of dense layers does."""
    model = keras.Sequential([keras.Input(x.shape[1:]), reader, layers.Flatten(), layers.Dense(1)])
    with pytest.raises(kx.InvalidInput, match=r"kind= one of"):
        kx.importance(model, x)


def test_a_settled_probe_is_the_one_that_was_told():
    """The same hash, names and groups."""
    model = keras.Sequential([layers.LSTM(2)])
    found = fit_probe(model, kx.Probe(SERIES, feature_names=["u", "v", "w"]))
    told = kx.Probe(SERIES, kind="series", feature_names=["u", "v", "w"])
    assert (found.hash, found.features) == (told.hash, told.features)
    with pytest.raises(kx.InvalidInput, match="12 names, x has 3"):
        fit_probe(model, kx.Probe(SERIES[:, :, :], feature_names=list("abcdefghijkl")))


def by_columns(names, dict_of=True):
    inputs = {name: keras.Input((1,), name=name) for name in names}
    taken = inputs if dict_of else list(inputs.values())
    weighted = [layers.Dense(1, use_bias=False)(x) for x in inputs.values()]
    model = keras.Model(taken, layers.Add()(weighted))
    model.set_weights([np.array([[k + 1.0]]) for k in range(len(names))])
    return model


X = np.ones((4, 3), np.float32)


@pytest.mark.parametrize("dict_of", [True, False])
@pytest.mark.parametrize(
    "x",
    [
        {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]},
        {"c": X[:, 2:], "zip": X[:, 0], "a": X[:, 0], "b": X[:, 1:2]},
    ],
    ids=["(B,)", "(B, 1), in another order, one too many"],
)
def test_columns_go_into_the_inputs_of_their_names(x, dict_of):
    """The gradient of a + 2 b + 3 c; what the model does not take is left out."""
    model = by_columns("abc", dict_of)
    names, values = kx.importance(model, x)
    assert dict(zip(names, values.tolist(), strict=True)) == {"a": 1, "b": 2, "c": 3}
    assert names == [name for name in x if name != "zip"]
    values = kx.attribute(model, x, "saliency", verbose=False).values
    assert {name: value.shape for name, value in values.items()} == {name: x[name].shape for name in names}


def test_a_dict_that_fit_would_mix_up_is_refused():
    """Keras fills a dict's inputs with the first keys in order: the twin, a model that says what it gets."""
    inputs = {name: keras.Input((1,), name=name) for name in "ac"}
    said = keras.Model(inputs, layers.Concatenate()(list(inputs.values())))
    x = {"a": X[:, :1], "b": 2 * X[:, :1], "c": 3 * X[:, :1]}
    with pytest.warns(UserWarning, match="structure"):
        assert said(x)[0].numpy().tolist() == [1, 2]
    with pytest.raises(kx.InvalidInput, match="'b', which the model does not take"):
        kx.attribute(said, x, "saliency")


def test_a_table_with_names_is_given_by_columns_where_the_model_asks_for_them():
    """Names, groups, baseline and background follow; a bare table without names is not guessed at."""
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    probe = kx.Probe(x, feature_names=["a", "x", "c", "b"], groups={"g": ["a", "b"]}, baseline=x[:1], background=x[:2])
    found = fit_probe(by_columns("abc"), probe)
    assert (found.features, list(found.x)) == (("g", "c"), ["a", "c", "b"])
    assert found.baseline["b"].shape == (1, 1)
    np.testing.assert_array_equal(found.x["b"], x[:, 3:])
    np.testing.assert_allclose(kx.importance(by_columns("abc"), probe)[1], [1 + 2, 3])
    with pytest.raises(kx.InvalidInput):
        kx.importance(by_columns("abc"), x)


@pytest.mark.parametrize(
    "method", ["integrated_gradients", "smoothgrad", "occlusion", "kernel_shap", "lime", "deeplift"]
)
def test_bare_numbers_are_columns_for_every_method(method):
    """(B,) and (B, 1) get the same values."""
    x = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    model = by_columns("ab")
    bare, columns = (
        kx.attribute(model, {"a": x[:, :1].reshape(shape), "b": x[:, 1:].reshape(shape)}, method, verbose=False).values
        for shape in [(5,), (5, 1)]
    )
    for name in "ab":
        np.testing.assert_array_equal(bare[name], columns[name][:, 0])


@pytest.mark.parametrize(("takes", "x"), [((1,), X[:, 0]), ((3, 1), X), ((3,), X[..., None])])
def test_keras_adds_or_drops_a_last_axis_of_one(takes, x):
    """And so are samples taken, with values of their own shape."""
    model = keras.Sequential([keras.Input(takes), layers.Flatten(), layers.Dense(1)])
    assert kx.attribute(model, x, "saliency", verbose=False).values.shape == x.shape


def test_permutation_shuffles_the_columns_of_a_group_together():
    """The twin: the same table in one array."""
    x = np.random.default_rng(2).normal(size=(32, 3)).astype(np.float32)
    whole = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False)])
    whole.set_weights([np.array([[1.0], [2.0], [3.0]])])
    apart = by_columns("abc")
    for model in (whole, apart):
        model.compile("sgd", "mse")
    y, groups = x.sum(1), {"g": ["a", "c"]}
    columns = kx.Probe({name: x[:, k] for k, name in enumerate("abc")}, y, groups=groups)
    names, values = kx.importance(apart, columns, "permutation")
    told, expected = kx.importance(whole, kx.Probe(x, y, feature_names="abc", groups=groups), "permutation")
    assert names == told == ["g", "b"]
    np.testing.assert_allclose(values, expected, rtol=1e-5)
