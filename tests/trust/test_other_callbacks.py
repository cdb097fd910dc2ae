"""Beside Keras' own callbacks, before and after them: none of them is disturbed, and ours are right."""

from __future__ import annotations

import csv
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import keras_xai as kx
from tests.callbacks.small_training import small_data
from tests.frameworks import BACKEND
from tests.trust.trainings import At, assert_same, callback, state, with_warnings

EPOCHS = 4
ORDERS = ("ours first", "ours last", pytest.param("ours between", marks=pytest.mark.full))


def model() -> keras.Model:
    keras.utils.clear_session()  # layers are named anew: a run is continued where its variables have the same names
    keras.utils.set_random_seed(0)
    layers = [keras.Input((4,)), keras.layers.Dense(6, activation="relu"), keras.layers.Dense(3)]
    made = keras.Sequential(layers)
    optimizer = keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.9)
    made.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return made


def others(directory: Path) -> list[keras.callbacks.Callback]:
    """Keras' own, all that write, stop or change something; TensorBoard in the log directory that is ours too."""
    c = keras.callbacks
    (directory / "logs").mkdir(parents=True, exist_ok=True)
    tensorboard = [c.TensorBoard(directory / "logs")] if BACKEND == "tensorflow" else []  # which writes by TensorFlow
    return [
        *tensorboard,
        c.BackupAndRestore(directory / "backup", delete_checkpoint=False),
        c.ModelCheckpoint(directory / "{epoch}.weights.h5", save_weights_only=True),
        c.EarlyStopping("loss", patience=3, min_delta=10.0),
        c.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10.0),
        c.SwapEMAWeights(swap_on_epoch=True),
        c.TerminateOnNaN(),
        c.CSVLogger(directory / "log.csv"),
    ]


def fit(directory: Path, order: str = "", epochs: int = EPOCHS, extra: list | None = None):
    theirs, made = others(directory), model()
    ours = [callback("Explain", directory / "logs", on_error="raise")] if order else []
    half = {"ours first": 0, "ours between": len(theirs) // 2}.get(order, len(theirs))
    callbacks = [*(extra or []), *theirs[:half], *ours, *theirs[half:]]
    history = made.fit(*small_data(), epochs=epochs, batch_size=32, verbose=0, callbacks=callbacks)
    return made, history.history


def scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """What Keras' TensorBoard callback wrote, tag by tag."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.util import tensor_util

    from keras_xai.summary.event_files import events

    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted((directory / "logs" / "train").glob("*tfevents*")):
        for event in events(path, []):
            assert isinstance(event, event_pb2.Event)
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars" or value.tag.startswith("epoch_"):
                    number = float(tensor_util.make_ndarray(value.tensor))
                    found.setdefault(value.tag, []).append((event.step, number))
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    directory = tmp_path_factory.mktemp("alone")
    return directory, *fit(directory)


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Everything in a checkpoint, the optimizer's state included."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def rows(directory: Path) -> list[dict[str, str]]:
    with (directory / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("order", [pytest.param("ours first", marks=pytest.mark.full), *ORDERS[1:]])
def test_all_of_keras_own_callbacks_at_once(tmp_path, alone, order):
    """Stopped in the same epoch, with the same rates, files and weights, whichever comes first."""
    directory, without, history = alone
    made, watched = fit(tmp_path, order)
    assert_same(state(made), state(without))
    assert {key: values for key, values in watched.items() if not key.startswith("xai_")} == history
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in directory.iterdir())
    for epoch in range(1, EPOCHS + 1):
        mine, theirs = (arrays(place / f"{epoch}.weights.h5") for place in (tmp_path, directory))
        assert list(mine) == list(theirs)
        assert_same(list(mine.values()), list(theirs.values()))
    table = [{k: v for k, v in row.items() if "xai_" not in k} for row in rows(tmp_path)]
    assert table == [{k: v for k, v in row.items() if "xai_" not in k} for row in rows(directory)]
    assert any("xai_" in key for key in rows(tmp_path)[0]) == (order != "ours last")
    theirs, mine = scalars(directory), scalars(tmp_path)
    assert bool(theirs) == (BACKEND == "tensorflow")
    assert {tag: values for tag, values in mine.items() if "xai_" not in tag} == theirs

    run = kx.load(tmp_path / "logs")["."]
    assert run.epochs == list(range(EPOCHS))
    assert [record.learning_rate for record in run.history] == pytest.approx(_rates(order, history))
    np.testing.assert_allclose(
        [record.logs["xai_grad_norm"] for record in run.history], [run_norm(r) for r in run.weight_gradients], rtol=1e-5
    )
    # Behind SwapEMAWeights an epoch ends with the averaged weights, which are those of the trained model.
    _, values = kx.importance(made, small_data())
    same = np.allclose(run.importance.share[-1], values / values.sum(), rtol=1e-4)
    assert same == (order == "ours last")


def _rates(order, history):
    """What our callbacks see is what stood when the first of them had its turn: ReduceLROnPlateau comes fifth."""
    rates = list(history["learning_rate"])  # as the epoch began
    return rates if order != "ours last" else [*rates[1:], rates[-1] * 0.5]


def run_norm(record):
    overall = record.overall()
    return float(overall.statistics["rms"][0] * np.sqrt(sum(record.sizes)))


@pytest.mark.filterwarnings("ignore:Exception ignored in.*log.csv")  # CSVLogger's own, where a fit breaks off
@pytest.mark.parametrize("order", [pytest.param("ours first", marks=pytest.mark.full), "ours last"])
def test_a_training_that_is_backed_up_and_restored(tmp_path, order):
    """Broken off in epoch 2, started again: it goes on where the backup stands, as one run, to the same weights."""

    def broken(directory, *args):
        def strike(model):
            raise InterruptedError

        with pytest.raises(InterruptedError):
            fit(directory, *args, extra=[At(2, strike)])
        return fit(directory, *args)[0]

    without = broken(tmp_path / "alone")
    made, said = with_warnings(lambda: broken(tmp_path / "watched", order))
    assert said == []
    assert_same(state(made), state(without))
    assert {name: run.epochs for name, run in kx.load(tmp_path / "watched" / "logs").items()} == {".": [0, 1, 2, 3]}


@pytest.mark.parametrize("order", ["ours first", pytest.param("ours last", marks=pytest.mark.full)])
def test_a_training_that_ends_on_nan(tmp_path, order):
    """TerminateOnNaN stops in the middle of an epoch, as it does alone; that epoch is recorded."""

    class Poison(keras.callbacks.Callback):
        """In a step: SwapEMAWeights changes all weights between epochs."""

        def on_train_batch_begin(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == 4:
                self.model.layers[-1].kernel.assign(np.full(self.model.layers[-1].kernel.shape, np.nan))

    _, history = fit(tmp_path / "alone", extra=[Poison()])
    (_, watched), said = with_warnings(lambda: fit(tmp_path / "watched", order, extra=[Poison()]))
    assert len(watched["loss"]) == len(history["loss"]) == 2
    assert kx.load(tmp_path / "watched" / "logs")["."].epochs == [0, 1]
    assert all("importance" not in text for text in said)
