"""What a callback costs, on a clock that does as it is told."""

import itertools

from keras_xai.callbacks.cost import Cost


def test_nested_hooks_count_once_and_hands_can_add():
    """The outermost hook's time, plus what was added; a take starts anew."""
    ticks = itertools.count(0, 10)
    cost = Cost(lambda: next(ticks))
    with cost, cost:
        pass
    cost.add(2.5)
    assert cost.take() == 12.5
    assert cost.take() == 0


def test_a_running_hook_is_counted_up_to_now():
    """`take` inside a hook counts its time so far, and leaves the rest to the next take."""
    now = [0.0]
    cost = Cost(lambda: now[0])
    with cost:
        now[0] = 3.0
        assert cost.take() == 3.0
        now[0] = 5.0
    assert cost.take() == 2.0
