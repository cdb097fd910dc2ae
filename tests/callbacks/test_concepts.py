"""`ProbeMappings(concepts=…)` as a user meets it: what it records on each kind of model, and that training does not notice."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_xai as kx
from tests.frameworks import array

R = np.random.default_rng(0)
X = R.normal(size=(160, 4)).astype("float32")
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
SHIFT = np.array([0, 0, 3, 0], "float32")
EXAMPLES, OTHERS = X[:40] + SHIFT, X[40:100]
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

pytestmark = [pytest.mark.every_backend, pytest.mark.filterwarnings("ignore:The probe has")]


def small_model(outputs=3, activation=None, loss=LOGITS, hidden="tanh"):
    keras.utils.set_random_seed(1)
    built = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(6, hidden, name="first"),
            layers.Dense(5, hidden, name="second"),
            layers.Dense(outputs, activation, name="out"),
        ]
    )
    built.compile(keras.optimizers.Adam(1e-2), loss)
    return built


def watched(log_dir, model, concepts, x=X, y=Y, epochs=1, probe=None, **options):
    probe = kx.Probe(x, y) if probe is None else probe
    callback = kx.ProbeMappings(log_dir, probe, concepts=concepts, surrogates=(), on_error="raise", **options)
    model.fit(x, y, epochs=epochs, batch_size=40, verbose=0, callbacks=[callback])
    return kx.load(log_dir)["."]


def answers(z, target):
    """Log-odds of each row's class, by hand."""
    if z.shape[1] == 1:
        return z[:, 0] * (2 * target - 1)
    others = np.where(np.eye(z.shape[1])[target] > 0, -np.inf, z)
    return z[np.arange(len(z)), target] - np.log(np.exp(others).sum(1))


@pytest.mark.parametrize("outputs", [1, pytest.param(3, marks=pytest.mark.full)])
def test_effects_are_the_derivative_along_the_shift(outputs, tmp_path):
    """Finite differences of the layers behind, called by hand, for one sigmoid and for a softmax."""
    y = np.minimum(Y, 1) if outputs == 1 else Y
    loss = "binary_crossentropy" if outputs == 1 else "sparse_categorical_crossentropy"
    model = small_model(outputs, "sigmoid" if outputs == 1 else "softmax", loss)
    record = watched(tmp_path, model, {"shift": (EXAMPLES, OTHERS)}, y=y).concepts[-1]
    assert (record.names, record.layers, record.unit) == (("shift",), ("first", "second"), "log-odds")
    assert record.questions == tuple(f"class {k}" for k in np.unique(y))
    assert record.rows == tuple(np.bincount(y))
    assert record.examples == ((40, 60),)
    weights = [array(v).astype(np.float64) for v in model.weights]

    def behind(layer, h):
        for k in range(layer + 1, 3):
            h = h @ weights[2 * k] + weights[2 * k + 1]
            h = np.tanh(h) if k < 2 else h
        return answers(h, y)

    def features(layer, x):
        h = x.astype(np.float64)
        for k in range(layer + 1):
            h = np.tanh(h @ weights[2 * k] + weights[2 * k + 1])
        return h

    for layer in range(2):
        shift = features(layer, EXAMPLES).mean(0) - features(layer, OTHERS).mean(0)
        at = features(layer, X)
        slope = (behind(layer, at + 1e-5 * shift) - behind(layer, at - 1e-5 * shift)) / 2e-5
        for k, number in enumerate(np.unique(y)):
            assert record.effect[0, layer, k] == pytest.approx(slope[y == number].mean(), rel=2e-3, abs=1e-4)
            assert record.share[0, layer, k] == pytest.approx((slope[y == number] > 0).mean(), abs=0.02)
    log_odds = answers(np.log(model.predict(X, verbose=0)) if outputs == 3 else features_to_logit(model), y)
    assert record.floor == pytest.approx(0.25 * log_odds.std(), rel=1e-3)


def features_to_logit(model):
    p = model.predict(X, verbose=0).astype(np.float64)
    return np.log(p) - np.log1p(-p)


def test_a_linear_model_has_the_weight_times_the_shift(tmp_path):
    """The closed form: every row has the same derivative, w · v, and the other class the opposite one.

    What no layer can tell, rows like all others, has NaN and no 0 beside it.
    """
    y = np.minimum(Y, 1)
    model = small_model(1, "sigmoid", "binary_crossentropy", hidden=None)
    random = R.normal(size=(60, 4)).astype("float32")
    record = watched(tmp_path, model, {"shift": EXAMPLES, "random": random}, y=y).concepts[-1]
    first, second, out = (array(layer.kernel).astype(np.float64) for layer in model.layers)
    shift = (EXAMPLES.mean(0) - X.mean(0)) @ first
    expected = shift @ second @ out[:, 0]
    np.testing.assert_allclose(record.effect[0], [[-expected, expected]] * 2, rtol=1e-3)
    np.testing.assert_allclose(record.share[0], np.heaviside(record.effect[0], 0))
    assert record.can_tell.tolist() == [[True, True], [False, False]]
    for figures in (record.effect, record.error, record.share, record.p):
        assert np.isfinite(figures[0]).all()
        assert np.isnan(figures[1]).all()
    assert not record.is_used[1].any()


def test_a_concept_that_decides_is_used(tmp_path):
    """The first column tells the class: a shift of it is used for one class and against the other, and a note says since when."""
    y = (X[:, 0] > 0).astype(int)
    model = small_model(1, "sigmoid", "binary_crossentropy")
    model.optimizer.learning_rate = 0.05
    shifted = X[:60] * [0, 1, 1, 1] + [2, 0, 0, 0]
    run = watched(tmp_path, model, {"first": shifted, "third": EXAMPLES}, y=y, epochs=8)
    from keras_xai.concept_records import concept_sentence, uses

    signs = {(use.concept, use.question): use.sign for use in uses(run.concepts) if use.until is None}
    assert signs == {("first", "class 0"): -1, ("first", "class 1"): 1}
    assert [note.text for note in run.notes if "uses" in note.text]
    assert "since epoch" in concept_sentence(run.concepts, "first", "epoch")
    assert "not shown to use" in concept_sentence(run.concepts, "third", "epoch")


def test_training_does_not_notice(tmp_path):
    """Weights, optimizer and global generators, bit for bit: Adam, dropout, batch normalisation, metrics."""
    states = []
    for concepts in (None, {"shift": EXAMPLES, "other": (EXAMPLES, OTHERS)}):
        keras.utils.set_random_seed(1)
        stack = [layers.Dense(6, "relu"), layers.BatchNormalization(), layers.Dropout(0.3), layers.Dense(3)]
        model = keras.Sequential([keras.Input((4,)), *stack])
        model.compile(keras.optimizers.Adam(1e-2), LOGITS, metrics=["accuracy"])
        callbacks = []
        if concepts:
            callbacks = [kx.ProbeMappings(tmp_path, (X, Y), concepts=concepts, on_error="raise")]
        history = model.fit(X, Y, epochs=3, batch_size=40, verbose=0, callbacks=callbacks).history
        weights = [*model.get_weights(), *(array(v) for v in model.optimizer.variables)]
        states.append(
            (weights, history["loss"], np.random.random(), array(keras.random.SeedGenerator().state).tolist())
        )
    for a, b in zip(states[0][0], states[1][0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert states[0][1:] == states[1][1:]
    assert len(kx.load(tmp_path)["."].concepts) == 3


@pytest.mark.full
def test_several_inputs_numbers_and_no_labels(tmp_path):
    """A dict of a table and of tokens with padding, a regression without labels; the effect is one of the output."""
    keras.utils.set_random_seed(1)
    table, tokens = keras.Input((4,), name="table"), keras.Input((6,), name="words", dtype="int32")
    embedded = layers.GlobalAveragePooling1D()(layers.Embedding(9, 5, mask_zero=True, name="embedding")(tokens))
    joined = layers.Concatenate()([layers.Dense(5, "relu", name="of_table")(table), embedded])
    model = keras.Model([table, tokens], layers.Dense(1)(layers.Dense(4, "relu", name="joined")(joined)))
    model.compile("adam", "mse")
    words = R.integers(1, 9, (160, 6)) * (np.arange(6) < R.integers(2, 7, (160, 1)))
    x = {"table": X, "words": words.astype("int32")}
    examples = {"table": X[:30] + SHIFT, "words": x["words"][:30]}
    probe = kx.Probe(x, kind="table")
    run = watched(tmp_path, model, {"shift": examples}, x=x, y=X[:, 0], probe=probe)
    record = run.concepts[-1]
    assert (record.unit, record.questions, record.rows) == ("output", ("output",), (160,))
    can_tell = record.can_tell[0]
    assert {name for name, tells in zip(record.layers, can_tell, strict=True) if tells} >= {"of_table", "joined"}
    assert not can_tell[record.layers.index("embedding")]  # the words of the examples are like all others
    np.testing.assert_array_equal(np.isfinite(record.effect[0, :, 0]), can_tell)


@pytest.mark.full
def test_several_labels_and_images(tmp_path):
    """A convolution whose map is pooled; labels are asked together; a layer that ends in NaN is no layer of zeros."""
    keras.utils.set_random_seed(1)
    images = R.normal(size=(64, 8, 8, 1)).astype("float32")
    stack = [layers.Conv2D(3, 3, activation="relu", name="conv"), layers.Flatten(), layers.Dense(2, "sigmoid")]
    model = keras.Sequential([keras.Input((8, 8, 1)), *stack])
    model.compile("adam", "binary_crossentropy")
    y = (images.mean((1, 2)) > np.array([[0, 0.1]])).astype("float32")
    marked = images[:32].copy()
    marked[:, :2, :2] = 5
    run = watched(tmp_path, model, {"mark": marked}, x=images, y=y, epochs=1)
    record = run.concepts[-1]
    assert record.questions == ("labels",)
    assert np.isfinite(record.effect).all()
    model.compile("sgd", "mse")  # PyTorch refuses the cross-entropy of NaN
    model.layers[0].kernel.assign(np.full((3, 3, 1, 3), np.nan, "float32"))
    with pytest.warns(UserWarning, match="conv gives NaN"):
        run = watched(tmp_path / "nan", model, {"mark": marked}, x=images, y=y, epochs=1)
    assert np.isnan(run.concepts[-1].effect).all()
    assert run.concepts[-1].floor == 0
    assert not run.stops


@pytest.mark.parametrize(
    ("concepts", "says"),
    [
        ([EXAMPLES], "expected a dict of rows by the name"),
        ({}, "expected a dict of rows by the name"),
        ({3: EXAMPLES}, "expected a dict of rows by the name"),
        ({"ruler": EXAMPLES[:, :3]}, r"concepts\['ruler'\] has rows of shape \(3,\), the probe of \(4,\)"),
        ({"ruler": EXAMPLES[:5]}, r"concepts\['ruler'\] has 5 rows: 10 or more"),
        ({"ruler": (EXAMPLES, OTHERS[:3])}, r"concepts\['ruler'\]\[1\] has 3 rows"),
        ({"ruler": {"a": EXAMPLES}}, r"concepts\['ruler'\]"),
        ({"ruler": np.full((20, 4), np.nan)}, r"concepts\['ruler'\]: .*NaN"),
    ],
)
def test_misuse_is_an_error_at_construction(concepts, says, tmp_path):
    """The message says what came, and what is expected."""
    with pytest.raises(kx.errors.InvalidInput, match=says):
        kx.ProbeMappings(tmp_path, (X, Y), concepts=concepts)


def test_few_examples_are_a_warning(tmp_path):
    """Only large effects can be told from chance."""
    with pytest.warns(UserWarning, match=r"concepts\['few'\] has 12 examples"):
        kx.ProbeMappings(tmp_path, (X, Y), concepts={"few": EXAMPLES[:12], "many": EXAMPLES})


def test_a_model_without_layers_before_the_output_says_so(tmp_path):
    """A logistic regression: a note, and no record."""
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    model.compile("adam", LOGITS)
    run = watched(tmp_path, model, {"shift": EXAMPLES})
    assert run.concepts == []
    assert any("Concepts are not measured: no layer before the output" in note.text for note in run.notes)


@pytest.mark.full
def test_a_run_goes_on_with_the_same_concepts_alone(tmp_path):
    """The same examples continue the run, others begin a new one; a run in steps counts in steps."""
    model = small_model()
    for number, examples in enumerate((EXAMPLES, EXAMPLES, EXAMPLES + 1)):
        callback = kx.ProbeMappings(tmp_path, (X, Y), concepts={"shift": examples}, every="4 steps", surrogates=())
        model.fit(X, Y, initial_epoch=2 * number, epochs=2 * number + 2, batch_size=40, verbose=0, callbacks=[callback])
    runs = kx.load(tmp_path)
    assert sorted(runs) == [".", "keras_xai-2"]
    assert [record.step for record in runs["."].concepts] == [4, 8, 12, 16]
    assert any("concepts changed" in note.text for note in runs["keras_xai-2"].notes)


@pytest.mark.tensorflow
def test_rows_that_the_model_does_not_take_are_refused_before_the_first_step(tmp_path):
    """Token ids that its embedding has no row for."""
    keras.utils.set_random_seed(1)
    tokens = R.integers(0, 20, (64, 6))
    model = keras.Sequential(
        [keras.Input((6,), dtype="int32"), layers.Embedding(20, 4), layers.GlobalAveragePooling1D(), layers.Dense(3)]
    )
    model.compile("adam", LOGITS)
    weights = model.get_weights()
    callback = kx.ProbeMappings(tmp_path, kx.Probe(tokens, Y[:64], kind="tokens"), concepts={"late": tokens[:40] + 9})
    with pytest.raises(kx.errors.InvalidInput, match="does not take the rows of concepts 'late'"):
        model.fit(tokens, Y[:64], verbose=0, callbacks=[callback])
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
