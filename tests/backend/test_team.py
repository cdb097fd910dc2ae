"""What several processes say to each other: one value for all, one fault for all, and nobody waits for one that has left."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from keras_xai.backend.team import ALONE, Team, in_team, present_team
from keras_xai.errors import FailedElsewhere, InvalidInput, RefusedElsewhere
from tests.helpers.processes import Processes


def in_step(function, size=2):
    """What `function(team)` returns or raises in each process, inside a block that all of them enter."""
    processes = Processes(size)

    def process(rank):
        team = processes.team()
        with team.together():
            return function(team)

    return processes.run(process)


@pytest.mark.parametrize(
    "value",
    [None, 3, True, float("inf"), "text", [1, 2.5], {"a": [None]}, "long " * 1000, [["layer/kernel", "dead", 3]]],
)
def test_the_value_of_the_chief_is_everybodys(value):
    """Whatever another process would say, and however long it is."""
    assert in_step(lambda team: team.agreed(value if team.is_chief else "another"), size=3) == [value] * 3


def test_arrays_and_nan_arrive_whole():
    """With their dtype and shape."""
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    for received in in_step(lambda team: team.agreed([array, float("nan"), np.float32(0.5)])):
        np.testing.assert_array_equal(received[0], array)
        assert received[0].dtype == np.int32
        assert np.isnan(received[1])
        assert received[2] == 0.5


def test_what_is_the_same_and_what_holds():
    """In all processes, or not."""
    assert in_step(lambda team: team.same("digest")) == [True, True]
    assert in_step(lambda team: team.same(f"digest {team.rank}")) == [False, False]
    processes = Processes(3)
    assert processes.run(lambda rank: processes.team().all(rank != 1)) == [False] * 3
    assert processes.run(lambda rank: processes.team().all(True)) == [True] * 3


@pytest.mark.parametrize("before", [0, 1, 5])
@pytest.mark.parametrize("failing", [0, 1])
def test_a_fault_of_one_is_a_fault_of_all(before, failing):
    """The others hear of it in whichever exchange they wait in, or at the end of the block, and what was agreed before holds."""
    agreed = []

    def work(team):
        for number in range(5):
            if team.rank == failing and number == before:
                raise OSError("no room")
            agreed.append(team.agreed(number))
        if team.rank == failing:
            raise OSError("no room")

    outcomes = in_step(work)
    assert isinstance(outcomes[failing], OSError)
    assert isinstance(outcomes[1 - failing], FailedElsewhere)
    assert str(outcomes[1 - failing]) == f"process {failing}: OSError: no room"
    assert agreed == sorted(agreed)
    assert len(agreed) == 2 * before


def test_code_that_catches_everything_cannot_stay_behind():
    """It may catch what it likes: a process leaves the block where another one has failed."""

    def work(team):
        if team.is_chief:
            raise MemoryError("planted")
        for _ in range(3):
            try:
                team.meet()
            except Exception:
                pytest.fail("caught")
            finally:
                with contextlib.suppress(BaseException):
                    team.meet()
        return "stayed"

    assert isinstance(in_step(work)[1], FailedElsewhere)


def test_a_misuse_elsewhere_is_a_misuse_here():
    """Handlers of `InvalidInput` do the same in every process."""

    def work(team):
        if team.rank == 1:
            raise InvalidInput("too few rows")
        team.meet()

    chief, other = in_step(work)
    assert isinstance(chief, RefusedElsewhere)
    assert isinstance(chief, InvalidInput)
    assert isinstance(other, InvalidInput)


def test_faults_of_all_at_once_stay_their_own():
    """The usual misuse, which every process finds by itself."""

    def refuse(team):
        raise InvalidInput(f"rank {team.rank}")

    assert [str(error) for error in in_step(refuse)] == ["rank 0", "rank 1"]


def test_a_block_in_a_block_can_be_recovered_from():
    """A fault in the inner one is handled in all processes, and they go on in step."""

    def work(team):
        try:
            with team.together():
                if team.rank == 1:
                    raise OSError("gone")
                team.meet()
        except Exception as fault:
            handled = str(fault)
        return handled, team.agreed(team.rank), team.same("x")

    assert in_step(work) == [("process 1: OSError: gone", 0, True), ("gone", 0, True)]


@pytest.mark.parametrize("failing", [0, 1])
def test_a_fault_leaves_both_blocks(failing):
    """Nobody tells of it twice: a second message would be taken for an answer."""

    def work(team):
        with team.together():
            if team.rank == failing:
                raise OSError("gone")

    outcomes = in_step(work)
    assert isinstance(outcomes[failing], OSError)
    assert isinstance(outcomes[1 - failing], FailedElsewhere)


def test_a_handler_that_fails_in_one_process_fails_in_all():
    """The second fault is news."""

    def work(team):
        try:
            with team.together():
                raise OSError("gone")
        except OSError:
            if team.is_chief:
                raise UserWarning("said") from None
        return "went on"

    chief, other = in_step(work)
    assert isinstance(chief, UserWarning)
    assert str(other) == "process 0: UserWarning: said"


def test_facts_of_a_fault_reach_the_others():
    """They decide what to do with it."""
    processes = Processes()

    def process(rank):
        team = processes.team()
        with contextlib.suppress(OSError, FailedElsewhere), team.together(lambda fault: {"raises": True}):
            if rank == 1:
                raise OSError
        return team.failure.facts, team.failure.process

    assert processes.run(process) == [({"raises": True}, 1)] * 2


def test_where_nobody_answers_a_process_goes_on_alone():
    """Another process has ended: one error, and no exchange is tried again."""
    tries = []

    def gather(message):
        tries.append(message)
        raise ConnectionError("closed by peer")

    team = Team(1, 2, gather)
    with pytest.raises(ConnectionError), team.together():
        team.meet()
    with pytest.raises(FailedElsewhere, match="cannot be reached: ConnectionError"), team.together():
        team.meet()
    with pytest.raises(OSError, match="own"), team.together():
        raise OSError("own")
    assert not team.all(True)
    assert len(tries) == 1


def test_a_process_alone_asks_nobody():
    """The usual case costs nothing."""
    assert ALONE.agreed("x") == "x"
    assert ALONE.same("x")
    assert ALONE.all(True)
    assert not ALONE.all(False)
    assert ALONE.is_chief
    with pytest.raises(OSError, match="mine"), ALONE.together():
        raise OSError("mine")
    assert present_team() is ALONE
    with in_team(Team(1, 2)):
        assert not present_team().is_chief
    assert present_team() is ALONE
