"""Whatever breaks, wherever: training ends as it would have without us, one warning says why, what was written is read.

The whole matrix is `-m full`; without it every fault, every hook and every callback comes at least once.
"""

from __future__ import annotations

import errno
import itertools
import os
import resource
import shutil
import warnings

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.summary.writer import Writer
from tests.callbacks.small_training import small_data
from tests.frameworks import BACKEND
from tests.summary.epoch_records import epoch_of_records
from tests.trust.planting import ERRORS, planted
from tests.trust.trainings import EPOCHS, PARTS, At, assert_same, callback, parts, state, trained, with_warnings

# What a callback does in its hooks, and how many epochs are whole before it does it for the second time.
TURNS = {
    "check": ("on_train_begin", 0),
    "run_identity": ("on_train_begin", 0),
    "gallery_probe": ("on_train_begin", 0),
    "on_run_start": ("on_epoch_begin", 0),
    "record_update": ("on_epoch_end", 1),
    "carry_forward": ("on_epoch_end", 1),
    "on_update_written": ("on_epoch_end", 1),
    "record_last_update": ("on_train_end", 2),
    "close": ("on_train_end", 3),
}
WHOLE = list(itertools.product((*PARTS, "Explain"), TURNS, ERRORS))


def quick(matrix):
    """Every value of every column, in few rows; the rest is for `-m full`."""
    rows = max(len({row[k] for row in matrix}) for k in range(len(matrix[0])))
    columns = [list(dict.fromkeys(row[k] for row in matrix)) for k in range(len(matrix[0]))]
    chosen = {tuple(column[n % len(column)] for column in columns) for n in range(rows)}
    return [pytest.param(*row, marks=[] if row in chosen else pytest.mark.full) for row in matrix]


@pytest.mark.parametrize(("name", "turn", "error"), quick(WHOLE))
def test_a_fault_at_any_turn_of_any_callback(tmp_path, alone, name, turn, error):
    """The training ends as without us, one warning names hook and cause, what came before is read, others go on."""
    ours = callback(name, tmp_path)
    mine = parts(ours)
    struck = name if name in mine else PARTS[len(turn + error) % 3]  # of Explain one after the other
    hit = mine[struck]
    if turn in ("carry_forward", "record_last_update"):
        hit._schedule._every = lambda epoch: epoch != 1
    epochs = 2 if turn == "record_last_update" else EPOCHS
    hook, whole = TURNS[turn]

    def end(model):
        model.stop_training = turn == "record_last_update"  # the last epoch is then one that was not scheduled

    def strike(model):
        setattr(hit, turn, planted(error))
        end(model)

    if whole == 0:
        setattr(hit, turn, planted(error))
    model, said = with_warnings(lambda: trained(At(1, strike if whole else lambda model: None), ours))
    assert_same(state(model), state(trained(At(1, end))) if turn == "record_last_update" else alone(epochs))
    assert model.history_of_fit == list(range(epochs))
    assert len(said) == 1, said
    assert hook in said[0]
    assert "planted" in said[0]
    assert type(hit).__name__ in said[0]
    assert hit.retired
    assert not any(other.retired for other in mine.values() if other is not hit)
    runs = kx.load(tmp_path)
    assert set(runs) <= {"."}
    read = runs["."].epochs if runs else []
    assert read[:whole] == list(range(whole))
    if len(mine) > 1:
        assert read == list(range(epochs))
        if hook in ("on_epoch_begin", "on_epoch_end"):
            assert any("planted" in note for record in runs["."].history for note in record.notes)
        if hit is not mine["WeightGradients"]:
            assert [record.epoch for record in runs["."].weight_gradients] == list(range(epochs))


# Faults of a craft or of the system.


def full_disk(monkeypatch, log_dir, ours):
    """The file's descriptor leads to a device that is full: the system's own error."""
    writer = next(iter(parts(ours).values()))._session._writer
    device = os.open("/dev/full", os.O_WRONLY)
    os.dup2(device, writer._file.fileno())
    os.close(device)


def removed(monkeypatch, log_dir, ours):
    shutil.rmtree(log_dir)


def cut(monkeypatch, log_dir, ours):
    """Another process empties the event file."""
    for path in log_dir.rglob("*tfevents*"):
        os.truncate(path, 0)


def broken(path, error="RuntimeError"):
    return lambda monkeypatch, log_dir, ours: monkeypatch.setattr(path, planted(error))


# What strikes as epoch 1 begins; the callbacks that it hits; what is said.
CRAFTS = {
    "a method": (broken("keras_xai.attribution.engine.Engine._run"), PARTS[1:], "planted"),
    "a statistic": (broken("keras_xai.gradients.rows.derived"), PARTS[:1], "planted"),
    "the detector": (broken("keras_xai.drift.control_chart.ControlChart.update"), PARTS[2:], "planted"),
    "the sampling": (broken("keras_xai.gradients.sampling.Sampling.due"), PARTS[:1], "expect_step"),
    "reading the sums": (
        broken("keras_xai.gradients.tap.TrainFunctionTap.collect", "MemoryError"),
        PARTS[:1],
        "planted",
    ),
    "the writer": (broken("keras_xai.summary.writer.Writer.flush", "OSError"), PARTS, "planted"),
    "the wire": (broken("keras_xai.callbacks.session.Epoch", "MemoryError"), PARTS, "planted"),
    "a full disk": (full_disk, PARTS, "No space left on device"),
    "a removed directory": (removed, PARTS, "was removed"),
    "a file cut to nothing": (cut, PARTS, "was cut short"),
}
SHARED = ("the writer", "the wire", "a full disk", "a removed directory", "a file cut to nothing")
STRUCK = [
    (craft, name) for craft, (_, hit, _) in CRAFTS.items() for name in (*PARTS, "Explain") if name in (*hit, "Explain")
]


@pytest.mark.filterwarnings("ignore:.*is empty")  # what `load` says of a file that was cut to nothing
@pytest.mark.parametrize(
    ("craft", "name"),
    [pytest.param(c, n, marks=[] if n == "Explain" else pytest.mark.full) for c, n in STRUCK],
)
def test_a_fault_of_a_craft_or_of_the_disk(tmp_path, monkeypatch, alone, craft, name):
    """What one callback does ends that one; what they share ends all, with one warning that names them."""
    strike, hits, words = CRAFTS[craft]
    log_dir = tmp_path / "run"
    ours = callback(name, log_dir)
    model, said = with_warnings(lambda: trained(At(1, lambda model: strike(monkeypatch, log_dir, ours)), ours))
    monkeypatch.undo()
    assert_same(state(model), alone(EPOCHS))
    struck = [part for part in parts(ours) if part in hits]
    assert len(said) == (1 if craft in SHARED else len(struck)), said
    for part in struck:
        assert parts(ours)[part].retired
        assert any(part in text and words in text for text in said)
    assert all(part.retired == (part_name in struck) for part_name, part in parts(ours).items())
    if craft == "a removed directory":
        assert not log_dir.exists()
        return
    run = kx.load(log_dir)["."]
    assert run.epochs[:1] == ([] if craft == "a file cut to nothing" else [0])
    assert set(run.epochs) <= set(range(EPOCHS))
    if len(struck) < len(parts(ours)):
        assert run.epochs == list(range(EPOCHS))


@pytest.mark.parametrize("name", [*(pytest.param(part, marks=pytest.mark.full) for part in PARTS), "Explain"])
def test_a_directory_that_turns_read_only_before_the_first_epoch(tmp_path, monkeypatch, alone, name):
    """Train begin found it writable; the file cannot be made any more."""

    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system", str(args[0]))

    class Remount(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            monkeypatch.setattr("keras_xai.summary.writer.open", refuse, raising=False)

    ours = callback(name, tmp_path)
    model, said = with_warnings(lambda: trained(ours, Remount()))
    assert_same(state(model), alone(EPOCHS))
    assert len(said) == 1
    assert "Read-only file system" in said[0]
    assert all(part in said[0] and mine.retired for part, mine in parts(ours).items())


# What the user, the model or the data does wrong while training runs.


def test_a_model_of_nan_is_watched_to_its_end(tmp_path):
    """Weights that are not finite are no fault of ours: nobody retires, and the record says what it is."""

    def poison(model):
        model.layers[-1].kernel.assign(np.full(model.layers[-1].kernel.shape, np.nan))

    ours = callback("Explain", tmp_path)
    model, said = with_warnings(lambda: trained(At(1, poison), ours))
    assert_same(state(model), state(trained(At(1, poison))))
    assert said == []
    run = kx.load(tmp_path)["."]
    assert run.epochs == run.importance.epochs.tolist() == [0, 1, 2]
    assert np.isfinite(run.importance.share[0]).all()
    assert np.isnan(run.importance.share[1:]).all()
    assert any(kind == "non-finite" for _, kind, _ in run.weight_gradients[1].flags)
    assert any("not finite" in note for note in run.history[1].notes)


class TrainingRows(keras.layers.Layer):
    """A layer that takes batches of 32 and nothing else, once it has been told to."""

    strict = False

    def call(self, x):
        if self.strict and x.shape[0] not in (None, 32):
            raise ValueError(f"this layer takes 32 rows, not {x.shape[0]}")
        return x


class Picky(keras.Model):
    """Built by its first step: what a layer refuses is seen at the first epoch's end."""

    def __init__(self):
        super().__init__()
        self.rows, self.head = TrainingRows(), keras.layers.Dense(3)

    def call(self, x):
        return self.head(self.rows(x))


def picky() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = Picky()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.parametrize("name", [*PARTS[1:], "Explain"])
def test_a_probe_that_a_layer_refuses(tmp_path, name):
    """A model that its first step builds is checked right after that step: the error reaches the user."""
    x, y = small_data()
    model = picky()
    model.layers[0].strict = True
    batches = []
    count = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: batches.append(batch))
    with pytest.raises(kx.InvalidInput, match="this layer takes 32 rows"):
        model.fit(x, y, batch_size=32, epochs=2, verbose=0, callbacks=[count, callback(name, tmp_path)])
    assert batches == ([0, 1] if BACKEND == "tensorflow" else [])  # elsewhere Keras builds it before the first step


def test_a_live_source_that_raises_in_the_middle(tmp_path, alone):
    """It is the user's: watching it ends with one warning, the fixed probe is watched on."""
    reads = itertools.count()

    def source():
        if next(reads) > 2:
            raise ConnectionError("the store is gone")
        return small_data()

    ours = kx.ImportanceDrift(tmp_path, small_data(), live=source)
    model, said = with_warnings(lambda: trained(ours))
    assert_same(state(model), alone(EPOCHS))
    assert len(said) == 1
    assert "ConnectionError: the store is gone" in said[0]
    assert not ours.retired
    run = kx.load(tmp_path)["."]
    assert run.importance.epochs.tolist() == [0, 1, 2]
    assert run.importance_live.epochs.tolist() == [0]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("name", [*(pytest.param(part, marks=pytest.mark.full) for part in PARTS), "Explain"])
def test_an_interrupt_passes_through(tmp_path, name, interrupt):
    """It is the user's, wherever it strikes; what came before is read, and the next training is a run of its own."""

    def strike(model):
        def interrupted(*args):
            raise interrupt

        next(iter(parts(ours).values())).record_update = interrupted

    ours = callback(name, tmp_path)
    with pytest.raises(interrupt):
        trained(At(1, strike), ours)
    assert kx.load(tmp_path)["."].epochs == [0]
    _, said = with_warnings(lambda: trained(callback(name, tmp_path), epochs=1))
    assert said == []
    assert kx.load(tmp_path)["keras_xai-2"].epochs == [0]


@pytest.mark.parametrize("name", [*(pytest.param(part, marks=pytest.mark.full) for part in PARTS), "Explain"])
def test_in_development_the_fault_itself_is_raised(tmp_path, name):
    """on_error="raise": no warning, and the next training starts clean."""
    ours = callback(name, tmp_path, on_error="raise")
    hit = next(iter(parts(ours).values()))

    def fails():
        with pytest.raises(MemoryError, match="planted"):
            trained(At(1, lambda model: setattr(hit, "record_update", planted("MemoryError"))), ours)

    _, said = with_warnings(fails)
    assert said == []
    assert kx.load(tmp_path)["."].epochs == [0]


def test_a_warning_that_the_users_filter_made_an_error_is_theirs(tmp_path):
    """With `-W error` our warnings end the training as others do, as themselves, and nothing is left half done."""
    ours = callback("WeightGradients", tmp_path, on_flag="warn")

    def poison(model):
        model.layers[-1].kernel.assign(np.full(model.layers[-1].kernel.shape, np.nan))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match=r"^epoch 1: "):
            trained(At(1, poison), ours)
    assert kx.load(tmp_path)["."].epochs == [0, 1]


# The file itself.


def test_a_disk_that_fills_up_in_the_middle_of_a_frame_ends_the_file_with_what_is_whole(tmp_path):
    """The system writes half of the data and refuses the rest; half a frame would hide what a resumed run appends."""
    writer = Writer(tmp_path / "keras_xai")
    writer.write(epoch_of_records(0))
    writer.flush()
    size = writer.path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer.write(epoch_of_records(1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            writer.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert writer.path.stat().st_size == size
    with pytest.raises(ValueError, match="closed"):
        writer.write(epoch_of_records(2))
    writer.close()
    assert kx.load(tmp_path)["."].epochs == [0]


def test_a_record_that_cannot_be_written_takes_no_others_constants_with_it(tmp_path):
    """A tag's constants stand in its first event: one that failed is not taken for written."""
    writer = Writer(tmp_path / "keras_xai")
    with pytest.raises(TypeError, match="no wire form"):
        writer.write([*epoch_of_records(0), object()])
    writer.write(epoch_of_records(0))
    writer.close()
    assert kx.load(tmp_path)["."].epochs == [0]
