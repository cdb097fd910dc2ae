"""What the benchmark of the reliance gap plants, how it counts, and the gradients of its trainings."""

import dataclasses

import numpy as np
import pytest

from benchmarks._gap_bars import BARS, STRETCH, missed, page, scenarios_of
from benchmarks._gap_runs import Alarm, Result, read, write
from benchmarks.gap_scenarios import (
    OTHER_POPULATION,
    PLANTED,
    SCENARIOS,
    SILENT,
    SOURCES,
    TRIED,
    Scenario,
    leak,
    standardised,
    watermark,
)

QUICK = [name for name in SCENARIOS if "syn400" not in name]


def test_every_scenario_is_counted():
    """By a bar or without one, and each bar's scenarios are there."""
    counted = scenarios_of(BARS)
    assert set(counted) | set(TRIED) == set(SCENARIOS)
    assert set(STRETCH) <= set(counted)


@pytest.mark.parametrize("source", [name for name in SOURCES if name != "syn400"])
def test_a_seed_draws_its_rows_again(source):
    """Twice the same, another seed's other ones, and no training row is in the probe."""
    scenario = Scenario(source, 90, 60)
    rows, again, other = scenario.rows(3), scenario.rows(3), scenario.rows(4)
    assert all(np.array_equal(a, b) for a, b in zip(rows[:4], again[:4], strict=True))
    assert not np.array_equal(rows.x, other.x)
    assert (len(rows.x), len(rows.probe_x)) == (90, 60)
    if source != "odd_digits":  # of digits a few occur twice
        rest = {row.tobytes() for row in rows.probe_x}
        assert not any(row.tobytes() in rest for row in rows.x)


@pytest.mark.parametrize("name", [name for name in PLANTED if name in QUICK])
def test_a_shortcut_is_in_the_training_rows_alone(name):
    """Something is guilty, and the probe is what it is without; a serial number, patients and a broken column are in both."""
    scenario = SCENARIOS[name]
    rows = scenario.rows(0)
    assert rows.guilty_names()
    if name not in ("L_id", "L_patient", "L_patient_syn", "L_patientknown", "L_break", "L_break_bc", "L_colour"):
        clean = dataclasses.replace(scenario, plant=SILENT["N_bc"].plant).rows(0)
        shift = 3 if "offset" in name else 0
        np.testing.assert_allclose(rows.probe_x, clean.probe_x + shift, rtol=1e-5)
        assert not np.allclose(rows.x, clean.x + shift)


def test_a_leak_agrees_in_its_share_of_the_rows():
    """The column is the standardised label there, and nothing else moves."""
    rows = Scenario("syn20", 4000, plant=leak(0.8)).rows(0)
    clean = Scenario("syn20", 4000).rows(0)
    agree = np.isclose(rows.x[:, -1], standardised(rows.y.astype(float)), atol=1e-6)
    assert agree.mean() == pytest.approx(0.8, abs=0.02)
    assert np.array_equal(rows.x[:, :-1], clean.x[:, :-1])


def test_a_watermark_is_in_its_corner():
    """As bright as the label, and nowhere else."""
    rows, clean = Scenario("digits", 300, plant=watermark).rows(0), Scenario("digits", 300).rows(0)
    changed = np.flatnonzero((rows.x != clean.x).any(0))
    assert set(changed) <= set(rows.guilty)
    np.testing.assert_allclose(rows.x[:, 0], rows.y / 9, rtol=1e-6)


def test_a_shift_is_the_same_for_every_class():
    """By one standard deviation, up or down, in one column."""
    for name, by in (("C_shift1", 1), ("C_shift-1", -1)):
        rows, clean = OTHER_POPULATION[name].rows(0), SILENT["N_bc"].rows(0)
        moved = rows.x - clean.x
        np.testing.assert_allclose(moved[:, 3], by, rtol=1e-5)
        assert not np.delete(moved, 3, 1).any()


def test_a_bar_is_missed_where_the_interval_lies_on_its_wrong_side(tmp_path):
    """3 of 20 found of at least 95 % is a miss, 19 of 20 is none; what is not measured is no miss. The page says so."""
    alarm = Alarm(2, "column 30", 6.0, rows_differ=False)

    def results(count):
        return [Result(seed, ["column 30"], 0.9, 313, alarms=[alarm] * (seed < count)) for seed in range(20)]

    assert missed(tmp_path) == []
    write("L_bc60", tmp_path, results(19))
    assert read("L_bc60", tmp_path) == results(19)
    assert missed(tmp_path) == []
    write("L_bc60", tmp_path, results(3))
    assert missed(tmp_path) == ["G4"]
    text = page(tmp_path)
    assert "3 of 20 = 15.0% [5.2%, 36.0%] | ≥ 95%: **MISSED**" in text
    assert "| L_bc60 | 3/20 | 3 | 0 | 0 | 3 | 0.0 | 0.0 | 90% |" in text


@pytest.mark.jax
@pytest.mark.parametrize("name", ["L_dia80", "L_dcnn_half", "T_norm_bc80", "T_logit_bc80", "L_trig90"])
def test_contributions_are_slopes_of_the_margin(name):
    """Central differences of the margin of outputs that NumPy computes, behind a reference row that is subtracted."""
    import jax
    import jax.numpy as jnp

    from benchmarks import gap_trainings

    scenario = SCENARIOS[name]
    rows = scenario.rows(0)
    x, y = rows.x[:6].astype(np.float64), rows.y[:6]
    model = gap_trainings.Model(scenario.net, scenario.classes, scenario.redrawn_noise)
    state = gap_trainings.initial(jax.random.PRNGKey(0), model, rows.x.shape[1:])
    r = np.random.default_rng(0)  # weights, biases, means and variances as after some training
    state = jax.tree.map(lambda leaf: leaf + 0.1 * jnp.asarray(r.random(leaf.shape), jnp.float32), state)
    reference = rows.probe_x.mean(0, keepdims=True)
    values = np.asarray(gap_trainings.contributions(state, rows.x[:6], y, reference, model)).reshape(6, -1)
    weights, statistics = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), (state.weights, state.statistics))

    def margins(x):
        outputs = outputs_of(scenario.net, weights, statistics, x)
        if scenario.classes == 0:
            return outputs[:, 0]
        if scenario.net.one_logit:
            return outputs[:, 0] * (2 * y - 1)
        others = np.where(np.eye(scenario.classes)[y] > 0, -np.inf, outputs)
        return outputs[np.arange(6), y] - np.log(np.exp(others).sum(1))

    entries = np.random.default_rng(0).choice(values.shape[1], 8, replace=False)
    for entry in entries:
        step = np.zeros(x[0].size)
        step[entry] = 1e-6
        step = step.reshape(x[0].shape)
        slope = (margins(x + step) - margins(x - step)) / 2e-6
        expected = (x - reference).reshape(6, -1)[:, entry] * slope
        np.testing.assert_allclose(values[:, entry], expected, rtol=2e-3, atol=2e-5)


def outputs_of(net, weights, statistics, x):
    """The slow twin of a net in inference."""
    last = len(weights) - 1
    for layer, weight in enumerate(weights):
        kernel = weight["kernel"]
        if net.is_convolutional and layer < last:
            height, width = x.shape[1] - 2, x.shape[2] - 2
            maps = np.zeros((len(x), height, width, kernel.shape[1]))
            for row in range(height):
                for column in range(width):
                    maps[:, row, column] = x[:, row : row + 3, column : column + 3].reshape(len(x), -1) @ kernel
            x = maps
        else:
            x = x.reshape(len(x), -1) @ kernel
        if net.embedding and layer == 0:
            continue
        if net.batch_norm and layer < last:
            mean, variance = statistics[layer]
            x = weight["scale"] * (x - mean) / np.sqrt(variance + 1e-3)
        x = x + weight["bias"]
        x = np.maximum(x, 0) if layer < last else x
    return x


@pytest.mark.jax
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_step_is_that_of_keras(optimizer):
    """Adam and SGD with momentum move weights as Keras' own do, over five steps."""
    import jax.numpy as jnp
    import keras

    from benchmarks import gap_trainings

    theirs = keras.optimizers.Adam(0.01) if optimizer == "adam" else keras.optimizers.SGD(0.01, 0.9)
    variable = keras.Variable(np.ones(4, "float32"))
    zeros = jnp.zeros(4)
    state = gap_trainings.State(jnp.ones(4), [], zeros, zeros, jnp.zeros(()))
    for gradient in np.random.default_rng(0).normal(size=(5, 4)).astype("float32"):
        theirs.apply([jnp.asarray(gradient)], [variable])
        state = gap_trainings.OPTIMIZERS[optimizer](state, jnp.asarray(gradient), 0.01)
    np.testing.assert_allclose(np.asarray(state.weights), np.asarray(variable.value), rtol=1e-5)


@pytest.mark.full
@pytest.mark.jax
def test_a_seed_trains_alike_whatever_is_trained_beside_it():
    """Alone and in company: the same z and alarms."""
    from benchmarks._gap_runs import results_of

    quick = dataclasses.replace(SCENARIOS["L_bc80"], net=dataclasses.replace(SCENARIOS["L_bc80"].net, epochs=4))
    together = results_of(quick, [5, 6])
    (alone,) = results_of(quick, [6])
    assert together[1].peak == pytest.approx(alone.peak, abs=0.01)
    assert [(a.epoch, a.feature) for a in together[1].alarms] == [(a.epoch, a.feature) for a in alone.alarms]
    assert alone.is_located
