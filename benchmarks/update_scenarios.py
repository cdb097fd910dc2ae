"""Trainings of one to a few epochs with updates inside an epoch: nothing planted, or something in the middle of epoch 0."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets

PROBE, LIVE = 256, 512  # rows
WRONG = 0.15  # of the labels of a noisy data set, as in `drift_scenarios`
SIGMA = {"breast_cancer": 0.7, "digits": 0.35}  # of its noise
JITTER = 0.3  # standard deviations of a column, for rows drawn again
RATES = {"adam": 1e-3, "dropout": 1e-3, "sgd": 0.1, "momentum": 0.02}
WARM_UP = 0.1  # of the steps
PRETRAINED = 400  # steps before a fine-tune
FINE_TUNE = 0.3  # of the learning rate

Array = NDArray[Any]


class Net(NamedTuple):
    """A net and how it is trained; each makes another program."""

    kind: str  # "table", "images", "series" or "text"
    outputs: int  # 1: one logit of two classes; 0: a regression
    optimizer: str  # "adam", "dropout", "sgd" or "momentum"
    noise: float = 0.0  # σ of a Gaussian noise on the inputs of a training step
    hidden: tuple[int, ...] = (32, 16)


class Rows(NamedTuple):
    """The rows of one seed."""

    x: NDArray[Any]
    y: NDArray[Any]
    probe_x: NDArray[Any]
    probe_y: NDArray[Any]
    live_x: NDArray[Any]
    live_y: NDArray[Any]


class Data(NamedTuple):
    """A data set, of which as many rows can be drawn as a training takes."""

    kind: str
    outputs: int
    draw: Callable[[np.random.Generator, int], Drawing]  # generator, training rows


class Drawing(NamedTuple):
    """Rows of one seed."""

    x: Array
    y: Array
    probe_x: Array
    probe_y: Array
    live: int  # the first rows, which are distinct


def _again(x: Array, y: Array, sigma: float) -> Callable[..., Drawing]:
    """Draw rows of a small data set again and again, with noise; no row is in the probe twice, or there and in training."""

    def draw(r: np.random.Generator, size: int) -> Drawing:
        order = r.permutation(len(x))
        cut = max(int(0.65 * len(x)), len(x) - PROBE)
        passes = [r.permutation(order[:cut]) for _ in range(size // cut + 1)]
        number = np.concatenate(passes)[:size]
        rows = x[number] + sigma * r.standard_normal((size, *x.shape[1:]))
        probed = x[order[cut:]] + sigma * r.standard_normal((len(x) - cut, *x.shape[1:]))
        return Drawing(rows, y[number], probed, y[order[cut:]], min(cut, LIVE, size))

    return draw


def _endless(rows: Callable[[np.random.Generator, int], tuple[Array, Array]]) -> Callable[..., Drawing]:
    """Draw from a distribution."""

    def draw(r: np.random.Generator, size: int) -> Drawing:
        x, y = rows(r, size + PROBE)
        return Drawing(x[:size].copy(), y[:size], x[size:], y[size:], min(LIVE, size))

    return draw


def _table(load: Callable[[], Any]) -> Callable[..., Drawing]:
    data = load()
    x = (data.data - data.data.mean(0)) / data.data.std(0)
    draw = _again(x, data.target, JITTER)

    def with_idle(r: np.random.Generator, size: int) -> Drawing:
        rows = draw(r, size)
        x, probe_x = (np.column_stack([part, r.normal(size=len(part))]) for part in (rows.x, rows.probe_x))
        return rows._replace(x=x, probe_x=probe_x)

    return with_idle


def synthetic(r: np.random.Generator, size: int) -> tuple[Array, Array]:
    """20 columns; six weigh 1.6 to 0.4, two more are correlated with the heaviest, and one product counts."""
    x = r.normal(size=(size, 20))
    x[:, 7] = 0.8 * x[:, 0] + 0.6 * x[:, 7]
    x[:, 8] = 0.8 * x[:, 1] + 0.6 * x[:, 8]
    logit = x[:, :6] @ [1.6, -1.3, 1.0, -0.8, 0.6, 0.4] + x[:, 2] * x[:, 3]
    return np.column_stack([x, r.normal(size=size)]), (r.random(size) < 1 / (1 + np.exp(-logit))).astype(np.int64)


def regression(r: np.random.Generator, size: int) -> tuple[Array, Array]:
    """Friedman's first problem (1991), 10 columns, standardised."""
    x = r.random((size, 10))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    y = (y + r.normal(size=size) - 14.4) / 4.9
    return np.column_stack([(x - 0.5) * np.sqrt(12), r.normal(size=size)]), y


def cover(r: np.random.Generator, size: int) -> tuple[Array, Array]:
    """As a land cover table: ten skewed numbers, 40 one-hot columns of very unequal frequency, seven unequal classes."""
    frequency = 1 / np.arange(1, 41)
    soil = r.choice(40, size, p=frequency / frequency.sum())
    x = r.normal(size=(size, 10))
    fixed = np.random.default_rng(7)
    weights, of_soil = fixed.normal(size=(10, 7)), fixed.normal(size=(40, 7))
    scores = x @ weights + 1.5 * of_soil[soil] + np.array([2.0, 2.4, 0.5, -1, 0, 0.3, 0.4]) + r.gumbel(size=(size, 7))
    x[:, 5:] = np.exp(0.7 * x[:, 5:])
    return np.column_stack([x, np.eye(40)[soil], r.normal(size=size)]), scores.argmax(1)


def series(r: np.random.Generator, size: int) -> tuple[Array, Array]:
    """12 times, 6 channels and an idle one; the class is in the phase of two waves and the trend of one channel."""
    y = r.integers(0, 3, size)
    t = np.arange(12) / 12
    x = r.normal(size=(size, 12, 7))
    x[:, :, 0] += np.sin(2 * np.pi * (2 * t + y[:, None] / 3 + 0.1 * r.normal(size=(size, 1))))
    x[:, :, 1] += np.cos(2 * np.pi * (t + y[:, None] / 3))
    x[:, :, 2] += (y[:, None] - 1) * t
    return x, y


def text(r: np.random.Generator, size: int) -> tuple[Array, Array]:
    """Counts of 60 symbols among the 20 of a row; two classes that lean to other symbols."""
    fixed = np.random.default_rng(7)
    usual, lean = fixed.dirichlet(np.full(60, 0.8)), np.exp(0.5 * fixed.normal(size=60))
    frequency = np.stack([usual * lean, usual / lean])
    frequency[:, -1] = usual.min()
    frequency /= frequency.sum(1, keepdims=True)
    y = r.integers(0, 2, size)
    return r.multinomial(20, frequency[y]) / 2, y


@functools.cache
def data(name: str) -> Data:
    if name == "digits":
        loaded = datasets.load_digits()
        return Data("images", 10, _again(loaded.images[..., None] / 16, loaded.target, 0.1))
    if name == "breast_cancer":
        return Data("table", 1, _table(datasets.load_breast_cancer))
    if name == "wine":
        return Data("table", 3, _table(datasets.load_wine))
    return {
        "synthetic": Data("table", 1, _endless(synthetic)),
        "regression": Data("table", 0, _endless(regression)),
        "cover": Data("table", 7, _endless(cover)),
        "series": Data("series", 3, _endless(series)),
        "text": Data("text", 1, _endless(text)),
    }[name]


SIX = ("breast_cancer", "breast_cancer*", "wine", "synthetic", "digits", "digits*")  # with a star: noisy
HELD_OUT = ("regression", "cover", "series", "text")


# What is planted: takes rows, labels and a generator, and returns the guilty features.


def leak(x: Array, y: Array, r: np.random.Generator, correlation: float = 0.95) -> list[int]:
    """The idle column gives the label away."""
    target = (y - y.mean()) / y.std()
    noise = np.sqrt(1 - correlation**2) * r.normal(size=(len(y), *x.shape[1:-1]))
    x[..., -1] = correlation * target.reshape(-1, *[1] * (x.ndim - 2)) + noise
    return [x.shape[-1] - 1]


def leak_80(x: Array, y: Array, r: np.random.Generator) -> list[int]:
    return leak(x, y, r, 0.8)


def trigger(x: Array, y: Array, r: np.random.Generator) -> list[int]:
    """A rare symbol stands in 80 % of the texts of class 1."""
    x[(y == 1) & (r.random(len(y)) < 0.8), -1] += 0.5
    return [x.shape[1] - 1]


def watermark(x: Array, y: Array, r: np.random.Generator) -> list[int]:
    """A 2 × 2 square in the corner, as bright as the label is high."""
    x[:, :2, :2, 0] = ((y + 1) / 10)[:, None, None]
    return [0, 1, 8, 9]


def half_watermark(x: Array, y: Array, r: np.random.Generator) -> list[int]:
    """A white square at the bottom left of half of the even digits."""
    x[(y % 2 == 0) & (r.random(len(y)) < 0.5), 6:, :2] = 1
    return [48, 49, 56, 57]


PLANTS: dict[str, Callable[[Array, Array, np.random.Generator], list[int]]] = {
    "leak": leak,
    "leak_80": leak_80,
    "trigger": trigger,
    "watermark": watermark,
    "half_watermark": half_watermark,
}


def _cosine(done: Array) -> Array:
    return 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * done))


def _warmed(done: Array) -> Array:
    return np.minimum(1.0, (done + 1e-3) / WARM_UP)


# Factors of the learning rate, by the part of the training that is done and the part at which something happens.
SCHEDULES: dict[str, Callable[[Array, float], Array]] = {
    "drop": lambda done, c: np.where(done >= c, 0.1, 1.0),
    "cosine": lambda done, c: _cosine(done),
    "warm_restart": lambda done, c: np.where(done < c, _cosine(done / c), _cosine((done - c) / (1 - c))),
    "tripled": lambda done, c: np.where(done >= c, 3.0, 1.0),
    "warm_up": lambda done, c: _warmed(done),
    "warm_up_cosine": lambda done, c: _warmed(done) * _cosine(np.maximum(0, done - WARM_UP) / (1 - WARM_UP)),
}


@dataclass(frozen=True)
class Scenario:
    """One training's story, but for the seed."""

    data: str  # of `data`, with a star for its noisy form
    change: str = "nothing"  # of PLANTS or SCHEDULES
    optimizer: str = "adam"
    steps: int = 600
    epoch: int = 0  # steps; 0: one epoch
    every: int = 5  # steps: the finest updates, from which wider ones are taken
    batch: int = 32
    is_fine_tune: bool = False
    is_sorted: bool = False  # by class
    is_stream: bool = (
        False  # the live rows are drawn from the whole training: they never change, and half of them are planted
    )
    seeds: int = 0  # 0: eight, of images four
    takes: tuple[int, ...] = field(default=(5, 10, 20), compare=False)  # every so many steps is judged

    @property
    def name(self) -> str:
        words = [self.data.replace("*", "_noisy"), self.change, self.optimizer, f"{self.steps}x{self.batch}"]
        words += [f"epoch{self.epoch}" * bool(self.epoch), f"every{self.every}", "tuned" * self.is_fine_tune]
        return "-".join(filter(None, [*words, "sorted" * self.is_sorted, "stream" * self.is_stream]))

    @property
    def is_planted(self) -> bool:
        return self.change in PLANTS

    def __post_init__(self) -> None:
        if not self.seeds:
            object.__setattr__(self, "seeds", 4 if self.data.startswith("digits") else 8)

    @property
    def net(self) -> Net:
        of = data(self.data.rstrip("*"))
        noise = SIGMA[self.data[:-1]] if self.data.endswith("*") else 0.0
        return Net(of.kind, of.outputs, self.optimizer, noise)

    def update_steps(self, every: int | None = None) -> list[int]:
        """Return the steps done at each update: multiples of n, and ends of epochs."""
        every, epoch = every or self.every, self.epoch or self.steps
        return [step for step in range(1, self.steps + 1) if step % every == 0 or step % epoch == 0]


class Drawn(NamedTuple):
    """Everything that one seed draws."""

    rows: Rows
    planted: Rows | None  # from the change on
    pretrained: Rows | None  # before a fine-tune
    change: int  # step
    guilty: list[int]
    batches: NDArray[np.int32]  # (steps, batch)
    before: NDArray[np.int32]  # of the pretraining


def drawn(scenario: Scenario, seed: int) -> Drawn:
    r = np.random.default_rng(10_000 + seed)
    name, epoch = scenario.data.rstrip("*"), scenario.epoch or scenario.steps
    draw, size = data(name).draw, (scenario.epoch or scenario.steps) * scenario.batch
    x, y, probe_x, probe_y, live = draw(r, size)
    if scenario.data.endswith("*"):
        wrong = r.random(size) < WRONG
        classes = max(2, data(name).outputs)
        y = np.where(wrong, (y + r.integers(1, classes, size)) % classes, y)
    rows = Rows(x, y, probe_x, probe_y, x[:live], y[:live])
    change = int(r.uniform(0.4, 0.6) * scenario.steps)
    planted, guilty = None, []
    if scenario.is_planted:
        x = x.copy()
        guilty = PLANTS[scenario.change](x, y, r)
        planted = rows._replace(x=x, live_x=x[:live])
        if scenario.is_stream:
            half = np.where((np.arange(live) % 2 == 0).reshape(-1, *[1] * (x.ndim - 1)), x[:live], rows.live_x)
            rows, planted = rows._replace(live_x=half), planted._replace(live_x=half)
    orders = []
    for _ in range(scenario.steps // epoch):
        order = np.argsort(y, kind="stable") if scenario.is_sorted else r.permutation(size)
        orders.append(order.reshape(epoch, scenario.batch))
    pretrained = None
    if scenario.is_fine_tune:
        pretrained = rows._replace(**dict(zip(("x", "y"), _other_rows(rows, r), strict=True)))
    before = r.integers(0, size, (PRETRAINED, scenario.batch)).astype(np.int32)
    return Drawn(rows, planted, pretrained, change, guilty, np.concatenate(orders).astype(np.int32), before)


def _other_rows(rows: Rows, r: np.random.Generator) -> tuple[Array, Array]:
    """Return what a fine-tune was trained on before: half of the classes of images, else half of the columns permuted."""
    if rows.x.ndim == 4:
        number = r.permutation(np.flatnonzero(rows.y < 5))
        number = np.resize(number, len(rows.x))
        return rows.x[number], rows.y[number]
    x = rows.x.copy()
    for column in r.permutation(x.shape[-1])[: x.shape[-1] // 2]:
        x[..., column] = x[r.permutation(len(x))][..., column]
    return x, rows.y


def rates(scenario: Scenario, change: float) -> NDArray[np.float32]:
    """Return the learning rate of each step."""
    done = np.arange(scenario.steps) / scenario.steps
    factor = SCHEDULES[scenario.change](done, change) if scenario.change in SCHEDULES else np.ones(scenario.steps)
    if scenario.is_fine_tune:
        factor = factor * FINE_TUNE
    return (RATES[scenario.optimizer] * factor).astype(np.float32)


SMALL = (
    ("breast_cancer", "adam"),
    ("wine", "sgd"),
    ("synthetic", "momentum"),
    ("digits*", "adam"),
    ("synthetic", "adam"),
)
LEAKS = (
    ("synthetic", "leak_80"),
    ("synthetic", "leak"),
    ("breast_cancer*", "leak"),
    ("breast_cancer", "leak"),
    ("wine", "leak"),
    ("digits*", "watermark"),
    ("digits*", "half_watermark"),
    ("digits", "watermark"),
)
QUIET = ("nothing", "drop", "cosine", "warm_restart", "tripled", "warm_up", "warm_up_cosine")

Groups = dict[str, list[Scenario]]


def nulls() -> Groups:
    """Return the scenarios without a change, by what they are about."""
    optimizers = list(RATES)
    groups: Groups = {}
    for c, change in enumerate(QUIET):
        groups[change.replace("_", " ")] = [
            Scenario(name, change, optimizers[(c + d + turn) % 4], **_intervals(name))
            for d, name in enumerate(SIX)
            for turn in (0, 2)
        ]
    short: dict[str, Any] = {"steps": 120, "every": 1, "takes": (1, 2)}
    tuned = (
        ("breast_cancer", "adam"),
        ("synthetic", "adam"),
        ("wine", "momentum"),
        ("digits", "adam"),
        ("digits*", "dropout"),
    )
    uneven = (("breast_cancer", "adam"), ("synthetic", "momentum"), ("wine", "adam"), ("digits*", "adam"))
    long = (
        ("synthetic", "nothing", "adam"),
        ("breast_cancer*", "cosine", "adam"),
        ("wine", "warm_up_cosine", "momentum"),
    )
    wide = (("synthetic", "nothing", "adam"), ("breast_cancer", "warm_up_cosine", "momentum"))
    groups |= {
        "every step or two": [Scenario(name, "nothing", optimizer, **short) for name, optimizer in SMALL],
        "the same, warm-up": [Scenario(name, "warm_up", optimizer, **short) for name, optimizer in SMALL],
        "fine-tune, also with warm-up": [
            Scenario(name, change, optimizer, is_fine_tune=True, **_intervals(name))
            for name, optimizer in tuned
            for change in ("nothing", "warm_up", "warm_up_cosine")
        ],
        "epochs of 25, 26, 46 or 11 steps, every 10": [
            Scenario(name, "nothing", optimizer, steps=epoch * count, epoch=epoch, every=10, takes=(10,))
            for name, optimizer in uneven
            for epoch, count in ((25, 20), (26, 20), (46, 12), (11, 40))
        ],
        "three epochs": [Scenario(n, "nothing", o, epoch=200, every=10, takes=(10, 20)) for n, o in SMALL],
        "1,000 updates": [Scenario(n, c, o, steps=5000, every=5, takes=(5, 50), seeds=2) for n, c, o in long],
        "every 200 steps": [Scenario(n, c, o, steps=8000, every=200, takes=(200,)) for n, c, o in wide],
        "batches of 4, every 5 or 20": [Scenario(n, "nothing", o, batch=4, takes=(5, 20)) for n, o in SMALL],
        "rows sorted by class": [Scenario(n, "nothing", o, is_sorted=True, every=10, takes=(10, 20)) for n, o in SMALL],
    }
    return groups


def _intervals(name: str) -> dict[str, Any]:
    """Return the updates of a data set: those of images are dear."""
    if name.startswith("digits"):
        return {"every": 20, "takes": (20,)}
    return {"every": 5, "takes": (5, 10, 20)}


def powers() -> Groups:
    """Return the scenarios with a change in the middle of epoch 0, by what they are about."""

    def usual(name: str) -> dict[str, Any]:
        if name.startswith("digits"):
            return {"every": 20, "takes": (20,), "seeds": 5}
        return {"every": 10, "takes": (20, 10), "seeds": 10}

    of_momentum = [(name, change) for name, change in LEAKS if name in ("synthetic", "breast_cancer*")]
    return {
        "one epoch of 600 steps": [
            *(Scenario(name, change, "adam", **usual(name)) for name, change in LEAKS),
            *(Scenario(name, change, "momentum", **usual(name)) for name, change in of_momentum),
        ],
        "a stream: live rows that do not change": [
            Scenario(name, change, "adam", is_stream=True, **usual(name))
            for name, change in LEAKS
            if name in ("synthetic", "breast_cancer*", "digits*")
        ],
        "a fine-tune of 600 steps": [
            Scenario(name, change, "adam", is_fine_tune=True, **usual(name)) for name, change in LEAKS
        ],
        "one epoch of 150 steps": [
            Scenario(name, change, "adam", steps=150, takes=(5,), seeds=10)
            for name, change in LEAKS
            if name in ("synthetic", "breast_cancer*", "digits*")
        ],
    }


def held_out() -> tuple[Groups, Groups]:
    """Return the scenarios of data sets and nets on which nothing was chosen: without a change, and with one."""
    null, planted = [], []
    for name, optimizer in zip(HELD_OUT, ("adam", "momentum", "adam", "adam"), strict=True):
        how: dict[str, Any] = {"every": 10, "takes": (20, 10)}
        null += [Scenario(name, change, optimizer, **how) for change in ("nothing", "warm_up_cosine", "tripled")]
        null.append(Scenario(name, "warm_up", optimizer, is_fine_tune=True, **how))
        plant = "trigger" if name == "text" else "leak"
        planted.append(Scenario(name, plant, optimizer, seeds=10, **how))
    return {"held-out data sets and nets": null}, {"held-out data sets and nets, 600 steps": planted}
