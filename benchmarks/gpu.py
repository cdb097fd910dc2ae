"""Check on a GPU that a training is unchanged, what watching it costs, and that the backends agree; under five minutes.

    python -m benchmarks.gpu [--backends jax torch] [--out DIRECTORY] [--small]

It needs Keras, one of the frameworks and what keras_xai needs, no network, and no TensorFlow but for `--backends tensorflow`.
Each backend runs two processes: `exact` beside that of the other backends, `cost` alone. `exact` runs with deterministic kernels
and full precision: the weights after a plain training, after the same once more, and after the same with `Explain` and
`ProbeMappings`, compared bit for bit, in float32 and in mixed_float16; and the values of every method, to be compared between the
backends. `cost` runs with the framework's own settings: a recorded step over a plain one, `Explain` as it is by default on a
ResNet-50 over plain training, the peak of memory, and every method's second call over its floor (see `attribution.py`). Times are
those of the wall clock, variants take turns.

Of a process that fails or takes longer than its limit what it had measured is in the table; its last line is one, too, what it
wrote stands beside the figures, and the exit status is 1. `--small` is for a machine without
a GPU: it shows that the script works, and its times say nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

LIMITS = {"exact": 120, "cost": 140}  # seconds a process
DETERMINISTIC = {
    "XLA_FLAGS": "--xla_gpu_deterministic_ops=true",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "TF_DETERMINISTIC_OPS": "1",
}
ROW = 1e-5  # of the largest value: the median row of two backends
FLIPPED, FLIPPED_ROWS = 1e-4, 0.1  # a row beyond it has crossed a kink; the share of rows that may
EXPLAIN_BAR = 1.01  # of a plain training
EPOCH_IMAGES = (50_000, 1_281_167)  # of CIFAR-10 and ImageNet, for which the cost of an epoch is set in relation

Figures = Iterator[dict[str, Any]]  # by name, one after the other as they are measured


class Sizes(NamedTuple):
    """Sizes of the trainings, for a GPU and for a trial without one."""

    images: int  # 32 × 32, of the exact trainings
    rows: int  # that the methods explain
    probe: int  # rows of the probe and of the live rows
    side: int  # of ResNet's images
    batch: int  # of ResNet's training
    steps: int  # of an epoch of ResNet's


GPU = Sizes(images=4096, rows=64, probe=256, side=224, batch=64, steps=30)
SMALL = Sizes(images=256, rows=8, probe=64, side=32, batch=8, steps=2)


# What a process measures; only here Keras is imported.


def network(policy: str = "float32") -> Any:
    """Three convolutions with batch normalization on 32 × 32 × 3, Dropout and Adam; weights by NumPy."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    x = inputs = keras.Input((32, 32, 3))
    for name, filters in (("first_conv", 32), ("conv", 64), ("last_conv", 64)):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
        x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, layers.Dense(10, activation="softmax", dtype="float32")(x))
    keras.config.set_dtype_policy("float32")
    generator = np.random.default_rng(1)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            spread = (2 / np.prod(variable.shape[:-1])) ** 0.5
            variable.assign((generator.normal(size=variable.shape) * spread).astype("float32"))
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def images(count: int, side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.random((count, side, side, 3), "float32"), generator.integers(0, 10, count)


def state(model: Any) -> list[np.ndarray]:
    """All variables of a model and its optimizer."""
    import keras

    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in [*model.variables, *model.optimizer.variables]]


def equal(first: list[np.ndarray], second: list[np.ndarray]) -> str:
    same = sum(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True))
    return f"{same}/{len(first)}"


def exact(sizes: Sizes, directory: Path, backend: str) -> Figures:
    """Compare the weights with and without us, and write the values of every method."""
    import keras

    import keras_xai as kx
    from benchmarks._floors import OPTIONS
    from keras_xai.attribution import METHODS

    x, y = images(sizes.images)

    def trained(policy: str, callbacks: list[Any]) -> list[np.ndarray]:
        model = network(policy)
        keras.utils.set_random_seed(9)
        model.fit(x, y, batch_size=128, epochs=2, verbose=0, callbacks=callbacks)
        return state(model)

    for policy in ("float32", "mixed_float16"):
        plain, again = trained(policy, []), trained(policy, [])
        logs = tempfile.mkdtemp()
        held_out = x[: sizes.probe], y[: sizes.probe]
        probe = kx.Probe(*held_out)
        callbacks = [
            kx.Explain(logs, probe, live=held_out, on_error="raise"),
            kx.ProbeMappings(logs, probe, on_error="raise"),
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            watched = trained(policy, callbacks)
        gradients = next(iter(kx.load(logs).values())).weight_gradients[-1]
        yield {f"equal arrays, plain against plain, {policy}": equal(plain, again)}
        yield {f"equal arrays, watched against plain, {policy}": equal(watched, plain)}
        yield {f"gradients not recorded, {policy}": str(gradients.missing) if gradients.missing else "none"}

    model, values, scales = network(), {}, {}
    for method in METHODS:
        options = OPTIONS.get(method, {})
        attribution = kx.attribute(model, x[: sizes.rows], method, target=1, verbose=False, **options)
        values[method] = attribution.values
        # Without gradients a value is a difference of scores, and rounds as they do.
        of_scores = 0.0 if METHODS[method].needs_gradient else np.abs(attribution.score).max()
        scales[method] = max(np.abs(attribution.values).max(), of_scores)
    np.savez(directory / f"{backend}.npz", **values)
    np.savez(directory / f"{backend}_scales.npz", **scales)


def cost(sizes: Sizes, directory: Path, backend: str) -> Figures:
    """Measure times over plain training and over floors, and the peak of memory."""
    yield recorded_step(sizes)
    yield explained_resnet(sizes)
    yield {"peak of memory, MiB": peak_memory(backend)}
    yield from methods_over_floor(sizes)


def recorded_step(sizes: Sizes) -> dict[str, Any]:
    """A training of which every step is recorded, over a plain one."""
    import keras_xai as kx

    x, y = images(sizes.images)
    watch = kx.WeightGradients(tempfile.mkdtemp(), samples_per_epoch="all", on_error="raise")
    models = {"recorded": (network(), [watch]), "plain": (network(), [])}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(5):
        for name, (model, callbacks) in models.items():
            began = time.perf_counter()
            model.fit(x, y, batch_size=128, verbose=0, callbacks=callbacks)
            seconds[name].append(time.perf_counter() - began)
    ratios = np.divide(seconds["recorded"][1:], seconds["plain"][1:])  # the first compiles
    return {"recorded step over plain": round(float(np.median(ratios)), 3)}


def explained_resnet(sizes: Sizes) -> dict[str, Any]:
    """`Explain` as it is by default, over plain epochs of the same model: measured, and for whole epochs of two data sets."""
    import keras

    import keras_xai as kx

    count = sizes.batch * sizes.steps
    held_out = images(sizes.probe, sizes.side)
    x, y = held_out[0][: sizes.batch], held_out[1][: sizes.batch]

    class Batches(keras.utils.PyDataset):
        """The same batch, as many times as an epoch has steps."""

        def __len__(self) -> int:
            return sizes.steps

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            return x, y

    class Clock(keras.callbacks.Callback):
        """The seconds of every epoch, from its begin to the begin of the next, with what all callbacks do between them."""

        def __init__(self) -> None:
            super().__init__()
            self.begins: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.begins.append(time.perf_counter())

    model = keras.applications.ResNet50(weights=None, classes=10, input_shape=(sizes.side, sizes.side, 3))
    model.compile("adam", "sparse_categorical_crossentropy")
    logs = tempfile.mkdtemp()
    watch = kx.Explain(logs, kx.Probe(*held_out), live=held_out, on_error="raise")
    seconds: dict[str, list[float]] = {"plain": [], "watched": []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, callbacks in (("plain", []), ("watched", [watch]), ("plain", [])):
            clock = Clock()
            model.fit(Batches(), epochs=3, verbose=0, callbacks=[*callbacks, clock])
            seconds[name] += np.diff(clock.begins)[1:].tolist()  # the first compiles
    plain, watched = (float(np.median(seconds[name])) for name in ("plain", "watched"))
    later = [epoch for run in kx.load(logs).values() for epoch in run.history][1:]
    in_callbacks = float(np.median([epoch.cost_seconds - epoch.once_seconds for epoch in later]))
    added = max(0.0, watched - plain)
    result = {
        f"ResNet-50, seconds of a plain epoch of {count} images": round(plain, 2),
        "ResNet-50, seconds that Explain adds to an epoch": round(added, 2),
        "ResNet-50, of these in its hooks, by its own clock": round(in_callbacks, 2),
    }
    for total in EPOCH_IMAGES:
        ratio = 1 + added / (plain * total / count)
        result[f"ResNet-50, Explain over plain, epoch of {total:,} images"] = round(ratio, 4)
    return result


def methods_over_floor(sizes: Sizes) -> Figures:
    """Measure the milliseconds of the second call of every method, and the ratio to as many bare passes."""
    from benchmarks._floors import OPTIONS, floor, network, passes
    from keras_xai.attribution import METHODS
    from keras_xai.attribution.engine import Engine
    from keras_xai.attribution.method import make_method
    from keras_xai.model.runner import ModelRunner

    count = sizes.rows
    model = network()
    x = np.random.default_rng(0).normal(size=(count, 32, 32, 3)).astype(np.float32)
    target, zero = np.ones(count, np.int64), np.broadcast_to(np.zeros_like(x[:1]), x.shape)
    floors: dict[Any, Callable[[], Any]] = {}
    for name in METHODS:
        engine = Engine(ModelRunner(model, x, chunk=count), {name: make_method(name, OPTIONS.get(name, {}), METHODS)})
        key = tuple(passes(name, count))
        if key not in floors:
            floors[key] = floor(model, x, list(key))
        runs = {"method": lambda engine=engine: engine([x], [zero], target), "floor": floors[key]}
        seconds: dict[str, list[float]] = {kind: [] for kind in runs}
        for _ in range(6):
            for kind, run in runs.items():
                began = time.perf_counter()
                run()
                seconds[kind].append(time.perf_counter() - began)
        second_call, least = (float(np.median(seconds[kind][1:])) for kind in ("method", "floor"))
        yield {f"second call over its floor, {name}": f"{1000 * second_call:.1f} ms, {second_call / least:.2f}"}


def peak_memory(backend: str) -> int | str:
    """The most memory that the process has held on the device, in MiB."""
    peak = 0
    if backend == "jax":
        import jax

        peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
    elif backend == "torch":
        import torch

        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    else:
        import tensorflow as tf

        gpus = tf.config.list_logical_devices("GPU")
        peak = tf.config.experimental.get_memory_info(gpus[0].name)["peak"] if gpus else 0
    return round(peak / 2**20) if peak else "not known"


def device(backend: str) -> str:
    """The name of the device, and the framework's version."""
    if backend == "jax":
        import jax

        return f"{jax.devices()[0].device_kind}, JAX {jax.__version__}"
    if backend == "torch":
        import torch

        name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        return f"{name}, PyTorch {torch.__version__}"
    import tensorflow as tf

    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in _tensorflow_gpus()]
    return f"{(names or ['cpu'])[0]}, TensorFlow {tf.__version__}"


def _tensorflow_gpus() -> list[Any]:
    import tensorflow as tf

    return tf.config.list_physical_devices("GPU")


def make_exact(backend: str) -> None:
    """Set full precision and deterministic kernels, where a variable of the environment does not."""
    if backend == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "highest")
    elif backend == "torch":
        import torch

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
    else:
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(False)


def run_part(part: str, backend: str, sizes: Sizes, directory: Path) -> None:
    """Measure one part, in a process of its own, and write the figures."""
    if part == "exact":
        make_exact(backend)
    if backend != "tensorflow" and "tensorflow" in sys.modules:
        raise AssertionError("TensorFlow was imported")
    began = time.perf_counter()
    measure = {"exact": exact, "cost": cost}[part]
    result: dict[str, Any] = {"device": device(backend)}
    for figures in measure(sizes, directory, backend):
        result |= figures
        result[f"seconds of the process, {part}"] = round(time.perf_counter() - began)
        (directory / f"{backend}_{part}.json").write_text(json.dumps(result), encoding="utf-8")


# What the command does with it.


def run_process(part: str, backend: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one part of a backend and return its figures; of one that failed or was stopped, the reason among them."""
    environment = os.environ | {"KERAS_BACKEND": backend, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    environment |= DETERMINISTIC if part == "exact" else {}
    command = [sys.executable, "-m", "benchmarks.gpu", "--part", part, "--backends", backend, "--out", options.out]
    command += ["--small"] if options.small else []
    limit = LIMITS[part] * (5 if options.small else 1)
    path = Path(options.out) / f"{backend}_{part}.json"
    with path.with_suffix(".txt").open("w+", encoding="utf-8") as words:
        try:
            code = subprocess.run(command, env=environment, stdout=words, stderr=words, timeout=limit).returncode
            words.seek(0)
            failed = words.read().strip().splitlines()[-1:] if code else []
        except subprocess.TimeoutExpired:
            failed = [f"not finished after {limit} s"]
    figures = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return figures | {f"failed, {part}": line for line in failed}


def run_parts(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Run both parts of every backend: what is exact together, what is timed one by one."""
    with ThreadPoolExecutor(1 if options.small else len(options.backends)) as pool:
        exact_figures = pool.map(lambda backend: run_process("exact", backend, options), options.backends)
        results = dict(zip(options.backends, exact_figures, strict=True))
    return {backend: figures | run_process("cost", backend, options) for backend, figures in results.items()}


def compare(directory: Path, first: str, second: str) -> dict[str, str]:
    """Compare the values of two backends row by row: the median row, and the share beyond `FLIPPED`.

    A difference is relative to the largest value; of methods without gradients to the largest score, where that is larger.
    """
    lines = {}
    paths = [directory / name for name in (f"{first}.npz", f"{second}.npz", f"{first}_scales.npz")]
    with np.load(paths[0]) as a, np.load(paths[1]) as b, np.load(paths[2]) as scales:
        for method in a.files:
            apart = np.abs(a[method] - b[method]) / max(1e-12, float(scales[method]))
            rows = apart.reshape(len(apart), -1).max(1)
            beyond = float((rows > FLIPPED).mean())
            met = np.median(rows) <= ROW and beyond <= FLIPPED_ROWS
            lines[method] = (
                f"median row {np.median(rows):.1e}, {beyond:.0%} of rows beyond 1e-4{'' if met else ': MISSED'}"
            )
    return lines


def bars(backend: str, figures: dict[str, Any]) -> list[str]:
    """Return a line for each bar that a backend has missed."""
    missed = [f"{backend}, {name}: {words}" for name, words in figures.items() if name.startswith("failed")]
    for policy in ("float32", "mixed_float16"):
        repeated, watched = (
            figures.get(f"equal arrays, {kind} against plain, {policy}") for kind in ("plain", "watched")
        )
        if watched != repeated:
            missed.append(f"{backend}, {policy}: {watched} arrays equal with us, {repeated} without")
    whole = figures.get(f"ResNet-50, Explain over plain, epoch of {EPOCH_IMAGES[-1]:,} images", 0)
    if whole > EXPLAIN_BAR:
        missed.append(f"{backend}: Explain over plain is {whole}, the bar {EXPLAIN_BAR}")
    return missed


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """Print the table of docs/gpu.md: a row a figure, a column a backend."""
    names = list(dict.fromkeys(name for figures in results.values() for name in figures))
    print(f"| | {' | '.join(results)} |\n|---|{'---|' * len(results)}")
    for name in names:
        print(f"| {name} | {' | '.join(str(figures.get(name, '–')) for figures in results.values())} |")


def main() -> int:
    """Measure, print the tables, and return 1 where a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="+", default=["jax", "torch"], choices=["jax", "torch", "tensorflow"])
    parser.add_argument("--out", default=tempfile.mkdtemp(), help="where values and figures are written")
    parser.add_argument("--small", action="store_true", help="for a machine without a GPU")
    parser.add_argument("--part", choices=list(LIMITS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    directory = Path(options.out)
    directory.mkdir(parents=True, exist_ok=True)
    if options.part:
        run_part(options.part, options.backends[0], SMALL if options.small else GPU, directory)
        return 0
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, Keras", end=" ", flush=True)
    version = "import importlib.metadata as m; print(m.version('keras'))"
    subprocess.run([sys.executable, "-c", version], check=False)
    results = run_parts(options)
    print_table(results)
    missed = [line for backend, figures in results.items() for line in bars(backend, figures)]
    for second in options.backends[1:]:
        first = options.backends[0]
        if all((directory / f"{backend}.npz").exists() for backend in (first, second)):
            lines = compare(directory, first, second)
            print(f"\n{first} against {second}, relative to the largest value or score:\n")
            print("\n".join(f"- {method}: {line}" for method, line in lines.items()))
            missed += [f"{first} against {second}: {method}" for method, line in lines.items() if "MISSED" in line]
    print("\nEvery bar is met." if not missed else "\nMissed:\n" + "\n".join(f"- {line}" for line in missed))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
