"""One function judges a run: what alarmed, what broke, what nobody watched, and only else is it quiet."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.analysis.overview import summary
from keras_xai.cli import main
from keras_xai.figures.overview import figure
from keras_xai.judgement import ALARM, QUIET, UNWATCHED, Judgement, judge, not_finite_since, overall
from keras_xai.plugin.payload import card, whole
from keras_xai.records import Alert, Epoch, Shares, Stop
from keras_xai.summary.writer import Writer
from tests.run_in_epochs import RunInEpochs

NAMES = ("age", "dose")


def shares(epoch, share=(0.6, 0.4), score=1.0):
    score = np.nan if epoch < 2 else score
    return Shares(epoch, "clean", NAMES, np.asarray(share, np.float32), score, 6.0, burn_in=2)


def alert(epoch):
    return Alert(epoch, "clean", "reliance moved", False, (("dose", 0.4, 0.9, 1, 9.0),), 9.0, 6.0)


def written(directory, *more, epochs=range(6)):
    """A run on disk: importance at each epoch, and some records more."""
    writer = Writer(directory / "keras_xai")
    for epoch in epochs:
        writer.write([Epoch(epoch, 1e9 + epoch, 1.0, 0.1, 0.01, {"loss": 1.0}), shares(epoch)])
    writer.write(more)
    writer.close()
    return kx.load(directory)["."]


def test_quiet(tmp_path, capsys):
    """With what was watched."""
    run = written(tmp_path)
    unseen = "shortcuts present from the start were not looked for: live rows and probe were not compared"
    assert judge(run) == Judgement(calm=f"no change seen in 6 epochs, highest drift score 1.0, limit 6; {unseen}")
    assert judge(run).status == QUIET
    assert "goes on relying" in summary(run).sentence
    assert main(["check", str(tmp_path)]) == 0


BROKEN = {
    "a callback": (Stop(3, "importance_drift", "ValueError: no"), "ImportanceDrift stopped at epoch 3: ValueError: no"),
    "its live rows": (Stop(3, "live_rows", "OSError: gone"), "the live rows stopped at epoch 3: OSError: gone"),
    "another callback": (Stop(0, "weight_gradients", "no"), "WeightGradients stopped at epoch 0: no"),
}


@pytest.mark.oldest
@pytest.mark.parametrize("part", BROKEN)
def test_a_part_that_stopped_is_seen_everywhere(tmp_path, capsys, part):
    """In `check`, the overview, the report and the tab; nowhere is the run called quiet."""
    record, clause = BROKEN[part]
    run = written(tmp_path, record)
    assert judge(run).faults == (clause,)
    assert main(["check", str(tmp_path)]) == UNWATCHED
    printed = capsys.readouterr().out
    assert clause in printed
    sentence = f"{clause[:1].upper()}{clause[1:]}."
    told = summary(run)
    assert told.faults == (sentence,)
    assert told.sentence == "No alert so far, but not all of this training was watched."
    if record.epoch:
        assert summary(run, record.epoch - 1).faults == ()
    page = kx.report(tmp_path, tmp_path / "report.html").read_text()
    body = page[page.index("<body>") :]
    assert f'<p class="fault">{sentence}</p>' in body
    assert sentence in figure(run)["layout"]["title"]["text"]
    assert card(".", run)["faults"] == 1
    assert record.reason in " ".join(whole(".", run)["stops"].values())
    assert "quiet" not in printed + body.replace("xai_quiet_epochs", "") + told.detail


def test_an_alarm_comes_first_and_hides_no_stop(tmp_path, capsys):
    """Exit status 1, both named."""
    written(tmp_path, alert(4), BROKEN["its live rows"][0])
    assert main(["check", str(tmp_path)]) == ALARM
    printed = capsys.readouterr().out
    assert "reliance" in printed
    assert BROKEN["its live rows"][1] in printed


def test_missing_epochs(tmp_path, capsys):
    """Not watched, with their numbers."""
    run = written(tmp_path, epochs=[0, 1, 2, 5, 7])
    assert judge(run).faults == ("epochs 3 to 4 and 6 were not recorded",)
    assert judge(run, 2).faults == ()
    assert summary(run).faults == ("Epochs 3 to 4 and 6 were not recorded.",)
    assert card(".", run)["faults"] == 1
    assert main(["check", str(tmp_path)]) == UNWATCHED


def test_gaps():
    """Nothing recorded, no importance, a run inside its burn-in: not watched, and nothing broke."""
    nothing = RunInEpochs(
        reliance=[],
        gap=None,
        epochs=[],
        stops=[],
        missing_epochs=[],
        doubts=[],
        alerts=[],
        weight_gradients=[],
        importance=None,
    )
    nothing.importance_live = nothing.data_score = None
    assert judge(nothing).gaps == ("no epoch was recorded",)
    nothing.epochs = [0, 1]
    assert judge(nothing).reasons == ("no importance was recorded: ImportanceDrift was not among the callbacks",)
    assert judge(nothing).status == UNWATCHED


def test_inside_the_burn_in_nothing_is_said_of_reliance(tmp_path):
    """Neither by the overview nor by `check`."""
    run = written(tmp_path, epochs=range(2))
    assert judge(run).gaps == ("2 updates are not long enough to watch: the burn-in takes 2",)
    assert "too early" in summary(run).sentence
    later = written(tmp_path / "later")
    assert "too early" in summary(later, 1).sentence
    assert judge(later, 1).gaps == judge(run).gaps
    assert judge(later).gaps == ()


def test_an_importance_that_is_not_finite(tmp_path):
    """Since when, as long as it stays so."""
    nan = (np.nan, np.nan)
    writer = Writer(tmp_path / "keras_xai")
    for epoch in range(6):
        writer.write([Epoch(epoch, 1e9, 1.0, 0.1, 0.01, {}), shares(epoch, nan if epoch in (1, 4, 5) else (0.6, 0.4))])
    writer.close()
    run = kx.load(tmp_path)["."]
    assert [not_finite_since(run.importance, now) for now in range(6)] == [None, 1, None, None, 4, 4]
    assert judge(run).faults == ("no importance could be measured since epoch 4: it is not finite, or zero everywhere",)
    assert not_finite_since(None) is None


def test_what_cannot_be_read_is_no_verdict():
    """A crash is a fault, hides no alarm, and is never one."""

    class Broken:
        alerts = (alert(3),)

        def __getattr__(self, name):
            raise RuntimeError(f"no {name}")

    judgement = judge(Broken())
    assert judgement.status == ALARM
    assert "cannot be judged: RuntimeError: no weight_gradients" in judgement.faults
    Broken.alerts = ()
    assert judge(Broken()).status == UNWATCHED


def test_the_worst_of_all():
    """Nothing at all is unwatched."""
    quiet, alarmed, broken = Judgement(calm="quiet"), Judgement(("x",), ("y",)), Judgement(faults=("y",))
    assert overall({}) == UNWATCHED
    assert overall({"a": quiet}) == QUIET
    assert overall({"a": quiet, "b": broken}) == UNWATCHED
    assert overall({"a": alarmed, "b": broken, "c": quiet}) == ALARM
    assert dataclasses.replace(quiet, gaps=("z",)).status == UNWATCHED
