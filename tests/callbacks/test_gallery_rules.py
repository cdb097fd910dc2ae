"""The gallery by a rule, in real fits: the rows against a slow and obvious twin, the losses in closed form."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from tests.callbacks.small_training import small_model
from tests.frameworks import array

SAMPLES = 5


class Losses(keras.callbacks.Callback):
    """The twin: at the end of each epoch what the model predicts for each row, and -log of the probability of its label."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y, self.loss, self.right = x, y, [], []

    def on_epoch_end(self, epoch, logs=None):
        logits = np.asarray(array(self.model(self.x, training=False)), np.float64)
        shifted = logits - logits.max(1, keepdims=True)
        probabilities = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
        self.loss.append([-np.log(p[label]) for p, label in zip(probabilities, self.y, strict=True)])
        self.right.append([p.argmax() == label for p, label in zip(probabilities, self.y, strict=True)])

    def rows(self, rule, epoch):
        loss, right = self.loss[epoch], self.right[epoch]
        if rule == "suspects":
            believed = [
                np.mean([np.exp(-losses[row]) for losses in self.loss[: epoch + 1]]) for row in range(len(loss))
            ]
            return sorted(range(len(loss)), key=lambda row: believed[row])[:SAMPLES]
        candidates = [row for row in range(len(loss)) if rule == "worst loss" or not right[row]]
        return sorted(candidates, key=lambda row: -loss[row])[:SAMPLES]


@pytest.mark.every_backend
@pytest.mark.parametrize("rule", ["wrong", "worst loss", "suspects"])
def test_the_rows_of_a_rule_are_those_of_a_slow_twin(tmp_path, model, fit, data, rule):
    """At each epoch; their losses are cross-entropies, and their attributions those of `kx.attribute` for these rows."""
    probe = kx.Probe(*data)
    twin = Losses(*data)
    watch = kx.ProbeAttributions(tmp_path, probe, "input_x_gradient", samples=SAMPLES, gallery=rule, on_error="raise")
    fit(model, watch, twin)
    run = kx.load(tmp_path)["."]
    assert [record.update for record in run.chosen_rows] == [0, 1, 2]
    for epoch, record in enumerate(run.chosen_rows):
        assert (record.rule, record.rows.tolist()) == (rule, twin.rows(rule, epoch))
        np.testing.assert_allclose(record.loss, twin.loss[epoch], rtol=1e-4)
    last = run.chosen_rows[-1]
    expected = kx.attribute(model, probe.of_rows(last.rows), "input_x_gradient")
    attribution = run.chosen_attribution("input_x_gradient", 2)
    np.testing.assert_allclose(attribution.values, expected.values, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(attribution.target, data[1][last.rows])
    np.testing.assert_array_equal(run.samples_of(last.rows).x, data[0][last.rows])
    np.testing.assert_array_equal(run.samples_of(last.rows).classes, data[1][last.rows])
    # The fixed gallery is what it is without a rule, and rectangular.
    assert run.probe.rows.tolist() == probe.gallery(SAMPLES).rows.tolist()
    assert {record.values.shape for record in run.attributions("input_x_gradient")} == {(SAMPLES, 4)}


def test_fewer_rows_than_asked_for_are_traced_once(tmp_path, model, fit, data):
    """A number of wrong rows that changes leaves one program, and a model that is never wrong has no rows."""
    traces = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            traces.append(watch._explainer.engine.traces)

    right = model.predict(data[0], verbose=0).argmax(1)
    watch = kx.ProbeAttributions(tmp_path, (data[0], right), "saliency", samples=40, gallery="wrong", on_error="raise")
    model.optimizer.learning_rate = 0.0
    model.fit(*data, epochs=2, verbose=0, callbacks=[watch, Count()])
    run = kx.load(tmp_path)["."]
    assert [len(record.rows) for record in run.chosen_rows] == [0, 0]
    assert run.chosen_attribution("saliency", 1) is None
    labels = np.where(np.arange(len(right)) < 3, (right + 1) % 3, right)
    watch = kx.ProbeAttributions(tmp_path / "w", (data[0], labels), "saliency", gallery="wrong", on_error="raise")
    model.fit(*data, epochs=2, verbose=0, callbacks=[watch, Count()])
    assert [sorted(record.rows) for record in kx.load(tmp_path / "w")["."].chosen_rows] == [[0, 1, 2], [0, 1, 2]]
    assert traces == [1, 1, 1, 1]


@pytest.mark.parametrize("label", [0, 1])
def test_one_sigmoid_output_has_the_loss_of_its_label(tmp_path, label):
    """-log(1 - p) of class 0, -log(p) of class 1; wrong is above or below one half."""
    x = np.linspace(-2, 2, 32, dtype="float32")[:, None]
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy")
    y = np.full(32, label)
    y[0] = 1 - label
    watch = kx.ProbeAttributions(tmp_path, (x, y), "saliency", samples=8, gallery="wrong", on_error="raise")
    model.fit(x, y, epochs=1, verbose=0, callbacks=[watch])
    p = model.predict(x, verbose=0)[:, 0].astype(np.float64)
    loss = np.where(y == 1, -np.log(p), -np.log(1 - p))
    wrong = np.flatnonzero((p > 0.5) != (y == 1))
    (record,) = kx.load(tmp_path)["."].chosen_rows
    np.testing.assert_allclose(record.loss, loss, rtol=1e-4)
    assert record.rows.tolist() == wrong[np.argsort(-loss[wrong], kind="stable")][:8].tolist()


def regression(columns=1):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(columns)])
    model.compile("adam", "mse")
    return model


def test_numbers_have_a_squared_error(tmp_path):
    """The mean over the numbers of a sample; rules of classes are refused when the training begins, with what to do."""
    x = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    y = 100 * x[:, :2]
    model, probe = regression(2), kx.Probe(x, y, target=0)
    watch = kx.ProbeAttributions(tmp_path, probe, "saliency", samples=4, gallery="worst loss", on_error="raise")
    model.fit(x, y, epochs=1, verbose=0, callbacks=[watch])
    loss = ((model.predict(x, verbose=0).astype(np.float64) - y) ** 2).mean(1)
    (record,) = kx.load(tmp_path)["."].chosen_rows
    np.testing.assert_allclose(record.loss, loss, rtol=1e-4)
    assert record.rows.tolist() == np.argsort(-loss, kind="stable")[:4].tolist()
    for rule in ("wrong", "suspects", "per class"):
        with pytest.raises(
            kx.InvalidInput, match=r"classes.*gallery='worst loss' shows the rows with the largest error"
        ):
            model.fit(x, y, verbose=0, callbacks=[kx.ProbeAttributions(tmp_path, probe, "saliency", gallery=rule)])


def test_a_rule_of_labels_without_labels_is_an_error_when_the_training_begins(tmp_path, model, fit, data):
    """ "balanced" and rows need none."""
    for rule in ("wrong", "worst loss", "suspects", "per class"):
        with pytest.raises(kx.InvalidInput, match=r"needs labels, and the probe has none: give Probe\(x, y\)"):
            fit(model, kx.ProbeAttributions(tmp_path, data[0], "saliency", gallery=rule))
    fit(model, kx.ProbeAttributions(tmp_path, data[0], "saliency", gallery=[4, 2], on_error="raise"), epochs=1)
    assert kx.load(tmp_path)["."].probe.rows.tolist() == [4, 2]


def test_given_and_pinned_rows_stand_in_their_order(tmp_path, model, fit, data):
    """The pinned ones first, each once; with a rule they are among the samples, and the file says which rows they are."""
    watch = kx.Explain(tmp_path, data, attributions={"gallery": np.array([7, 3, 90]), "pinned": [3]}, on_error="raise")
    fit(model, watch, epochs=1)
    run = kx.load(tmp_path)["."]
    assert (run.probe.rows.tolist(), run.probe.whole_size) == ([3, 7, 90], 96)
    np.testing.assert_array_equal(run.probe.x, data[0][[3, 7, 90]])
    np.testing.assert_array_equal(run.attribution("saliency", 0).target, data[1][[3, 7, 90]])
    pinned = kx.ProbeAttributions(tmp_path, data, samples=6, pinned=[17, 3]).gallery.rows
    others = kx.ProbeAttributions(tmp_path, data, samples=6, gallery="per class", pinned=[17, 3]).gallery.rows
    assert pinned[:2].tolist() == others[:2].tolist() == [17, 3]
    assert len(set(pinned)) == 6


@pytest.mark.parametrize(
    ("gallery", "words"),
    [
        ("wrongs", "There is no rule of a gallery 'wrongs'. Did you mean 'wrong'"),
        ([3, 96], r"gallery holds 96, the probe has 96 rows"),
        ([-1], r"gallery holds -1, .*from 0 to 95"),
        ([3, 5, 3], "gallery holds 3 more than once"),
        ([1.0, 2.0], "gallery has shape \\(2,\\) and dtype float64: expected row numbers"),
        (np.ones(96, bool), r"dtype bool.*Of a mask np.flatnonzero\(mask\)"),
        ([], "gallery names no row"),
        (7, "gallery=7: expected row numbers"),
    ],
)
def test_other_rows_are_an_error_at_construction(tmp_path, data, gallery, words):
    """With what came, what is expected and what to do."""
    with pytest.raises(kx.InvalidInput, match=words):
        kx.ProbeAttributions(tmp_path, data, gallery=gallery)
    if not isinstance(gallery, (str, int)) and len(gallery):
        with pytest.raises(kx.InvalidInput, match=words.replace("gallery ", "pinned ")):
            kx.ProbeAttributions(tmp_path, data, pinned=gallery)


def test_training_is_bit_identical_with_a_changing_gallery(tmp_path, data):
    """Weights and optimizer, with rows chosen inside an epoch too."""
    weights = []
    for rule in (None, "suspects"):
        model = small_model()
        keras.utils.set_random_seed(3)
        callbacks = []
        if rule is not None:
            callbacks.append(
                kx.ProbeAttributions(
                    tmp_path,
                    data,
                    ["smoothgrad", "integrated_gradients"],
                    every="2 steps",
                    gallery=rule,
                    on_error="raise",
                )
            )
        model.fit(*data, epochs=2, batch_size=32, verbose=0, callbacks=callbacks)
        weights.append([*model.get_weights(), *(array(v) for v in model.optimizer.variables)])
    for before, after in zip(*weights, strict=True):
        np.testing.assert_array_equal(before, after)
    run = kx.load(tmp_path)["."]
    assert [record.step for record in run.chosen_rows] == run.updates == [2, 3, 4, 6]
    believed = np.mean([np.exp(-record.loss.astype(np.float64)) for record in run.chosen_rows], 0)
    assert run.chosen_rows[-1].rows.tolist() == np.argsort(believed, kind="stable")[:16].tolist()
    assert run.chosen_attribution("smoothgrad", 4).step == 4


def test_a_run_that_goes_on_has_the_suspects_of_one_that_did_not_stop(tmp_path, data):
    """The mean counts the epochs before; rows whose inputs are written are not written again."""

    def watch(name):
        return kx.ProbeAttributions(tmp_path / name, data, "saliency", samples=4, gallery="suspects", on_error="raise")

    model = small_model()
    model.fit(*data, epochs=4, shuffle=False, verbose=0, callbacks=[watch("whole")])
    model = small_model()
    model.fit(*data, epochs=2, shuffle=False, verbose=0, callbacks=[watch("parts")])
    model.fit(*data, initial_epoch=2, epochs=4, shuffle=False, verbose=0, callbacks=[watch("parts")])
    run = kx.load(tmp_path / "parts")["."]
    believed = np.mean([np.exp(-record.loss.astype(np.float64)) for record in run.chosen_rows], 0)
    assert run.chosen_rows[-1].rows.tolist() == np.argsort(believed, kind="stable")[:4].tolist()
    rows = run.stored_samples.rows.tolist()
    assert set(rows) | set(run.probe.rows.tolist()) >= {
        row for record in run.chosen_rows for row in record.rows.tolist()
    }
    assert len(set(rows)) == len(rows)


def test_private_samples_stay_private(tmp_path, model, fit, data):
    """store="none": rows and losses, no inputs and no labels."""
    probe = kx.Probe(*data, store="none")
    fit(model, kx.ProbeAttributions(tmp_path, probe, "saliency", gallery="worst loss", on_error="raise"), epochs=1)
    run = kx.load(tmp_path)["."]
    assert run.stored_samples is None
    assert run.samples_of(run.chosen_rows[0].rows) is None
    assert run.chosen_attribution("saliency", 0).values.shape == (16, 4)


@pytest.mark.filterwarnings("ignore:The probe has 96 rows")
def test_inputs_of_chosen_rows_and_of_suspects_are_written_beside_each_other(tmp_path, model, fit, data):
    """Of one update by two callbacks, each row once: those of every chosen row and of the suspects can be read."""
    attributions = {"gallery": "worst loss", "samples": 6}
    fit(
        model, kx.Explain(tmp_path, data, method="saliency", mappings=True, attributions=attributions, on_error="raise")
    )
    run = kx.load(tmp_path)["."]
    for rows in (*(record.rows for record in run.chosen_rows), run.samples.suspects(16)):
        samples = run.samples_of(rows.tolist())
        np.testing.assert_array_equal(samples.rows, rows)
        np.testing.assert_array_equal(samples.x, data[0][rows])
        np.testing.assert_array_equal(samples.classes, data[1][rows])
    assert run.samples_of([int(np.setdiff1d(np.arange(96), [*run.stored_samples.rows, *run.probe.rows])[0])]) is None
