"""Measure the memory that a probe takes, beside what the callbacks say of it when they are made.

    python -m benchmarks.probe_memory

Each row is a process of its own. A small CNN is trained for an epoch, then the probe is made and two more epochs are
trained with the callbacks; the difference of the process' peaks is what probe and callbacks took together. Linux alone.
"""

from __future__ import annotations

import argparse
import json

from benchmarks._probe_memory import ROWS, measure, measured


def main() -> None:
    """Measure all rows, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs=4, metavar=("NAME", "ROWS", "SIDE", "DTYPE"), help="one, in this process")
    options = parser.parse_args()
    if options.measure:
        name, size, side, dtype = options.measure
        print(json.dumps(measure(name, int(size), int(side), dtype)))
        return
    print("| callbacks | probe | its arrays, MiB | told | measured | beside the arrays |\n|---|---|---|---|---|---|")
    for name, size, side, dtype in ROWS:
        mebibytes = {key: value / 2**20 for key, value in measured(name, size, side, dtype).items()}
        cells = [mebibytes["held"], mebibytes["told"], mebibytes["taken"], mebibytes["taken"] - mebibytes["held"]]
        print(
            f"| `{name}` | {size} × {side} × {side} × 3 {dtype} | " + " | ".join(f"{c:.0f}" for c in cells) + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
