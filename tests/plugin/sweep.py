"""A log directory of many runs: a few with known stories, and a sweep of short ones with long names."""

import shutil

import numpy as np

from keras_xai.probe import Probe
from keras_xai.records import STATISTICS, Alert, Epoch, Gradients, Shares
from keras_xai.summary.writer import Writer

FEATURES = tuple(f"customer_account_balance_{i}_normalised" for i in range(12))
LAYERS = tuple(f"encoder/block_{i}/attention/query_projection/kernel" for i in range(12))
SEEDS = 14
FOLDER = "sweep-2026-11-26/resnet50"


def sweep_name(seed):
    """The name of a run of the sweep."""
    return f"{FOLDER}/exp-2026-11-26_lr0.001_seed{seed}"


def write_sweep(root, told, updates=12):
    """Copy runs with known stories to a directory, and write `SEEDS` runs beside them.

    Those of seeds 3 and 10 have an alarm at epoch 9: their scores are 9 and 8 of 6, of the others 1. Seed 10 has another one
    at epoch 11, on the fixed probe.
    """
    shutil.copytree(told, root)
    random_numbers = np.random.default_rng(0)
    probe = Probe(random_numbers.random((6, 12), "f4"), np.arange(6) % 3, feature_names=FEATURES)
    edges = 2.0 ** np.arange(-20, 1, dtype="f4")
    for seed in range(SEEDS):
        writer = Writer(root / sweep_name(seed) / "keras_xai")
        writer.write([probe])
        alarm = {3: 9.0, 10: 8.0}.get(seed)
        for epoch in range(updates):
            sizes = np.full(12, 0.01 * (1 + epoch), "f4")
            records = [Gradients(epoch, LAYERS, dict.fromkeys(STATISTICS, sizes), np.ones((12, 20), "f4"), edges, 3)]
            share = np.arange(12, 0, -1, dtype="f4") / 78
            score = alarm if alarm and epoch == 9 else 1.0
            records += [Shares(epoch, source, FEATURES, share, score, 6.0) for source in ("clean", "live")]
            if alarm and epoch == 9:
                moved = ((FEATURES[seed], 0.01, 0.3, 1, alarm),)
                records.append(Alert(epoch, "live", "data changed", False, moved, alarm, 6.0))
            if seed == 10 and epoch == 11:
                moved = ((FEATURES[2], 0.01, 0.3, 1, 7.0),)
                records.append(Alert(epoch, "clean", "reliance moved", False, moved, 7.0, 6.0, event=11))
            logs = {"loss": 1 / (1 + epoch), "val_loss": 1.0, "val_accuracy": 0.5 + seed / 100}
            writer.write([*records, Epoch(epoch, 1_700_000_000.0 + epoch, 10.0, 0.2, 1e-3, logs)])
        writer.close()
    return root
