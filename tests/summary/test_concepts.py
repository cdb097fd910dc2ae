"""Records of concepts through a file, and what is derived from them."""

import dataclasses

import numpy as np
import pytest

from keras_xai.concept_records import concept_sentence, uses
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.codec import concepts
from tests.summary.concept_records import concepts_at, concepts_over
from tests.summary.runs import through_a_file

pytestmark = pytest.mark.oldest


def test_concepts_come_back_as_they_were_written(tmp_path):
    """All figures to the last bit, NaN as NaN, names as they are."""
    records = concepts_over([0, 1])
    run = through_a_file(tmp_path, records)
    assert run.passed_over == {}
    assert [record.epoch for record in run.concepts] == [0, 1]
    back = run.concepts[1]
    for field in dataclasses.fields(back):
        np.testing.assert_array_equal(getattr(back, field.name), getattr(records[1], field.name))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("names", ("a", "a")),
        ("names", ()),
        ("layers", ("h1",)),
        ("questions", ("a", "b", "c", "d")),
        ("rows", (1, 2)),
        ("rows", (1, 2, -3)),
        ("examples", ((40, 60),)),
        ("examples", ((0, 60), (40, 60))),
        ("readability", np.full((2, 2), 1.5, "f4")),
        ("effect", np.full((2, 2, 3), np.inf, "f4")),
        ("error", np.full((2, 2, 3), -1, "f4")),
        ("share", np.full((2, 2, 3), 2, "f4")),
        ("p", np.zeros((2, 3), "f4")),
        ("floor", -1.0),
        ("draws", 0),
        ("unit", "metres"),
    ],
)
def test_values_that_do_not_fit_are_unreadable(field, value):
    """Names twice, arrays of another shape, what is no share, an unknown unit."""
    ((_, _, blobs),) = concepts.encode(dataclasses.replace(concepts_at(1), **{field: value}))
    with pytest.raises(Unreadable):
        concepts.decode(1, "ab12", blobs)


@pytest.mark.parametrize(
    ("signs", "periods"),
    [
        ([0, 1, 1], []),  # two records are not enough
        ([0, 1, 1, 1], [(1, None, 1)]),
        ([0, 1, 0, 1, 1, 0, 1, 1, 1], [(6, None, 1)]),
        ([1, 1, 1, 0, 0, 1, 0, 0], [(0, None, 1)]),  # two records without it end nothing
        ([1, 1, 1, 0, 0, 0, 0], [(0, 3, 1)]),
        ([1, 1, 1, -1, -1, -1], [(0, 3, 1), (3, None, -1)]),  # from for to against
        ([], []),
    ],
)
def test_a_use_begins_and_ends_with_three_records_running(signs, periods):
    """The first of three that show it, the first of three that do not."""
    records = concepts_over(signs)
    assert [(use.since, use.until, use.sign) for use in uses(records)] == periods


def test_sentences_say_what_was_measured():
    """Used, used no more, not shown, and what no layer can tell: that is no effect of 0."""
    used = concept_sentence(concepts_over([0, 1, 1, 1]), "<b>mark</b>", "epoch")
    assert used == "The model uses “<b>mark</b>” since epoch 1: for class 2, +2.5 log-odds at h2."
    ended = concept_sentence(concepts_over([-1, -1, -1, 0, 0, 0]), "<b>mark</b>", "epoch")
    assert ended == (
        "The model used “<b>mark</b>” from epoch 0, and no more from epoch 3 on: against class 2, -2.5 log-odds at h2."
    )
    records = [dataclasses.replace(record, step=10 * record.epoch) for record in concepts_over([0, 0])]
    quiet = concept_sentence(records, "<b>mark</b>", "step")
    assert quiet == (
        "The model is not shown to use “<b>mark</b>” (largest effect 0.25, floor 0.5); 2 of 2 layers can tell it."
    )
    assert concept_sentence(records, "nothing", "step").startswith("No layer can tell “nothing”: a linear readout")


def test_the_level_is_that_of_all_concepts_together():
    """Of two concepts p is to be 0.025 or less."""
    assert concepts_at(0, 2.5, 0.025).is_used[0, 1, 2]
    assert not concepts_at(0, 2.5, 0.03).is_used.any()
    assert concepts_at(0).can_tell.tolist() == [[True, True], [False, False]]
