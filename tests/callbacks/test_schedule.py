"""When a callback looks."""

import pytest

from keras_xai.callbacks.schedule import Schedule
from keras_xai.errors import InvalidInput


def epochs(every, first=0, last=9):
    schedule = Schedule(every)
    return [e for e in range(first, last + 1) if schedule.due(e, first, last)]


@pytest.mark.parametrize(
    ("every", "seen"),
    [(1, list(range(10))), (4, [0, 4, 8, 9]), (20, [0, 9]), (lambda e: e in (2, 3), [0, 2, 3, 9])],
)
def test_every_nth_epoch_the_first_and_the_last_always(every, seen):
    """By number or by function."""
    assert epochs(every) == seen


def test_a_resumed_fit_looks_at_its_own_first_epoch():
    """The first of this fit, not only epoch 0."""
    assert epochs(4, first=5) == [5, 8, 9]


@pytest.mark.parametrize("every", [0, -1, 1.5, True, "2", None])
def test_anything_else_is_an_error(every):
    """What came is in the message."""
    with pytest.raises(InvalidInput, match=f"every={every!r}"):
        Schedule(every)
