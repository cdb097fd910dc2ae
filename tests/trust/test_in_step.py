"""Several processes train one model: all of ours go in step, whatever happens in one of them. Played by two threads."""

from __future__ import annotations

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.schedule import Schedule
from keras_xai.callbacks.session import RunSession
from tests.callbacks.small_training import small_data, small_model
from tests.trust.planting import planted
from tests.trust.trainings import EPOCHS, At, assert_same, callback, parts, with_warnings


class Training:
    """What a process has of its training."""

    def __init__(self, ours, model, history):
        self.ours, self.model, self.history = ours, model, history


def trained_in_step(processes, make, *others, epochs=EPOCHS, **options):
    """Train in each process; `make(rank)` returns its callbacks. What each has, and the warnings of all."""
    models = [small_model() for _ in range(processes.size)]
    for model in models[1:]:
        model.set_weights(models[0].get_weights())

    def process(rank):
        ours = make(rank)
        several = [*ours] if isinstance(ours, list) else [ours]
        settings = {"epochs": epochs, "batch_size": 32, "shuffle": False, "verbose": 0, **options}
        history = models[rank].fit(*small_data(), callbacks=[*several, *others], **settings)
        return Training(ours, models[rank], history)

    return with_warnings(lambda: processes.run(process))


def test_one_writes_and_all_log_the_same(tmp_path, processes):
    """The weights as without us, one file, the same keys and figures in `logs` of both."""
    trainings, said = trained_in_step(processes, lambda rank: callback("Explain", tmp_path / f"run{rank}", log="all"))
    chief, other = trainings
    assert said == []
    assert not (tmp_path / "run1").exists()
    assert len(list((tmp_path / "run0" / "keras_xai").iterdir())) == 1
    run = kx.load(tmp_path / "run0")["."]
    assert run.epochs == run.importance.epochs.tolist() == [0, 1, 2]
    assert [record.missing for record in run.weight_gradients] == [""] * EPOCHS
    assert set(chief.history.history) == set(other.history.history)
    for key in chief.history.history:
        if key.startswith("xai_"):
            np.testing.assert_array_equal(chief.history.history[key], other.history.history[key])
    alone = small_model()
    alone.fit(*small_data(), epochs=EPOCHS, batch_size=32, shuffle=False, verbose=0)
    for training in trainings:
        assert_same(training.model.get_weights(), alone.get_weights())


@pytest.mark.parametrize(
    ("name", "turn", "failing"),
    [
        ("WeightGradients", "check", 1),
        ("ImportanceDrift", "on_run_start", 0),
        ("ImportanceDrift", "on_update_written", 1),
        ("WeightGradients", "record_update", 0),
        ("ProbeAttributions", "record_update", 1),
        ("ProbeAttributions", "close", 1),
    ],
)
def test_a_fault_in_one_process_ends_the_callback_in_both(tmp_path, processes, name, turn, failing):
    """One warning, by the chief, says in which process; the other callbacks go on in both."""

    def make(rank):
        ours = callback("Explain", tmp_path)
        if rank == failing:
            setattr(parts(ours)[name], turn, planted("MemoryError"))
        return ours

    trainings, said = trained_in_step(processes, make)
    assert len(said) == 1, said
    assert "planted" in said[0]
    assert name in said[0]
    assert ("process 1: " in said[0]) == (failing == 1)
    for training in trainings:
        assert {part for part, ours in parts(training.ours).items() if ours.retired} == {name}
        assert training.history.epoch == [0, 1, 2]
    run = kx.load(tmp_path)["."]
    assert run.epochs == [0, 1, 2]


def test_a_full_disk_of_the_chief_ends_all_in_both(tmp_path, monkeypatch, processes):
    """What the callbacks of the chief share, they share with the others."""

    def fill(model):
        monkeypatch.setattr("keras_xai.summary.writer.Writer.flush", planted("OSError"))

    trainings, said = trained_in_step(
        processes, lambda rank: [callback("Explain", tmp_path), At(1, fill if rank == 0 else lambda model: None)]
    )
    assert len(said) == 1
    assert all(part in said[0] for part in ("WeightGradients", "ProbeAttributions", "ImportanceDrift"))
    for training in trainings:
        assert all(part.retired for part in parts(training.ours[0]).values())
        assert training.history.epoch == [0, 1, 2]


def test_a_disk_that_fills_while_one_callback_ends_ends_all_in_both(tmp_path, monkeypatch, processes):
    """The chief alone sees the second fault, when nobody waits in an exchange."""

    def make(rank):
        ours = callback("Explain", tmp_path)
        hit = parts(ours)["ProbeAttributions"]

        def strike(model):
            if rank == 0:
                monkeypatch.setattr("keras_xai.summary.writer.Writer.flush", planted("OSError"))
            hit.record_update = planted("MemoryError")

        return [ours, At(1, strike)]

    trainings, _ = trained_in_step(processes, make)
    for training in trainings:
        assert all(part.retired for part in parts(training.ours[0]).values())
        assert training.history.epoch == [0, 1, 2]


def test_a_fault_between_two_steps_is_heard_at_the_epochs_end(tmp_path, monkeypatch, processes):
    """No exchange for every batch."""

    def make(rank):
        ours = callback("WeightGradients", tmp_path, samples_per_epoch=1)
        if rank == 1:
            due = ours._sampling.due
            monkeypatch.setattr(
                ours._sampling, "due", lambda execution: planted("RuntimeError")() if execution == 2 else due(execution)
            )
        return ours

    trainings, said = trained_in_step(processes, make)
    assert len(said) == 1
    assert "process 1: RuntimeError: planted" in said[0]
    assert all(training.ours.retired for training in trainings)


def test_a_callback_that_a_user_wants_to_raise_raises_in_both(tmp_path, processes):
    """`on_error="raise"`, and an alarm."""

    def make(rank):
        ours = callback("ImportanceDrift", tmp_path, on_error="raise")
        if rank == 1:
            ours.record_update = planted("OSError")
        return ours

    (chief, other), _ = trained_in_step(processes, make)
    assert isinstance(other, OSError)
    assert "process 1: OSError" in str(chief)


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_warning_that_the_chief_raises_ends_both(tmp_path, processes):
    """Under `-W error` the chief's fit ends: so does the other's, who would wait for it."""
    models = [small_model(), small_model()]

    def process(rank):
        ours = callback("ImportanceDrift", tmp_path)
        if rank == 1:
            ours.record_update = planted("OSError")
        models[rank].fit(*small_data(), epochs=2, verbose=0, callbacks=[ours])

    chief, other = processes.run(process)
    assert isinstance(chief, UserWarning)
    assert "process 0: UserWarning" in str(other)


@pytest.mark.parametrize("response", ["stop", "raise"])
def test_an_alarm_of_the_chief_ends_both_at_one_epoch(tmp_path, processes, response):
    """Also where the other process did not see it: it may round differently at the limit."""

    def make(rank):
        ours = callback("ImportanceDrift", tmp_path, on_drift=response)
        end_update = kx.drift.monitor.DriftMonitor.end_update
        alert = kx.records.Alert(1, "clean", "reliance moved", False, (("column 0", 0.1, 0.6, 1, 9.0),), 9.0, 6.0, 1)

        def check():
            type(ours).check(ours)
            if rank == 0:
                ours._monitor.end_update = lambda epoch, **options: [
                    *end_update(ours._monitor, epoch, **options),
                    *([alert] if epoch == 1 else []),
                ]

        ours.check = check
        return ours

    trainings, said = trained_in_step(processes, make, epochs=5)
    if response == "raise":
        assert [type(error) for error in trainings] == [kx.DriftAlarm] * 2
        assert str(trainings[0]) == str(trainings[1])
        assert repr(trainings[0].alert) == repr(trainings[1].alert)
        return
    assert [training.history.epoch for training in trainings] == [[0, 1]] * 2
    assert len(said) == 1


def test_a_resumed_run_is_the_chiefs(tmp_path, processes):
    """It alone has the directory: which epochs are looked at, and which classes are explained, it says to the other."""
    x, _ = small_data()

    def make(rank):
        return kx.ProbeAttributions(tmp_path / f"run{rank}", x, "saliency", samples=6, every=4)

    trained_in_step(processes, make, epochs=2)
    records = []

    def record(rank):
        ours = make(rank)
        inner = ours.record_update
        ours.record_update = lambda epoch, logs: (
            records.append((epoch, rank, ours._explainer.target.tolist())) or inner(epoch, logs)
        )
        return ours

    trained_in_step(processes, record, epochs=7, initial_epoch=2)
    assert sorted({(epoch, rank) for epoch, rank, _ in records}) == [(4, 0), (4, 1), (6, 0), (6, 1)]
    first = kx.load(tmp_path / "run0")["."].attributions("saliency")[0].target.tolist()
    assert all(target == first for _, _, target in records)


def other_rows(rank):
    x, y = small_data()
    return kx.ImportanceDrift("run", (x + rank, y))


def other_live_rows(rank):
    x, y = small_data()
    return kx.ImportanceDrift("run", (x, y), live=(x + rank, y))


def other_method(rank):
    return kx.ProbeAttributions("run", small_data(), ("saliency", "occlusion")[rank])


def other_end(rank):
    return kx.ImportanceDrift("run", small_data(), on_drift=("warn", "stop")[rank])


def other_callback(rank):
    return [kx.WeightGradients("run"), kx.ImportanceDrift("run", small_data())][:: (1, -1)[rank]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (other_rows, "ImportanceDrift: probe is not the same in the 2 processes"),
        (other_live_rows, "ImportanceDrift: live is not the same"),
        (other_method, "ProbeAttributions: method is not the same"),
        (other_end, "ImportanceDrift: on_drift is not the same"),
        (other_callback, "in another order"),
    ],
)
def test_what_differs_between_processes_is_refused_in_both(tmp_path, monkeypatch, processes, make, words):
    """Before the first step, in words."""
    monkeypatch.chdir(tmp_path)
    outcomes, _ = trained_in_step(processes, make)
    for error in outcomes:
        assert isinstance(error, kx.InvalidInput)
        assert words in str(error)


@pytest.mark.parametrize("raises", [False, True])
def test_live_rows_that_one_process_cannot_read_are_watched_by_none(tmp_path, processes, raises):
    """Or reads otherwise: one warning, and the fixed probe is watched on in both."""
    reads = [0, 0]

    def make(rank):
        def read():
            x, y = small_data()
            reads[rank] += 1
            if reads[rank] > 3 and rank == 1:
                if raises:
                    raise OSError("gone")
                x = x + 1
            return x, y

        return callback("ImportanceDrift", tmp_path, live=read)

    trainings, said = trained_in_step(processes, make)
    assert len(said) == 1
    assert "The live rows are watched no longer" in said[0]
    assert ("process 1: OSError: gone" if raises else "differ between the processes") in said[0]
    assert all(training.ours._live_rows is None and not training.ours.retired for training in trainings)
    run = kx.load(tmp_path)["."]
    assert run.importance.epochs.tolist() == [0, 1, 2]


def test_a_step_that_one_process_cannot_record_is_recorded_by_none(tmp_path, monkeypatch, processes):
    """The run says why."""

    def make(rank):
        ours = callback("WeightGradients", tmp_path)
        check = ours.check

        def refuse():
            check()
            if rank == 1:
                ours._tap._own_recording_function = lambda arguments: None

        ours.check = refuse
        return ours

    _, said = trained_in_step(processes, make)
    assert said == ["Gradients are not captured: another process of the training cannot record them."]


@pytest.mark.full
def test_only_the_chief_says_what_it_cost(tmp_path, monkeypatch, capsys, processes):
    """One line, one message above 5 %."""
    monkeypatch.setattr("keras_xai.callbacks.overhead.NOTICE_AFTER_SECONDS", 0.0)
    monkeypatch.setattr("keras_xai.callbacks.overhead.NOTICE_ABOVE", 0.0)
    notices = []
    monkeypatch.setattr("keras_xai.callbacks.session.logger.warning", lambda text, *args: notices.append(args))
    trained_in_step(processes, lambda rank: callback("ImportanceDrift", tmp_path), epochs=5, verbose=2)
    assert capsys.readouterr().out.count("keras_xai: the callbacks took") == 1
    assert len(notices) == 1


def test_a_misuse_that_one_process_finds_reaches_both(tmp_path, processes):
    """A directory that the chief cannot write."""
    (tmp_path / "file").write_text("")

    def make(rank):
        ours = callback("WeightGradients", tmp_path / f"run{rank}")
        if rank == 0:
            ours.log_dir = tmp_path / "file"
        return ours

    for error in trained_in_step(processes, make)[0]:
        assert isinstance(error, kx.InvalidInput)
        assert "is not writable" in str(error)


def test_a_process_that_is_gone_stops_nobody(tmp_path, monkeypatch):
    """The exchange itself fails: our callbacks end, and the training says by itself what it cannot do."""
    from keras_xai.backend import get_backend
    from keras_xai.backend.team import Team

    answers = []

    def gather(message):
        answers.append(message)
        if len(answers) > 30:
            raise ConnectionError("closed by peer")
        return [message, message]

    monkeypatch.setattr(get_backend(), "team", lambda model: Team(0, 2, gather))
    ours = callback("Explain", tmp_path)
    model = small_model()
    _, said = with_warnings(lambda: model.fit(*small_data(), epochs=EPOCHS, verbose=0, callbacks=[ours]))
    assert all(part.retired for part in parts(ours).values())
    assert any("closed by peer" in text for text in said)
    assert model.history.epoch == [0, 1, 2]


def test_a_session_that_writes_nothing_makes_no_directory(tmp_path):
    """That of another process than the chief."""
    session = RunSession.of(tmp_path / "run", {"epochs": 1}, writes=False)
    session.join(object(), {}, None, Schedule(1))
    session.begin_epoch(0, None)
    session.close()
    assert not (tmp_path / "run").exists()
