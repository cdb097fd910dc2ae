"""Measure how many shortcuts that were there from the first epoch the reliance gap finds, and how often it is wrong.

    python -m benchmarks.gap [G1 G3 L_bc80 ...] [--seeds 20] [--runs artifacts/gap] [--out docs/gap_results.md] [--fit]

Each run is 30 epochs, or 60 where a wide net memorises few rows. The seeds are trained together, in JAX; every epoch is judged
by the product's own code. With --fit a tenth is trained once more by `model.fit` with the real callback. Every scenario leaves
a file under --runs: a benchmark that was cut goes on where it was, and the table tells of what is there. The exit status is 1
where a bar is missed: where the Wilson interval lies wholly on its wrong side.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# Before JAX is imported: one thread, as the trainings are small.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks._gap_bars import BARS, missed, page, scenarios_of
from benchmarks._gap_fit import measure_in_fit
from benchmarks._gap_runs import measure
from benchmarks.gap_scenarios import SCENARIOS

FIRST_SEED = 200  # the setting was chosen on 0 to 19 and 100 to 119
EVERY_TENTH = 10  # seeds: one of them goes through `fit` too


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(SCENARIOS), help="bars, such as G3, or scenarios; default all")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--runs", type=Path, default=Path("artifacts/gap"), help="the folder of the result files")
    parser.add_argument("--out", type=Path, help="write the page here")
    parser.add_argument("--train", action=argparse.BooleanOptionalAction, default=True, help="what is missing")
    parser.add_argument("--fit", action="store_true", help="train a tenth once more, by model.fit")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BARS and name not in SCENARIOS]
    if unknown:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(BARS)} and the scenarios {', '.join(SCENARIOS)}")
    seeds = range(FIRST_SEED, FIRST_SEED + arguments.seeds)
    if arguments.train:
        measure(scenarios_of(arguments.names), seeds, arguments.runs)
    if arguments.fit:
        measure_in_fit(scenarios_of(arguments.names), seeds[::EVERY_TENTH], arguments.runs)
    text = page(arguments.runs)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text)
    return int(bool(missed(arguments.runs)))


if __name__ == "__main__":
    sys.exit(main())
