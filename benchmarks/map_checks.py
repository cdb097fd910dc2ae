"""Measure what `ProbeAttributions(check=True)` says of each method, and what it costs.

    python -m benchmarks.map_checks [--seeds 3]

Networks that learned something (digits by a CNN, breast cancer by an MLP) and networks that learned labels by heart which mean
nothing (the same, shuffled labels), watched on 16 rows that none of them has seen. Of the last update: by how much further
the score falls than in random orders, in units of its range, and by how much the noise moves the maps (median over rows); each as
the mean over seeds, with the smallest and the largest; and how many of the trainings fail. Then CPU seconds of a check beside
those of a plain epoch, on the CNN whose cost docs/trust.md tells: 5,000 images of 32 × 32, a gallery of 16 by two methods.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits

import keras_xai as kx
from benchmarks._trainings import cnn
from keras_xai.analysis.map_checks import MapVerdict
from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.callbacks.map_check import EVERY, MapChecker
from keras_xai.callbacks.probe_attributions import chosen_methods
from keras_xai.run import Run

layers = keras.layers
IMAGES = (
    "saliency",
    "input_x_gradient",
    "integrated_gradients",
    "smoothgrad",
    "deeplift",
    "lrp",
    "grad_cam",
    "hires_cam",
    "layer_cam",
    "occlusion",
)
COLUMNS = ("saliency", "input_x_gradient", "integrated_gradients", "smoothgrad", "deeplift", "lrp", "occlusion")


def digits() -> tuple[keras.Model, np.ndarray, np.ndarray, tuple[str, ...]]:
    """A CNN with two convolutions on 8 × 8 images."""
    data = load_digits()
    parts = [layers.Conv2D(16, 3, padding="same", activation="relu"), layers.Conv2D(32, 3, activation="relu")]
    parts += [layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *parts])
    return model, (data.images[..., None] / 16).astype(np.float32), data.target, IMAGES


def breast_cancer() -> tuple[keras.Model, np.ndarray, np.ndarray, tuple[str, ...]]:
    """An MLP on 30 standardised columns."""
    data = load_breast_cancer()
    parts = [layers.Dense(64, activation="relu"), layers.Dense(32, activation="relu"), layers.Dense(2)]
    model = keras.Sequential([keras.Input((30,)), *parts])
    x = (data.data - data.data.mean(0)) / data.data.std(0)
    return model, x.astype(np.float32), data.target, COLUMNS


DATA: dict[str, Callable[[], tuple[keras.Model, np.ndarray, np.ndarray, tuple[str, ...]]]] = {
    "digits, CNN": digits,
    "breast cancer, MLP": breast_cancer,
}


def train(name: str, seed: int, epochs: int, *, shuffled: bool) -> Run:
    """Train one network with a checked gallery, and read the run back."""
    keras.utils.set_random_seed(seed)
    model, x, y, methods = DATA[name]()
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(x))
    x, y = x[order], y[order]
    y_train = generator.permutation(y[64:]) if shuffled else y[64:]
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    log_dir = tempfile.mkdtemp()
    watch = kx.ProbeAttributions(log_dir, (x[:64], y[:64]), methods, check=True, every=epochs - 1)
    model.fit(x[64:], y_train, epochs=epochs, batch_size=32, verbose=0, callbacks=[watch])
    return kx.load(log_dir)["."]


def spread_of(values: list[float], *, sign: str = "") -> str:
    """Return mean, smallest and largest value."""
    return f"{np.mean(values):{sign}.2f} ({np.min(values):{sign}.2f} to {np.max(values):{sign}.2f})"


def cost() -> None:
    """Print the CPU time of an epoch and of a check, each the median of three behind one that compiles."""
    model, x, y, _ = cnn()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    probe = kx.Probe(x[:16], y[:16])

    def seconds(action: Callable[[], object]) -> float:
        action()
        times = []
        for _ in range(3):
            begin = time.process_time()
            action()
            times.append(time.process_time() - begin)
        return float(np.median(times))

    epoch = seconds(lambda: model.fit(x, y, epochs=1, batch_size=64, verbose=0))
    methods = chosen_methods(("saliency", "integrated_gradients"), {}, 0)
    explainer = ProbeExplainer(model, probe, methods)
    attributions, checker = explainer(), MapChecker(explainer)
    check = seconds(lambda: checker(0, attributions))
    share = check / EVERY / epoch
    print(f"an epoch {epoch:.2f} s, a check {check:.3f} s: every tenth epoch {share:.2%} of the epochs.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--data", nargs="*", default=list(DATA), choices=list(DATA))
    parser.add_argument("--labels", nargs="*", default=["true", "shuffled"], choices=["true", "shuffled"])
    parser.add_argument("--cost", action="store_true", help="measure the cost alone")
    options = parser.parse_args()
    if options.cost:
        cost()
        return
    for name in options.data:
        for shuffled in (labels == "shuffled" for labels in options.labels):
            verdicts: dict[str, list[MapVerdict]] = defaultdict(list)
            for seed in range(options.seeds):
                run = train(name, seed, options.epochs * (1 + 2 * shuffled), shuffled=shuffled)
                for method, checks in run.map_checks.items():
                    verdicts[method].append(MapVerdict.of(checks[-1]))
            print(f"\n{name}{', shuffled labels' * shuffled}:\n")
            print("| method | further than by chance | moved by noise | fails |\n|---|---|---|---|")
            for method, of_method in verdicts.items():
                sooner = spread_of([verdict.sooner for verdict in of_method], sign="+")
                moved = spread_of([verdict.moved for verdict in of_method])
                faults = f"order {sum(v.fails_order for v in of_method)}, noise {sum(v.fails_noise for v in of_method)}"
                print(f"| `{method}` | {sooner} | {moved} | {faults} of {len(of_method)} |", flush=True)


if __name__ == "__main__":
    main()
