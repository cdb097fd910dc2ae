"""Measure how often the detectors are wrong, and how soon right, where updates are made inside an epoch.

    python -m benchmarks.updates [--runs artifacts/updates] [--out docs/update_results.md] [--no-train]

Trainings of one to three epochs, explained every few steps: with nothing planted, and with a leak or a watermark in the middle
of epoch 0. The seeds are trained together, in JAX, and judged by the product's own code. Every scenario leaves a file under
--runs: a benchmark that was cut goes on where it was, and the page tells of what is there.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

# Before JAX is imported: one thread, as the trainings are small.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks._update_page import page
from benchmarks._update_runs import measure
from benchmarks.update_scenarios import held_out, nulls, powers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("artifacts/updates"), help="the folder of the result files")
    parser.add_argument("--out", type=Path, help="write the page here")
    parser.add_argument("--train", action=argparse.BooleanOptionalAction, default=True, help="what is missing")
    arguments = parser.parse_args()
    if arguments.train:
        for groups in (nulls(), powers(), *held_out()):
            for scenarios in groups.values():
                measure(scenarios, arguments.runs)
    text = page(arguments.runs)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
