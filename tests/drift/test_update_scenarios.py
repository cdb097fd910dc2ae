"""What the benchmark of updates inside an epoch draws, plants and counts, and the gradients of its trainings."""

import functools
import math

import numpy as np
import pytest

from benchmarks._statistics import Share
from benchmarks._update_page import page, rows_in_words
from benchmarks._update_runs import Alarm, Trace, broken_rules, drift_alarms, first_update_after, gap_alarms, is_found
from benchmarks.update_scenarios import HELD_OUT, LEAKS, PLANTS, SIX, Scenario, drawn, held_out, nulls, rates

UPDATES = 16


def trace(**changes):
    """One seed, three features, 16 updates of ten steps, nothing moves."""
    still = np.full((1, UPDATES, 3), 1.0, np.float32)
    zeros = np.zeros_like(still)
    return Trace(
        10 * np.arange(1, UPDATES + 1),
        np.ones(UPDATES),
        np.asarray(95),
        np.array([2]),
        still,
        still,
        zeros,
        still,
        zeros,
    )._replace(**changes)


@pytest.mark.parametrize("name", [*SIX, *HELD_OUT])
def test_a_seed_draws_its_rows_again(name):
    """Twice the same, another seed's other ones; a batch of every step, and each row once an epoch."""
    scenario = Scenario(name, steps=20, epoch=10)
    first, again, other = drawn(scenario, 3), drawn(scenario, 3), drawn(scenario, 4)
    assert all(np.array_equal(a, b) for a, b in zip(first.rows, again.rows, strict=True))
    assert not np.array_equal(first.rows.x, other.rows.x)
    assert first.batches.shape == (20, 32)
    assert sorted(first.batches[:10].ravel()) == list(range(len(first.rows.x)))


PLANTED = [*LEAKS, *((name, "trigger" if name == "text" else "leak") for name in HELD_OUT)]


@pytest.mark.parametrize(("name", "plant"), PLANTED)
def test_a_plant_changes_the_guilty_features_alone(name, plant):
    """In the training rows from the change on, in the live rows with them, and in no row of the probe."""
    draw = drawn(Scenario(name, plant, steps=10), 0)
    before, after = draw.rows, draw.planted
    differs = (before.x != after.x).any(0)
    features = differs.any(0) if name == "series" else differs.ravel()
    assert set(np.flatnonzero(features)) == set(draw.guilty)
    np.testing.assert_array_equal(before.probe_x, after.probe_x)
    np.testing.assert_array_equal(after.live_x, after.x[: len(after.live_x)])
    stream = drawn(Scenario(name, plant, steps=10, is_stream=True), 0)
    np.testing.assert_array_equal(stream.rows.live_x, stream.planted.live_x)
    assert plant in PLANTS


def test_learning_rates_by_hand():
    """A warm-up over the first tenth, a drop at the change, three times as much from it on."""
    warmed = rates(Scenario("wine", "warm_up", steps=100), 0.5)
    np.testing.assert_allclose(warmed[[0, 5, 10, 99]], 1e-3 * np.array([0.01, 0.51, 1, 1]), rtol=1e-5)
    assert rates(Scenario("wine", "drop", steps=100), 0.5)[[49, 50]] == pytest.approx([1e-3, 1e-4])
    tuned = rates(Scenario("wine", "tripled", steps=100, is_fine_tune=True), 0.5)
    assert tuned[[49, 50]] == pytest.approx([3e-4, 9e-4])


def test_updates_are_made_at_multiples_and_at_ends_of_epochs():
    """Windows of unequal length where an epoch is no multiple."""
    assert Scenario("wine", steps=50, epoch=25, every=10).update_steps() == [10, 20, 25, 30, 40, 50]
    wide = trace().every(Scenario("wine", steps=160, every=10), 40)
    assert (wide.steps.tolist(), wide.clean.shape) == ([40, 80, 120, 160], (1, 4, 3))


def test_each_detector_counts_from_the_update_in_whose_window_the_change_lies():
    """A share that jumps, a gap that lasts, and a rule that is broken on the way; all by the product's own charts."""
    jump = np.full((1, UPDATES, 3), 1.0, np.float32)
    jump[:, 9:, 2] = 3.0
    assert drift_alarms(trace(), 0) == []
    alarms = drift_alarms(trace(clean=jump), 0)
    assert [(alarm.update, alarm.source) for alarm in alarms] == [(9, "clean")]
    assert first_update_after(trace()) == 9  # 95 steps done: in the window from 90 to 100
    assert is_found(alarms, 9, 2, [2])
    assert not is_found([Alarm(12, "clean", [2])], 9, 2)
    assert not is_found([Alarm(9, "clean", [0, 1])], 9, 2, [2])

    gap = np.zeros((1, UPDATES, 3), np.float32)
    gap[:, 10:, 2] = 5.0
    assert gap_alarms(trace(gap=gap), 0) == [Alarm(12, "gap", [2])]

    share = np.full((1, UPDATES, 3), 0.1, np.float32)
    share[:, :4, 0] = 0.4
    assert (broken_rules(trace(share=share), 0, 0), broken_rules(trace(share=share), 0, 8)) == (1, 0)


def test_the_page_tells_what_is_not_measured(tmp_path):
    """Every group has a line; training rows of an update by hand."""
    text = page(tmp_path)
    for name in (*nulls(), *held_out()[0]):
        assert f"| {name} | 0 | not measured |" in text
    assert [rows_in_words(rows) for rows in (32, 64, 160, 320, 640)] == [
        "under 50",
        "50 to 100",
        "100 to 300",
        "300 to 600",
        "600 and more",
    ]
    assert str(Share(0, 3)).startswith("0/3")


@pytest.mark.jax
@pytest.mark.parametrize(
    "name",
    ["synthetic", *(pytest.param(name, marks=pytest.mark.full) for name in ("regression", "digits", "series", "text"))],
)
def test_contributions_are_gradients(name):
    """Those of the margin by finite differences of a slow twin, and importance by its definition."""
    import jax
    import jax.numpy as jnp

    from benchmarks.update_trainings import explain, initial, scores

    scenario = Scenario(name, steps=2)
    net, rows = scenario.net, drawn(scenario, 0).rows
    x, y = jnp.asarray(rows.probe_x[:3], jnp.float32), jnp.asarray(rows.probe_y[:3])
    state = jax.jit(functools.partial(initial, shape=x.shape[1:], net=net))(jax.random.PRNGKey(0))
    zeros = jnp.zeros((1, *x.shape[1:]))
    explained = jax.jit(functools.partial(explain, net=net))(state, x, y, x, y, zeros)

    def margins(x):
        outputs = np.asarray(scores(state.weights, x, net), np.float64)
        if net.outputs == 0:
            return outputs[:, 0]
        if net.outputs == 1:
            return outputs[:, 0] * (2 * np.asarray(y) - 1)
        label = np.asarray(y, int)
        own = outputs[np.arange(3), label]
        others = [
            math.log(sum(math.exp(v) for k, v in enumerate(o) if k != c)) for o, c in zip(outputs, label, strict=True)
        ]
        return own - np.array(others)

    # Along the input itself: d/dt m(t·x) at 1 is Σ x · ∂m/∂x.
    step = 3e-3
    slope = (margins((1 + step) * x) - margins((1 - step) * x)) / (2 * step)
    np.testing.assert_allclose(np.asarray(explained.live_margin).sum(1), slope, rtol=0.03, atol=3e-3)
    assert explained.clean.shape == explained.live.shape == explained.live_margin.shape[1:]
    if net.outputs <= 1 and name != "series":
        np.testing.assert_allclose(explained.live, np.abs(explained.live_margin).mean(0), rtol=1e-4, atol=1e-7)
