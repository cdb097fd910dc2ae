"""The command, as a pipeline calls it."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_xai.cli import main
from keras_xai.records import STATISTICS, Alert, Epoch, Gradients, Shares
from keras_xai.summary.writer import Writer

EDGES = np.array([1, 2], np.float32)


@pytest.fixture
def log(tmp_path):
    """`log(name, epochs, alerts=(), dead=False)` writes a run and returns the directory above."""

    def write(name, epochs, alerts=(), dead=False, importance=True):
        writer = Writer(tmp_path / name / "keras_xai")
        for e in range(epochs):
            flags = (("conv/kernel", "dead", 2),) if dead and e >= 4 else ()
            values = {s: np.ones(1, np.float32) for s in STATISTICS}
            writer.write([Gradients(e, ("conv/kernel",), values, np.ones((1, 1), np.float32), EDGES, 3, flags)])
            if importance:
                writer.write([Shares(e, "clean", ("a",), np.ones(1, np.float32), 1.5 if e >= 7 else np.nan, 6.0)])
            if e in alerts:
                writer.write([Alert(e, "clean", "reliance moved", False, (("a", 0.1, 0.2, 1, 7.0),), 7.0, 6.0)])
            writer.write([Epoch(e, 0.0, 1.0, 0.1, 1e-3, {})])
        writer.close()
        return str(tmp_path)

    return write


def test_a_quiet_run_is_zero(log, capsys):
    """Watched beyond the burn-in, and no alarm."""
    assert main(["check", log("run", 12)]) == 0
    assert (
        "no change seen in 12 epochs, highest drift score 1.5, limit 6; shortcuts present from the start were"
        in capsys.readouterr().out
    )


def test_an_alarm_is_one_and_told(log, capsys):
    """With the alert's own words; as many as allowed are none."""
    directory = log("run", 12, alerts=[9])
    assert main(["check", directory]) == 1
    assert "ALARM    run\n    epoch 9 (Keras prints 10): the model moved its reliance: a (10" in capsys.readouterr().out
    assert main(["check", directory, "--max-alerts", "1"]) == 0


def test_a_dead_layer_is_one(log, capsys):
    """A gradient flag that stands at the end."""
    assert main(["check", log("run", 12, dead=True)]) == 1
    assert "conv/kernel is dead since epoch 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("epochs", "importance", "words"), [(8, True, "not long enough"), (12, False, "ImportanceDrift")]
)
def test_what_could_not_raise_an_alarm_was_not_watched(log, capsys, epochs, importance, words):
    """Two: a burn-in that never ended, or no importance at all."""
    assert main(["check", log("run", epochs, importance=importance)]) == 2
    assert words in capsys.readouterr().out


def test_nothing_to_read_is_two(tmp_path, capsys):
    """An empty directory, or none."""
    assert main(["check", str(tmp_path)]) == 2
    assert main(["check", str(tmp_path / "nowhere")]) == 2
    assert "no directory" in capsys.readouterr().err


def test_the_worst_run_decides_and_json_says_it_all(log, capsys):
    """One object for machines."""
    log("quiet", 12)
    directory = log("caught", 12, alerts=[9])
    assert main(["check", directory, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == 1
    assert {r["run"]: (r["status"], r["alerts"]) for r in document["runs"]} == {"quiet": (0, 0), "caught": (1, 1)}


NAMES = [
    "age\x1b]0;owned\x07\x1b[2J",
    "age\n::error title=x::y\n::add-mask::quiet",
    "age ##vso[task.setvariable variable=x]y ##[error]z",
    "\u202eegats\u2028\u0085",
]


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize("name", NAMES)
def test_names_act_on_no_terminal_and_command_no_pipeline(tmp_path, capsys, name, form):
    """Those of features, variables, runs: what is printed are lines of our own, without control characters."""
    writer = Writer(tmp_path / f"::{name}".replace("/", "") / "keras_xai")
    values = {s: np.ones(1, np.float32) for s in STATISTICS}
    writer.write([Gradients(0, (name,), values, np.ones((1, 1), np.float32), EDGES, 3, ((name, "dead", 0),))])
    writer.write([Alert(0, "clean", "reliance moved", False, ((name, 0.1, 0.2, 1, 7.0),), 7.0, 6.0)])
    writer.write([Epoch(0, 0.0, 1.0, 0.1, 1e-3, {})])
    writer.close()
    assert main(["check", str(tmp_path), *form]) == 1
    out = capsys.readouterr().out
    assert not set(out) & {*map(chr, (*range(10), *range(11, 32), *range(127, 160), 0x2028, 0x202E))}
    assert not any(line.lstrip().startswith("::") for line in out.splitlines())
    assert not re.search(r"##\w*\[", out)
    assert len(out.splitlines()) == (1 if form else 3)
    if form:
        assert out.isascii()
        assert len(json.loads(out)["runs"][0]["reasons"]) == 2


def test_an_alarm_is_not_hidden_by_a_run_of_the_same_name(log, capsys):
    """Two directories that would go by one name are two runs, whatever their order."""
    directory = log("a/b", 12, alerts=[9])
    log("a\\b", 12)
    assert main(["check", directory]) == 1
    assert "ALARM    a/b/keras_xai\n" in capsys.readouterr().out
    assert main(["check", directory, "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 2


def test_names_that_are_no_utf8_are_shown_escaped(log, tmp_path, capsys):
    """Linux takes any bytes for a name."""
    log("other", 12)
    os.rename(tmp_path / "other", Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")))
    assert main(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("quiet    caf\\xe9\n")


def test_a_terminal_of_few_characters_gets_escapes(log, capsys, monkeypatch):
    """An alert has an arrow, a name may have anything."""
    directory = log("größe", 12, alerts=[9])
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["check", directory]) == 1
    terminal.seek(0)
    assert "ALARM    gr\\xf6\\xdfe" in terminal.read()


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, RecursionError, UnicodeEncodeError])
def test_a_crash_is_no_verdict(log, capsys, monkeypatch, error):
    """Two, and one line that names it: of the run that could not be judged, or of the command."""

    def fail(*arguments, **options):
        raise error(*(("utf-8", "x", 0, 1, "planted") if error is UnicodeEncodeError else ("planted\n::error::",)))

    directory = log("run", 12)
    log("caught", 12, alerts=[9])
    monkeypatch.setattr("keras_xai.run.Run.epochs", property(fail))
    assert main(["check", directory]) == 1  # the other one's alarm stands
    out = capsys.readouterr().out
    assert f"not watched    run\n    cannot be judged: {error.__name__}: " in out
    assert "ALARM    caught" in out
    monkeypatch.setattr("keras_xai.judgement.overall", fail)
    assert main(["check", directory]) == 2
    assert capsys.readouterr().err.startswith(f"keras-xai check failed: {error.__name__}: ")
    monkeypatch.setattr("keras_xai.page.report", fail)
    assert main(["report", directory]) == 2
    assert capsys.readouterr().err.startswith(f"keras-xai report failed: {error.__name__}: ")


def test_an_alarm_stands_whatever_else_cannot_be_read(log, capsys, monkeypatch):
    """One: an alert was read, the gradients could not be."""
    directory = log("run", 12, alerts=[9])

    def fail(run):
        raise RuntimeError("planted")

    monkeypatch.setattr("keras_xai.run.Run.weight_gradients", property(fail))
    assert main(["check", directory]) == 1


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_record_may_have_been_an_alarm(log, capsys):
    """Two, and why: what was passed over is not known."""
    directory = log("run", 12)
    (path,) = Path(directory).rglob("*tfevents*")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert main(["check", directory]) == 2
    out = capsys.readouterr().out
    assert "cannot be judged: 1 damaged record" in out or "cannot be judged: events.out" in out


def test_wrong_usage_is_two():
    """argparse's own status."""
    with pytest.raises(SystemExit) as caught:
        main(["chekc"])
    assert caught.value.code == 2


def test_a_demo_without_a_framework_says_what_to_install(tmp_path):
    """Of a Keras that has none, and of one that is told to take one that is not there."""
    absent = "import sys; sys.modules.update(tensorflow=None, jax=None, torch=None); from keras_xai.cli import main;"
    command = [sys.executable, "-c", f"{absent} sys.exit(main(['demo', {str(tmp_path / 'logs')!r}]))"]
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    for backend, extra in ((None, "tensorflow"), ("jax", "jax")):
        chosen = environment | ({"KERAS_BACKEND": backend} if backend else {})
        process = subprocess.run(command, capture_output=True, text=True, check=False, env=chosen, timeout=120)
        assert process.returncode == 2
        assert f'pip install "keras-xai[{extra}]"' in process.stderr
        assert "Traceback" not in process.stderr
    assert not (tmp_path / "logs").exists()
