"""Measure what each attribution method costs over its floor: as many compiled passes of the model as it makes, and nothing else.

    pip install -r benchmarks/requirements-peers.txt        # in an environment of its own; optional
    python -m benchmarks.attribution [--rounds 12] [--only saliency occlusion ...] [--rows 64] [--alone]

The floor runs the model forward, or forward and backward, as often and on as many rows at a time as the method does, in one
compiled loop, which takes the samples as an array and gives an array back. On PyTorch (KERAS_BACKEND=torch), where nothing is
compiled, it is such a loop written by hand. Other libraries (`peers.py`) answer the same question with as many passes, and are
set over the same floor, captum over torch's own; `--alone` leaves them out. Method and floor take turns in an order drawn anew
each round, so that whatever else the machine does falls on both; the time is the CPU time of the whole process. The table shows
the median ratio with a 95 % bootstrap interval; a bar (1.02 for gradient methods, 1.10 for the others, 1.15 on PyTorch) is met
where the interval's lower end is at or below it. For maps of a layer it then says what their sums and products take by
themselves beyond the floor's one product, which no engine can save. Last stand kernel_shap over `shap.KernelExplainer` with a
compiled function, and permutation importance over scikit-learn's with a compiled predict, for a row of a table of 30 columns.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import random
import time
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_xai as kx
from benchmarks._floors import CHANNELS, OPTIONS, Passes, floor, network, passes
from benchmarks._statistics import median_interval
from keras_xai.attribution import METHODS
from keras_xai.attribution.engine import Engine
from keras_xai.attribution.layer_map import LayerMap
from keras_xai.attribution.method import make_method
from keras_xai.backend import get_backend
from keras_xai.model.runner import ModelRunner

from . import peers, torch_floor


def floor_of(model: keras.Model, logits: keras.Model, x: np.ndarray, model_passes: Passes) -> Callable[[], Any]:
    """The floor of the backend that Keras runs on."""
    if keras.backend.backend() == "torch":
        return torch_floor.floor(logits, x, model_passes, peers.TARGET)
    return floor(model, x, model_passes)


def bar_of(method: str) -> float:
    """The ratio to the floor that a method is to stay under."""
    if not get_backend().compiles():
        return 1.15
    return 1.02 if METHODS[method].needs_gradient else 1.10


def ratios(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> np.ndarray:
    """CPU time of ours over theirs, a number a round."""
    pair, over_theirs = (ours, theirs), []
    for run in pair:
        run()  # traced
    for _ in range(rounds):
        seconds = [0.0, 0.0]
        for which in random.sample((0, 1), 2):
            began = time.process_time()
            pair[which]()
            seconds[which] = time.process_time() - began
        over_theirs.append(seconds[0] / seconds[1])
    return np.asarray(over_theirs)


def over_floor(names: list[str], count: int, rounds: int, libraries: bool) -> None:
    """Print the first table, and what did not run."""
    keras.utils.set_random_seed(0)
    model, logits = network(), network(None)
    logits.set_weights(model.get_weights())
    x = np.random.default_rng(0).normal(size=(count, 32, 32, 3)).astype(np.float32)
    question = peers.Question(logits, x, passes=32, window=4, masks=256)
    failures: list[str] = []
    print("| method | passes | over the floor | 95 % | bar | others over the floor |")
    print("|---|---|---|---|---|---|")
    for name in names:
        engine = Engine(ModelRunner(model, x, chunk=count), {name: make_method(name, OPTIONS.get(name, {}), METHODS)})
        target, zero = np.ones(count, np.int64), np.broadcast_to(np.zeros_like(x[:1]), x.shape)  # as `attribute` has it
        model_passes = passes(name, count)
        ours = lambda engine=engine, target=target, zero=zero: engine([x], [zero], target)  # noqa: E731
        least = floor_of(model, logits, x, model_passes)
        measured = ratios(ours, least, rounds)
        _, low, high = median_interval(measured)
        bar = bar_of(name)
        words = {"forward": "forward", "both": "forward, backward", "layer": "forward, backward to the layer"}
        kinds = "; ".join(f"{number} {words[kind]}" for kind, number, _ in model_passes)
        verdict = f"{bar:.2f} {'met' if low <= bar else 'missed'}"
        others = beside(name, question, least, max(3, rounds // 4), failures) if libraries else []
        line = f"{np.median(measured):.2f} | {low:.2f} to {high:.2f} | {verdict} | {', '.join(others)}"
        print(f"| {name} | {kinds} | {line} |", flush=True)
    if failures:
        print("\nDid not run:\n")
        print("\n".join(failures))


def arithmetic(names: list[str], count: int, rounds: int) -> None:
    """Print what a map takes beyond the product of gradient and activation, in CPU time and as a share of its floor."""
    model, r = network(), np.random.default_rng(0)
    x = r.normal(size=(count, 32, 32, 3)).astype(np.float32)
    activation, gradient = (
        get_backend().constant(r.normal(size=(count, 8, 8, CHANNELS)).astype(np.float32)) for _ in "AG"
    )
    logits = network(None)
    logits.set_weights(model.get_weights())
    least = floor_of(model, logits, x, [("layer", 1, count)])
    print("\n| map | beyond the floor's product | of the floor |")
    print("|---|---|---|")
    for name in names:
        method = METHODS[name]()
        if not isinstance(method, LayerMap) or not method.needs_gradient:
            continue
        layer_map = get_backend().compiled(lambda a, g, method=method: method.map(a, g))
        product = get_backend().compiled(lambda a, g: g * a)
        seconds: dict[str, list[float]] = {"own": [], "product": [], "floor": []}
        runs = {"own": layer_map, "product": product, "floor": lambda a, g: least()}
        for _ in range(5 * rounds + 1):
            for kind in random.sample(list(runs), len(runs)):
                began = time.process_time()
                for _ in range(10):
                    runs[kind](activation, gradient)
                seconds[kind].append((time.process_time() - began) / 10)
        took = {kind: float(np.median(times[1:])) for kind, times in seconds.items()}
        beyond = took["own"] - took["product"]
        print(f"| {name} | {1000 * beyond:.2f} ms | {100 * beyond / took['floor']:.1f} % |", flush=True)


def beside(
    name: str, question: peers.Question, least: Callable[[], Any], rounds: int, failures: list[str]
) -> list[str]:
    """Measure what other libraries take for it, over the same floor; captum over torch's own."""
    entries = []

    def compare(library: str, pair: Callable[[], tuple[Callable[[], Any], Callable[[], Any], str] | None]) -> None:
        try:
            quiet = io.StringIO()  # progress bars go to both
            with warnings.catch_warnings(), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
                warnings.simplefilter("ignore")
                runs = pair()
                if runs is None:
                    return
                theirs, below, note = runs
                ratio = float(np.median(ratios(theirs, below, rounds)))
        except Exception as error:  # whatever it is: that is the row
            lines = str(error).strip().splitlines() or [""]
            message = lines[-1].strip() if lines[0].startswith("in user code") else lines[0]
            failures.append(f"- {library}, {name}: {type(error).__name__}: {message}")
        else:
            entries.append(f"{library} {ratio:.2f}{note}")

    for library, peer in peers.PEERS.get(name, {}).items():
        compare(library, lambda peer=peer: (peer(question), least, ""))

    def captum() -> tuple[Callable[[], Any], Callable[[], Any], str] | None:
        pair = peers.captum(name, question)
        return None if pair is None else (*pair, " of torch's floor")

    compare("captum", captum)
    return entries


def beside_others(rounds: int) -> None:
    """Print the second table: kernel_shap and permutation importance on a table, a row of 30 columns."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((30,)), layers.Dense(64, "relu"), layers.Dense(2)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    r = np.random.default_rng(0)
    x, y = r.normal(size=(128, 30)).astype(np.float32), r.integers(0, 2, 128)
    predict = get_backend().compiled(lambda z: model(z, training=False))
    compiled = lambda rows: get_backend().numpy(predict(get_backend().constant(rows.astype(np.float32))))  # noqa: E731
    print("\n| ours | beside | theirs over ours |")
    print("|---|---|---|")
    try:
        import shap
    except ImportError as error:
        print(f"| kernel_shap | shap.KernelExplainer | {error} |")
    else:
        explainer = shap.KernelExplainer(lambda rows: compiled(rows)[:, 1], np.zeros((1, 30)))
        engine = Engine(ModelRunner(model, x), {"kernel_shap": make_method("kernel_shap", {}, METHODS)})
        ours = lambda: engine([x], [np.zeros_like(x)], np.ones(128, np.int64))  # noqa: E731
        theirs = lambda: explainer.shap_values(x[:4], nsamples=2048, silent=True)  # noqa: E731
        a_row = 1 / ratios(ours, theirs, max(3, rounds // 4)) * 128 / 4
        print(
            f"| kernel_shap, 2,048 coalitions, a row | shap.KernelExplainer {shap.__version__} | {np.median(a_row):.1f} |"
        )
    from sklearn import __version__ as version
    from sklearn.inspection import permutation_importance

    class Estimator:
        """A compiled predict, as scikit-learn wants it."""

        def fit(self, x: Any, y: Any) -> Estimator:
            return self

        def score(self, x: Any, y: Any) -> float:
            return -float(keras.ops.mean(model.loss(y, compiled(x))))

    theirs = lambda: permutation_importance(Estimator(), x, y, n_repeats=5, random_state=0)  # noqa: E731
    over_ours = 1 / ratios(lambda: kx.importance(model, (x, y), "permutation"), theirs, rounds)
    print(f"| permutation importance | scikit-learn {version}, compiled predict | {np.median(over_ours):.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--only", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--alone", action="store_true", help="without other libraries")
    options = parser.parse_args()
    random.seed(0)
    print(
        f"{platform.processor() or platform.machine()}, Keras {keras.__version__}, {options.rows} samples of 32 × 32 × 3"
    )
    over_floor(options.only, options.rows, options.rounds, libraries=not options.alone)
    if any(issubclass(METHODS[name], LayerMap) for name in options.only):
        arithmetic(options.only, options.rows, options.rounds)
    if not options.alone:
        beside_others(options.rounds)


if __name__ == "__main__":
    main()
