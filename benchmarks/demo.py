"""The demo over ten seeds: was the watermark found, when, where, and what was said besides.

python -m benchmarks.demo [--seeds 10] [--out docs/demo.md]
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import keras_xai as kx
from keras_xai import demo

CORNER = {f"block ({row},{column})" for row in range(demo.CORNER_SIDE) for column in range(demo.CORNER_SIDE)}

COLUMNS = (
    "seed",
    "first alarm",
    "seen on",
    "verdict",
    "first feature",
    "alarms before",
    "later alarms",
    "clean accuracy, before → end",
)


def row(seed: int) -> tuple[bool, str]:
    """Train the demo: (caught within two epochs, in the corner, with the right verdict; the table's line)."""
    with tempfile.TemporaryDirectory() as logs, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = demo.train(logs, seed, on_drift=lambda alert: None)
        alerts, accuracy = run.alerts, [e.logs["val_accuracy"] for e in run.history]
    fell = f"{accuracy[demo.PLANTED_EPOCH - 1]:.0%} → {accuracy[-1]:.0%}"
    early = [a for a in alerts if a.epoch < demo.PLANTED_EPOCH]
    first = next((a for a in alerts if a.epoch >= demo.PLANTED_EPOCH), None)
    later = [f"{a.epoch} {a.source}: {a.verdict}" for a in alerts if first is not None and a is not first]
    if first is None:
        return False, f"| {seed} | – | – | – | – | {len(early)} | | {fell} |"
    caught = (
        first.epoch <= demo.PLANTED_EPOCH + 2 and first.features[0].name in CORNER and first.verdict == "data changed"
    )
    return caught and not early, (
        f"| {seed} | {first.epoch} | {first.source} | {first.verdict} "
        f"| {first.features[0].name}, z {first.features[0].z:+.1f} "
        f"| {len(early)} | {'; '.join(later)} | {fell} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("docs/demo.md"))
    options = parser.parse_args()
    rows = []
    for seed in range(options.seeds):
        rows.append(row(seed))
        print(rows[-1][1], flush=True)
    caught = sum(in_time for in_time, _ in rows)
    options.out.write_text(
        "\n".join(
            [
                "# The demo over ten seeds",
                "",
                f"`python -m benchmarks.demo`, keras_xai {kx.__version__}: a 2 × 2 watermark whose brightness is the label",
                f"appears in the training pipeline at epoch {demo.PLANTED_EPOCH} of {demo.EPOCHS}. Caught: an alarm at most two "
                f"epochs",
                "later that names a block of the corner first, says that the data changed, and none before.",
                "",
                f"**{caught} of {len(rows)} caught.**",
                "",
                f"| {' | '.join(COLUMNS)} |",
                "|" + "---|" * len(COLUMNS),
                *(line for _, line in rows),
                "",
            ]
        ),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
