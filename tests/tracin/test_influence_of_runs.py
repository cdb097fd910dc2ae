"""The influence that a training records: against the sum asked of the model by hand, on planted shortcuts, and what it leaves."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.importance_drift import ImportanceDrift
from keras_xai.tracin.watch import ranks_of

R = np.random.default_rng(0)
X = R.normal(size=(160, 4)).astype(np.float32)
Y = (X[:, 0] + 0.3 * R.normal(size=160) > 0).astype(np.int32)
LIVE, PROBE = slice(64), slice(64, 160)
LAYERS = keras.layers


def network(*, columns=4, rate=0.05):
    keras.utils.set_random_seed(1)
    layers = [LAYERS.Dense(8), LAYERS.BatchNormalization(), LAYERS.ReLU(), LAYERS.Dropout(0.2)]
    model = keras.Sequential([keras.Input((columns,)), *layers, LAYERS.Dense(1, "sigmoid", name="head")])
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", metrics=["accuracy"])
    return model


def trained(log_dir, model, *, epochs=3, callbacks=(), **options):
    options = {"live": (X[LIVE], Y[LIVE]), "influence": True, "gap": False, "on_error": "raise", **options}
    watch = ImportanceDrift(log_dir, (X[PROBE], Y[PROBE]), **options)
    model.fit(X[LIVE], Y[LIVE], epochs=epochs, batch_size=16, verbose=0, callbacks=[*callbacks, watch])
    return kx.load(log_dir)["."]


class Sums(keras.callbacks.Callback):
    """The slow twin: the whole matrix of the influence, asked of the model at the end of each epoch and summed."""

    def __init__(self):
        super().__init__()
        self.sums = []

    def on_epoch_end(self, epoch, logs=None):
        influence = kx.influence(self.model, X[LIVE], Y[LIVE], X[PROBE], Y[PROBE])
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.sums.append(
            rate * influence.scores / influence.lengths.astype(np.float64) + (self.sums[-1] if self.sums else 0)
        )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run of three epochs, and the matrices of its sums; its model."""
    sums, model = Sums(), network()
    return trained(tmp_path_factory.mktemp("influence"), model, callbacks=[sums]), sums, model


@pytest.mark.every_backend
def test_a_run_holds_the_strongest_rows_of_the_sum_over_its_epochs(recorded):
    """Of every row of the probe ten a side, as the model says them epoch by epoch; read back by row and epoch."""
    run, sums, _ = recorded
    assert [record.checkpoints for record in run.influences] == [1, 2, 3]
    for epoch, total in enumerate(sums.sums):
        for row in (0, 17, 95):
            influence = kx.influence(run, row=row, update=epoch)
            expected = np.sort(total[row])
            proponents, opponents = influence.proponents, influence.opponents
            np.testing.assert_allclose(proponents.scores, expected[::-1][:10], rtol=1e-4)
            np.testing.assert_allclose(opponents.scores, expected[:10], rtol=1e-4)
            np.testing.assert_allclose(total[row][proponents.indices], proponents.scores, rtol=1e-4)
    last = kx.influence(run, row=95)
    assert (last.layer, last.loss, last.checkpoints) == ("head", "binary_crossentropy", 3)
    assert last.label(int(last.proponents.indices[0])) == str(Y[LIVE][last.proponents.indices[0]])


@pytest.mark.every_backend
def test_it_changes_nothing_of_the_training(recorded):
    """Weights and state with it are those without, to the last bit: Adam, dropout, batch normalisation, metrics."""
    plain, watched = network(), recorded[2]
    plain.fit(X[LIVE], Y[LIVE], epochs=3, batch_size=16, verbose=0)
    for before, after in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    for before, after in zip(plain.optimizer.variables, watched.optimizer.variables, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (before, after)))


def test_a_planted_mark_is_taught_by_the_rows_that_carry_it(tmp_path):
    """A column that says the label in a third of the training rows of one class, and nothing in the probe."""
    r = np.random.default_rng(5)
    x, y = r.normal(size=(600, 4)).astype(np.float32), r.integers(0, 2, 600)
    x[:, 0] += 0.7 * y
    x[:, 3] = 0
    live = slice(400)
    carries = np.flatnonzero(y[live] == 1)[::3]
    x[carries, 3] = 3
    model = network(rate=0.02)
    watch = ImportanceDrift(
        tmp_path, (x[400:], y[400:]), live=(x[live], y[live]), influence=True, on_drift=lambda alert: None
    )
    model.fit(x[live], y[live], epochs=6, batch_size=16, verbose=0, callbacks=[watch])
    run = kx.load(tmp_path)["."]
    alert = next(alert for alert in run.alerts if alert.source == "gap")
    assert [move.name for move in alert.features] == ["column 3"]
    influence = kx.influence(run, alert=alert)
    assert len(influence.proponents) == 10
    assert set(influence.proponents.indices.tolist()) <= set(carries.tolist())
    assert kx.influence(run, alert=run.alerts.index(alert)).proponents.indices.tolist() == (
        influence.proponents.indices.tolist()
    )


@pytest.mark.full
def test_a_run_that_counts_in_steps_has_its_steps(tmp_path):
    """Inside epochs as at their ends; an update is named by its step."""
    run = trained(tmp_path, network(), epochs=1, every="2 steps")
    assert [record.step for record in run.influences] == [2, 4]
    assert kx.influence(run, row=0, update=3).checkpoints == 1


def test_a_run_without_it_says_how_to_have_it(recorded):
    """No record, no row, no alert: each in words."""
    run, *_ = recorded
    with pytest.raises(kx.InvalidInput, match="influence=True"):
        kx.influence(run.until(0), row=0)
    for arguments, message in (
        ({}, "row=, the number"),
        ({"row": 96}, "0 to 95"),
        ({"row": 0, "update": -1}, "first record"),
        ({"alert": 3}, "has 0 alerts"),
        ({"row": 0, "x": X}, "not x"),
    ):
        with pytest.raises(kx.InvalidInput, match=message):
            kx.influence(run, **arguments)


def test_what_cannot_be_watched_is_refused_before_the_first_step(tmp_path):
    """No live rows, no labels, another last layer."""
    labelled = X[PROBE], Y[PROBE]
    with pytest.raises(kx.InvalidInput, match="live="):
        ImportanceDrift(tmp_path, labelled, influence=True)
    with pytest.raises(kx.InvalidInput, match="no labels"):
        ImportanceDrift(tmp_path, X[PROBE], live=labelled, influence=True)
    with pytest.raises(kx.InvalidInput, match="True, False"):
        ImportanceDrift(tmp_path, labelled, live=labelled, influence="yes")
    model = keras.Sequential([keras.Input((4,)), LAYERS.Dense(1), LAYERS.BatchNormalization(name="last")])
    model.compile("sgd", "mse")
    with pytest.raises(kx.InvalidInput, match="'last'"):
        trained(tmp_path, model)


@pytest.mark.full
def test_rows_that_are_others_at_each_read_have_no_sum(tmp_path):
    """The run says so, and training goes on."""
    reads = iter(range(100))
    run = trained(tmp_path, network(), epochs=1, live=lambda: (X[LIVE] + next(reads), Y[LIVE]))
    assert run.influences == []
    assert run.stops == []
    assert [note.text for note in run.notes if "at each read" in note.text]


def test_ranks_leave_out_what_moves_nothing():
    """Fewer than asked for where fewer are above or below 0; NaN is on neither side."""
    ranks = ranks_of(np.array([[0.5, -2.0, np.nan, 3.0]]), np.array([10, 20, 30, 40]), 3)
    np.testing.assert_array_equal(ranks.proponents, [[40, 10, -1]])
    np.testing.assert_array_equal(ranks.proponent_scores, np.array([[3.0, 0.5, np.nan]], "f4"))
    np.testing.assert_array_equal(ranks.opponents, [[20, -1, -1]])
