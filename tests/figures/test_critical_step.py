"""The figure and the words of the critical step."""

import numpy as np
import pytest

from keras_xai.analysis.critical_step import step_sentence, step_words
from keras_xai.figures.critical_step import critical_step
from keras_xai.figures.theme import Look, Overlay
from keras_xai.records import STEP_LIMITS, StepSizes
from tests.run_in_epochs import RunInEpochs


def run_of(*steps, missing=""):
    records = [StepSizes(epoch, multiples, (0.5,) * len(multiples), missing) for epoch, multiples in enumerate(steps)]
    return RunInEpochs(epochs=[*range(len(steps))], critical_step=records, alerts=[], history=[])


@pytest.mark.parametrize(
    ("multiple", "words"),
    [
        (STEP_LIMITS[1], "1,024 times this step or more could be taken"),
        (73.4, "73 times this step could be taken"),
        (2.6, "2.6 times this step could be taken"),
        (1.42, "at the edge: 1.4 times this step"),
        (0.31, "beyond the edge: 0.31 of this step"),
        (STEP_LIMITS[0], "beyond the edge: even 0.0156 of this step raises the loss of its batch"),
        (np.nan, "not measured"),
    ],
)
def test_the_words(multiple, words):
    """Two digits, as exact as it is measured; a limit is "or more", NaN is no number."""
    assert step_words(multiple) == words


def test_the_sentence_is_of_the_chosen_update():
    """The median of its steps, or the reason why there is none; nothing where it was not asked for."""
    run = run_of((60.0, 70.0, 900.0), (1.0, 1.2, 1.5))
    assert step_sentence(run, 0).startswith("70 times this step could be taken: if the loss falls slowly, try")
    assert step_sentence(run) == "At the edge: 1.2 times this step: a larger one would raise the loss of its batch."
    assert step_sentence(run_of((), missing="so it is")) == "The critical step is not measured: so it is."
    assert step_sentence(RunInEpochs(epochs=[0], critical_step=[])) == ""


def test_the_line_is_the_median_and_each_step_a_dot():
    """A gap where nothing was measured, triangles at the limits, a guide at the step that was taken, other runs beside."""
    run, other = run_of((4.0, 8.0, STEP_LIMITS[1]), (), (STEP_LIMITS[0],)), run_of((2.0,))
    made = critical_step(run, Look("dark", "mine", 0, [Overlay("other", other, 1)]))
    beside, dots, line = made["data"]
    assert (beside["name"], beside["y"]) == ("other", [2.0])
    assert line["y"] == [8.0, None, STEP_LIMITS[0]]
    assert dots["x"] == [0, 0, 0, 2]
    assert dots["marker"]["symbol"] == ["circle", "circle", "triangle-up", "triangle-down"]
    assert made["layout"]["shapes"][0]["y0"] == 1
    assert critical_step(RunInEpochs(epochs=[0], critical_step=[], alerts=[]))["data"] == []
