"""Measure how many planted changes importance drift finds, how soon, what it says of them, and how often it is wrong.

    python -m benchmarks.drift [--rows B3,B7] [--seeds 20] [--out docs/drift_results.md]

Each run is 60 epochs with a change at an epoch drawn between 25 and 35, or none. It is found if there is an alarm at that
epoch or one of the two that follow, and located if one of the alarm's first three features is guilty. Nothing is tuned to a
data set. The bulk runs on a compiled loop, a tenth once more through `model.fit` with the real callback, and both must say
the same. Every run leaves a file under --runs: a benchmark that was cut goes on where it was, and the table tells of what
is there.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from benchmarks._drift_rows import EVERY_TENTH, ROWS, measure, runs_of, table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join(ROWS), help="such as B3,B7")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--runs", type=Path, default=Path("artifacts/drift"), help="the folder of the result files")
    parser.add_argument("--out", type=Path, help="write the table here")
    parser.add_argument("--through", choices=["loop", "fit", "both", "nothing"], default="both")
    arguments = parser.parse_args()
    keys = arguments.rows.split(",")
    if unknown := [key for key in keys if key not in ROWS]:
        parser.error(f"there is no row {unknown[0]}; there are {', '.join(ROWS)}")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    requested = [run for key in keys for run in runs_of(ROWS[key], arguments.seeds)]
    if arguments.through in ("loop", "both"):
        measure(requested, arguments.runs)
    if arguments.through in ("fit", "both"):
        measure((run._replace(through_fit=True) for run in requested if run.seed % EVERY_TENTH == 0), arguments.runs)
    page = table(arguments.runs, arguments.seeds, keys)
    print(page)
    if arguments.out is not None:
        arguments.out.write_text(page)


if __name__ == "__main__":
    main()
