"""Measure what recording a step costs on PyTorch: plain and recorded steps of one model in turn, medians.

    KERAS_BACKEND=torch OMP_NUM_THREADS=1 python -m benchmarks.torch_step [--rounds 100] [--only mlp cnn transformer]

Both kinds of step train the same model, one after the other and in an order drawn anew each time, so that whatever else the
machine does falls on both alike. CPU milliseconds of the process, without the first steps; the recorder alone, without the
callback, which adds one copy of the sums to the host an epoch.
"""

from __future__ import annotations

import argparse
import time

import keras
import numpy as np
import torch

from benchmarks._statistics import median_interval
from benchmarks._trainings import MODELS
from keras_xai.backend import get_backend
from keras_xai.gradients.variables import is_recordable

WARM_UP = 5


def steps_of(kind: str, rounds: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return CPU seconds of plain and of recorded steps (rounds), and the number of weights."""
    model, x, y, batch_size = MODELS[kind]()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(x[:batch_size], y[:batch_size], batch_size=batch_size, verbose=0)  # which makes slots and metrics
    model.train()
    recorder = get_backend().gradient_recorder(model, model.train_function, lambda variables: None)
    recorder.select(is_recordable)
    random = np.random.default_rng(0)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(WARM_UP + rounds):
        start = random.integers(0, len(x) - batch_size)
        data = [(x[start : start + batch_size], y[start : start + batch_size])]
        for is_recorded in random.permutation([False, True]):
            step = recorder.recording_function((data,)) if is_recorded else model.train_function
            assert step is not None, recorder.reason
            begin = time.process_time()
            step(data)
            seconds[bool(is_recorded)].append(time.process_time() - begin)
    assert recorder.read().steps == WARM_UP + rounds
    plain, recorded = (np.array(seconds[key][WARM_UP:]) for key in (False, True))
    return plain, recorded, model.count_params()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    options = parser.parse_args()
    print(f"PyTorch {torch.__version__}, Keras {keras.__version__}, {torch.get_num_threads()} thread(s)\n")
    print("| model | weights | plain step, ms | recorded step, ms | recorded to plain, median [95 %] |")
    print("|---|---|---|---|---|")
    for kind in options.only:
        plain, recorded, weights = steps_of(kind, options.rounds)
        middle, low, high = median_interval(recorded / plain)
        times = f"{1000 * np.median(plain):.2f} | {1000 * np.median(recorded):.2f}"
        print(f"| {kind} | {weights:,} | {times} | {middle:.3f} [{low:.3f}, {high:.3f}] |", flush=True)


if __name__ == "__main__":
    main()
