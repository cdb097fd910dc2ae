"""The command, as a pipeline calls it."""

import json

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
    assert "quiet for 12 epochs, highest drift score 1.5 of 6" in capsys.readouterr().out


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
    told = json.loads(capsys.readouterr().out)
    assert told["status"] == 1
    assert {r["run"]: (r["status"], r["alerts"]) for r in told["runs"]} == {"quiet": (0, 0), "caught": (1, 1)}


def test_wrong_usage_is_two():
    """argparse's own status."""
    with pytest.raises(SystemExit) as caught:
        main(["chekc"])
    assert caught.value.code == 2
