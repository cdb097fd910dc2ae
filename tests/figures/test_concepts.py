"""The figures of concepts."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from keras_xai.analysis.concepts import concept_words
from keras_xai.errors import InvalidInput
from keras_xai.figures import Look
from keras_xai.figures.concepts import concept_effects, concept_readability, figure
from tests.summary.concept_records import concepts_at, concepts_over
from tests.summary.runs import through_a_file


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return through_a_file(tmp_path_factory.mktemp("run"), concepts_over([0, 1, 1, 1, 1]), range(5))


def test_the_strongest_effect_of_each_concept_is_a_line(run):
    """As recorded, with a dot where it is shown and the band of small effects; what no layer can tell has no line."""
    panel = concept_effects(run)
    lower, upper, effect, dots = panel["data"]
    assert effect["y"] == [0, 2.5, 2.5, 2.5, 2.5]
    assert dots["x"] == [1, 2, 3, 4]
    assert (set(lower["y"]), set(upper["y"])) == ({-0.5}, {0.5})
    assert effect["name"] == "&lt;b&gt;mark&lt;/b&gt;: class 2"
    assert effect["text"][1].endswith("class 2, at h2: +2.50 ± 0.50, p 0.008")


def test_one_concept_has_a_line_for_each_question(run):
    """The strongest first; a concept that is not there has the nearest name in its error."""
    panel = concept_effects(run, concept="<b>mark</b>", exact=True)
    names = [trace["name"] for trace in panel["data"] if trace["mode"] == "lines" and trace["name"] != "small"]
    assert sorted(names) == ["&lt;script&gt;", "class 0", "class 2"]
    rows = panel["layout"]["meta"]["table"]["rows"]
    assert len(rows) == 2 * 2 * 3
    assert rows[5][:4] == ["<b>mark</b>", "h2", "class 2", 2.5]
    with pytest.raises(InvalidInput, match="concept 'mark'"):
        concept_effects(run, concept="mark")
    assert concept_effects(run, concept="nothing")["data"] == []


def test_layers_that_tell_nothing_are_hatched(run):
    """Chance is the lower end of the scale."""
    panel = concept_readability(run)
    assert (panel["data"][0]["zmin"], panel["data"][0]["zmax"]) == (0.5, 1)
    assert len(panel["data"]) > 1
    assert panel["data"][0]["customdata"][0][0].endswith("h1: AUC 97\u00a0%")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_plotly_accepts_the_figures(run, theme, tmp_path):
    """Strict JSON, names as text; a single update, and nothing that can be told."""
    unread = through_a_file(tmp_path, [concepts_at(0, np.nan, np.nan)], range(1))
    for drawn in (run, unread):
        whole = figure(drawn, Look(theme))
        go.Figure(whole)
        content = json.dumps(whole, allow_nan=False)
        assert "<b>mark" not in content
        assert "<script>" not in content
    assert figure(run, epoch=0)["layout"]["title"]["text"].startswith("The model is not shown to use")


def test_words_follow_the_slider(run):
    """A sentence on each concept, as the run stood."""
    assert concept_words(run)[0].startswith("The model uses “<b>mark</b>” since epoch 1")
    assert concept_words(run, 2)[0].startswith("The model is not shown to use")
    assert concept_words(run)[1].startswith("No layer can tell “nothing”")
