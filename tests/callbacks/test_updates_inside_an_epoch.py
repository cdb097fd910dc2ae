"""The detectors on updates inside an epoch, through `fit`: a leak in the middle of epoch 0, and rules in the burn-in."""

import keras
import numpy as np
import pytest

import keras_xai as kx

STEPS, BATCH, INTERVAL = 600, 32, 20
CHANGE = 310  # steps done before the column leaks
COLUMNS = 21


def stream(seed, leaks, steps):
    """Rows in the order of training: 20 columns and an idle one, which says the label from the change on; and a probe."""
    r = np.random.default_rng(seed)
    size = steps * BATCH + 256
    x = r.normal(size=(size, COLUMNS))
    logit = x[:, :6] @ [1.6, -1.3, 1.0, -0.8, 0.6, 0.4] + x[:, 2] * x[:, 3]
    y = (r.random(size) < 1 / (1 + np.exp(-logit))).astype("int64")
    if leaks:
        late = slice(CHANGE * BATCH, steps * BATCH)
        x[late, -1] = 0.8 * (2 * y[late] - 1) + 0.6 * x[late, -1]
    x = x.astype("float32")
    return x[:-256], y[:-256], kx.Probe(x[-256:], y[-256:])


def one_epoch(log_dir, seed, leaks, steps=STEPS, **options):
    """The run of one epoch on a table, explained every 20 steps."""
    x, y, probe = stream(seed, leaks, steps)
    keras.utils.set_random_seed(seed)
    dense = keras.layers.Dense
    model = keras.Sequential([keras.Input((COLUMNS,)), dense(32, "relu"), dense(16, "relu"), dense(1)])
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.BinaryCrossentropy(from_logits=True))
    watch = kx.ImportanceDrift(log_dir, probe, every=kx.steps(INTERVAL), on_drift=lambda alert: None, **options)
    model.fit(x, y[:, None], batch_size=BATCH, shuffle=False, verbose=0, callbacks=[watch])
    return kx.load(log_dir)["."]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(1, 6))])
def test_a_leak_in_the_middle_of_epoch_0_is_found_within_two_updates(tmp_path, seed):
    """On the fixed probe alone, in 30 updates, the leaking column first; before it there is no alarm."""
    run = one_epoch(tmp_path, seed, leaks=True)
    assert run.unit == "step"
    assert len(run.importance.updates) == 30
    first = run.alerts[0]
    assert CHANGE < first.step <= CHANGE + 10 + 2 * INTERVAL  # the update in whose window it lies, and two more
    assert (first.epoch, first.source, first.features[0].name) == (0, "clean", f"column {COLUMNS - 1}")


@pytest.mark.full
@pytest.mark.parametrize("seed", range(6))
def test_a_quiet_epoch_is_quiet(tmp_path, seed):
    """Though the shares of an untrained net move fast."""
    assert not one_epoch(tmp_path, seed, leaks=False).alerts


def test_a_rule_does_not_count_in_the_burn_in_of_epoch_0(tmp_path):
    """A rule that an untrained net breaks: the alarm comes with the tenth update, not with the second; with burn_in=0 with it."""
    updates = {}
    for burn_in in (8, 0):
        rule = {f"column {COLUMNS - 1}": 0.0}
        run = one_epoch(tmp_path / str(burn_in), 0, leaks=False, steps=240, rules=rule, burn_in=burn_in, gap=False)
        steps = [alert.step for alert in run.alerts if alert.source == "rule"]
        updates[burn_in] = [step // INTERVAL for step in steps]
    assert updates == {8: [10], 0: [2]}
