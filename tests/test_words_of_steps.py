"""What command, report and sentences say of runs that count in steps."""

from __future__ import annotations

import dataclasses
import json

import pytest

from keras_xai.analysis.gradients import gradient_health
from keras_xai.analysis.overview import summary
from keras_xai.cli import main
from keras_xai.events import events, line
from keras_xai.gradients.flags import sentence
from keras_xai.judgement import QUIET, UNWATCHED, judge
from keras_xai.page import report
from keras_xai.records import Flag, Stop, listed
from keras_xai.run import Run, load
from keras_xai.summary.store import FileStore
from keras_xai.summary.writer import Writer
from tests.run_in_steps import in_steps


@pytest.fixture(scope="module")
def runs(stepped_directory):
    return load(stepped_directory)


def test_an_event_says_each_moment(runs):
    """Of the first alert with the epoch that Keras prints, of the others in the same unit."""
    (event,) = events(runs["columns"].alerts)
    assert line(event) == (
        "step 70 of epoch 1 (Keras prints epoch 2): the training data changed: age (2.00% → 50.00%, z +9.0); seen on the live "
        "rows, score 9.0, limit 6; seen on the fixed probe, score 9.0, limit 6 at step 90 of epoch 1."
    )
    assert str(event[0]).startswith("step 70 of epoch 1 (Keras prints epoch 2): ")
    assert "gives since this step with" in event[0].advice
    assert "gives since this epoch with" in dataclasses.replace(event[0], step=None).advice


def test_the_summary_is_in_steps(runs):
    told = summary(runs["columns"])
    assert (
        told.sentence
        == "Step 70 of epoch 1: the training data changed in age, and by step 90 of epoch 1 the model relies on it."
    )
    assert told.before == 60
    assert "Score 9.0 at step 70, limit 6." in told.detail
    assert "Training loss since step 60: " in told.detail
    assert told.facts[1].note == "drift score, step 120"
    assert summary(runs["columns"], 80).facts[1].note == "drift score, step 80: burn-in until step 90"
    assert summary(runs["pictures/clean"]).sentence.startswith("Since step 100, 1 of 4 variables get no gradient")


def test_flags_stand_since_a_step(runs):
    clean = runs["pictures/clean"]
    assert judge(clean).alarms == ("step 120 of epoch 2: head/kernel is dead since step 100",)
    assert "head/kernel has had no gradient since step 100: " in gradient_health(clean)
    assert "the median of the updates before" in gradient_health(clean, 20)
    words = sentence([Flag("layer/kernel", "exploding", 400)], {"exploding": 100.0}, "step")
    median = "the RMS of its gradient is over 100 × the median of its earlier updates"
    assert words == f"layer/kernel (since step 400): exploding, {median}"


def test_a_quiet_run_was_watched_for_updates(runs, tmp_path, told_directory):
    """Twelve updates in three epochs are long enough, though three epochs would not be."""
    told = judge(in_steps(load(told_directory)["words"], tmp_path))
    assert told.status == QUIET
    assert told.calm.startswith("no change seen in 12 updates, highest drift score 1.1, limit 6; ")
    assert judge(runs["in_epochs"]).calm.startswith("no change seen in 12 epochs, ")


def test_a_training_inside_its_burn_in_is_told_how_to_look_more_often(runs):
    told = judge(runs["early"])
    assert told.status == UNWATCHED
    assert told.reasons == (
        "3 updates are not long enough to watch: the burn-in takes 8",
        'a short training is looked at more often with every="auto" (up to 30 times) or fewer steps in every=',
    )
    assert judge(runs["in_epochs"], 3).reasons[-1] == (
        'a short training is looked at more often with every="auto" (up to 30 times) or every="200 steps"'
    )
    assert judge(runs["columns"], 30).reasons == told.reasons  # as it stood at a step


def test_stops_are_told_by_their_step(tmp_path, told_directory):
    in_steps(load(told_directory)["columns"], tmp_path)
    writer = Writer(tmp_path / "keras_xai", start=121, past_updates=12)
    writer.write([Stop(2, "live_rows", "the source failed", step=65)])
    writer.close()
    run = Run(FileStore(tmp_path / "keras_xai"))
    assert judge(run).faults == ("the live rows stopped at step 65 of epoch 1: the source failed",)


def test_steps_are_listed_one_by_one():
    """Numbers of updates do not follow each other as epochs do."""
    assert listed([20, 21, 40], "step") == "steps 20, 21 and 40"
    assert listed([20], "step") == "step 20"
    assert listed([3, 4, 5, 9]) == "epochs 3 to 5 and 9"


def test_the_command_and_the_report_speak_in_steps(stepped_directory, tmp_path, capsys):
    assert main(["check", str(stepped_directory), "--json"]) == 1
    entries = {entry["run"]: entry for entry in json.loads(capsys.readouterr().out)["runs"]}
    assert (entries["columns"]["epochs"], entries["columns"]["updates"]) == (3, 12)
    assert "updates" not in entries["in_epochs"]
    assert entries["begun"]["reasons"] == ["no epoch was recorded"]
    main(["check", str(stepped_directory)])
    assert "head/kernel is dead since step 100" in capsys.readouterr().out
    page = report(stepped_directory, tmp_path / "report.html").read_text()
    assert '<td class="alarm">step 70 of epoch 1</td>' in page
    assert "live rows, step 70 of epoch 1: age" in page
    assert '<p class="sentence">Training has begun.</p>' in page
    assert "Integrated gradients, before training" in page
