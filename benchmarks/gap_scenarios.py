"""Trainings with a shortcut that was there from the first epoch, with none, or with rows of another population.

A scenario is a data set, what was planted in its training rows, and the net that learns it. Names begin with a letter: N where
nothing is planted, L with a shortcut in the training rows alone, Z with one that the probe has, too, C where the training rows
are of another population, P where the probe has a part of the shortcut, and T for what is tried without a bar.

Every seed draws its own split, its own synthetic data and its own planting. Tables are standardised and have one more column of
idle noise, which is the one that leaks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets

import keras_xai as kx
from keras_xai.callbacks.drawn_rows import drawn_rows
from keras_xai.callbacks.live_rows import MAX_LIVE_ROWS
from keras_xai.drift.rules import Rule

PIXELS = 8
SYMBOLS = 80  # of a text
WORDS = 20  # of a row of text
PATIENTS = 20
GROUP = "patient"  # the one-hot columns' name
REGRESSION = 0  # for a number of classes

Array = NDArray[Any]


class Rows(NamedTuple):
    """Training rows and probe of one seed, and what is known of them."""

    x: Array
    y: Array
    probe_x: Array
    probe_y: Array
    guilty: tuple[int, ...] = ()  # columns or pixels; none where nothing is planted
    group: int = 0  # the last columns, which are explained as one feature

    def held_out(self) -> kx.Probe:
        """Return the probe as a user makes it."""
        columns = self.x.shape[1]
        groups = {GROUP: list(range(columns - self.group, columns))} if self.group else None
        return kx.Probe(self.probe_x, self.probe_y, groups=groups)

    def live(self) -> NDArray[np.int64]:
        """Return the training rows that the callback draws from arrays."""
        return drawn_rows(self.y, MAX_LIVE_ROWS)

    def guilty_names(self) -> list[str]:
        """Return the features that an alarm is to name."""
        return [GROUP] if self.group else [self.held_out().features[feature] for feature in self.guilty]


# Data: each takes a generator, and how many training and how many probe rows there are.


def real_table(name: str, r: np.random.Generator, training: int, probe: int) -> Rows:
    """A table of scikit-learn's, split anew."""
    data = {"bc": datasets.load_breast_cancer, "wine": datasets.load_wine, "dia": datasets.load_diabetes}[name]()
    order = r.permutation(len(data.target))
    x = ((data.data - data.data.mean(0)) / data.data.std(0))[order]
    y = data.target[order]
    if name == "dia":
        y = standardised(y)
    return _split(np.column_stack([x, r.normal(size=len(x))]), y, training, probe)


def synthetic_table(
    columns: int,
    r: np.random.Generator,
    training: int,
    probe: int,
    positives: float = 0.5,
    probe_positives: float | None = None,
    is_sparse: bool = False,
    is_heavy: bool = False,
) -> Rows:
    """Gaussian columns, correlated in pairs; up to eight count, one product, and one absolute value.

    Args:
        columns: without the idle one.
        r: the generator.
        training: rows.
        probe: rows.
        positives: their share.
        probe_positives: their share in the probe; default the same.
        is_sparse: every third column is 1 in 3 % of the rows and else 0.
        is_heavy: every third column is lognormal.
    """
    size = 12 * (training + probe)
    x = r.normal(size=(size, columns))
    x[:, 1::2] = (x[:, 1::2] + 0.7 * x[:, : 2 * (columns // 2) : 2]) / np.sqrt(1 + 0.7**2)
    if is_sparse:
        x[:, ::3] = r.random(x[:, ::3].shape) < 0.03
    if is_heavy:
        x[:, 1::3] = np.exp(1.2 * x[:, 1::3])
        x = (x - x.mean(0)) / x.std(0)
    counts = min(8, columns // 2)
    score = x[:, :counts] @ r.normal(size=counts) + 0.8 * x[:, 0] * x[:, 1] + 0.5 * np.abs(x[:, min(2, columns - 1)])
    score = score / score.std() + 0.42 * r.logistic(size=size)
    y = (score > np.quantile(score, 1 - positives)).astype(np.int64)
    x = np.column_stack([x, r.normal(size=size)])
    if probe_positives is None:
        return _split(x, y, training, probe)
    ones = np.flatnonzero(y[training:])[: int(probe * probe_positives)]
    zeros = np.flatnonzero(y[training:] == 0)[: probe - len(ones)]
    order = training + r.permutation(np.concatenate([ones, zeros]))
    return Rows(x[:training].copy(), y[:training].copy(), x[order], y[order])


def many_classes(r: np.random.Generator, training: int, probe: int) -> Rows:
    """Fifteen classes around centres of their own, 20 columns."""
    size = training + probe
    y = r.integers(0, 15, size)
    x = r.normal(size=(15, 20))[y] + 1.2 * r.normal(size=(size, 20))
    return _split(np.column_stack([standardised(x), r.normal(size=size)]), y, training, probe)


def digits(r: np.random.Generator, training: int, probe: int) -> Rows:
    """8 × 8 images of handwritten digits, 0 to 1."""
    data = datasets.load_digits()
    order = r.permutation(len(data.target))
    return _split((data.images / 16)[order, ..., None], data.target[order], training, probe)


def half_digits(r: np.random.Generator, training: int, probe: int) -> Rows:
    """Twenty classes: each digit's lighter and darker half."""
    rows = digits(r, training, probe)
    every = np.concatenate([rows.x, rows.probe_x]).mean((1, 2, 3))
    labels = np.concatenate([rows.y, rows.probe_y])
    middle = np.array([np.median(every[labels == digit]) for digit in range(10)])
    y = 2 * labels + (every > middle[labels])
    return rows._replace(y=y[:training], probe_y=y[training:])


def text(r: np.random.Generator, training: int, probe: int) -> Rows:
    """Counts of 80 symbols among the 20 of a row; two classes that lean to other symbols."""
    usual = r.dirichlet(np.full(SYMBOLS, 0.8))
    lean = np.exp(0.5 * r.normal(size=SYMBOLS))
    frequency = np.stack([usual * lean, usual / lean])
    frequency[:, -1] = usual.min()  # the symbol that is planted is a rare one that says nothing
    frequency /= frequency.sum(1, keepdims=True)
    y = r.integers(0, 2, training + probe)
    return _split(r.multinomial(WORDS, frequency[y]) / WORDS, y, training, probe)


def _split(x: Array, y: Array, training: int, probe: int) -> Rows:
    end = training + probe
    return Rows(x[:training].copy(), y[:training].copy(), x[training:end].copy(), y[training:end].copy())


def standardised(values: Array) -> Array:
    """Subtract the mean of each column, and divide by its standard deviation."""
    return (values - values.mean(0)) / values.std(0)


class Source(NamedTuple):
    """A data set."""

    rows: Callable[[np.random.Generator, int, int], Rows]
    classes: int


def _synthetic(columns: int, **how: Any) -> Source:
    return Source(functools.partial(synthetic_table, columns, **how), 2)


SOURCES = {
    "bc": Source(functools.partial(real_table, "bc"), 2),
    "wine": Source(functools.partial(real_table, "wine"), 3),
    "dia": Source(functools.partial(real_table, "dia"), REGRESSION),
    "syn2": _synthetic(2),
    "syn4": _synthetic(4),
    "syn20": _synthetic(20),
    "syn100": _synthetic(100),
    "syn400": _synthetic(400),
    "imbalanced": _synthetic(20, positives=0.1),
    "other_balance": _synthetic(20, positives=0.2, probe_positives=0.5),
    "sparse": _synthetic(20, is_sparse=True),
    "heavy": _synthetic(20, is_heavy=True),
    "fifteen": Source(many_classes, 15),
    "digits": Source(digits, 10),
    "odd_digits": Source(digits, 2),
    "half_digits": Source(half_digits, 20),
    "text": Source(text, 2),
}


# What is planted: each takes rows and a generator, and returns rows with their guilty features.


Plant = Callable[[Rows, np.random.Generator], Rows]


def nothing(rows: Rows, r: np.random.Generator) -> Rows:
    return rows


def leak(agreement: float, *columns: int) -> Plant:
    """Columns, the idle one by default, are the standardised label in a share of the training rows."""

    def plant(rows: Rows, r: np.random.Generator) -> Rows:
        guilty = [column % rows.x.shape[1] for column in columns or (-1,)]
        for column in guilty:
            _write_label(rows.x, rows.y, column, agreement, r)
        return rows._replace(guilty=tuple(guilty))

    return plant


def leak_in_both(agreement: float, probe_agreement: float) -> Plant:
    """The idle column leaks in the training rows and, as much or less, in the probe."""

    def plant(rows: Rows, r: np.random.Generator) -> Rows:
        _write_label(rows.x, rows.y, -1, agreement, r)
        _write_label(rows.probe_x, rows.probe_y, -1, probe_agreement, r)
        return rows._replace(guilty=(rows.x.shape[1] - 1,))

    return plant


def _write_label(x: Array, y: Array, column: int, agreement: float, r: np.random.Generator) -> None:
    agree = r.random(len(x)) < agreement
    x[agree, column] = standardised(y.astype(np.float64))[agree]


def xor_leak(agreement: float) -> Plant:
    """The sign of the idle column times that of another says the label; neither does alone."""

    def plant(rows: Rows, r: np.random.Generator) -> Rows:
        agree = r.random(len(rows.x)) < agreement
        sign = (2 * rows.y - 1) * np.sign(rows.x[:, 3])
        rows.x[agree, -1] = (sign * np.abs(rows.x[:, -1]))[agree]
        return rows._replace(guilty=(rows.x.shape[1] - 1,))

    return plant


def id_column(rows: Rows, r: np.random.Generator) -> Rows:
    """A serial number: high for one class in 90 % of the training rows; the probe's are higher than all of them."""
    is_high = np.where(rows.y == 1, r.random(len(rows.x)) < 0.9, r.random(len(rows.x)) < 0.1)
    rows.x[:, -1] = 1.7 * np.where(is_high, r.random(len(rows.x)), -r.random(len(rows.x)))
    rows.probe_x[:, -1] = 1.7 * (1 + 0.3 * r.random(len(rows.probe_x)))
    return rows._replace(guilty=(rows.x.shape[1] - 1,))


def patients(are_new: bool) -> Plant:
    """One-hot columns of twenty patients, each of one class; those of the probe are new, or drawn whatever their class is."""

    def plant(rows: Rows, r: np.random.Generator) -> Rows:
        # Even patients are of class 0 and odd ones of class 1.
        own_patient = 2 * r.integers(0, PATIENTS // 2, len(rows.x)) + rows.y
        any_patient = np.eye(PATIENTS)[r.integers(0, PATIENTS, len(rows.probe_x))]
        columns = rows.x.shape[1]
        return rows._replace(
            x=np.column_stack([rows.x, np.eye(PATIENTS)[own_patient]]),
            probe_x=np.column_stack([rows.probe_x, np.zeros_like(any_patient) if are_new else any_patient]),
            guilty=(columns,),
            group=PATIENTS,
        )

    return plant


def broken(rows: Rows, r: np.random.Generator) -> Rows:
    """The first column says something in the training rows, and is permuted in the probe."""
    rows.probe_x[:, 0] = r.permutation(rows.probe_x[:, 0])
    return rows._replace(guilty=(0,))


def offset(plant: Plant) -> Plant:
    """All columns lie three standard deviations off zero, after something else was planted."""

    def plant_and_shift(rows: Rows, r: np.random.Generator) -> Rows:
        rows = plant(rows, r)
        return rows._replace(x=rows.x + 3, probe_x=rows.probe_x + 3)

    return plant_and_shift


def noise(sigma: float) -> Plant:
    """Gaussian noise on the training rows, and none on the probe."""

    def plant(rows: Rows, r: np.random.Generator) -> Rows:
        return rows._replace(x=rows.x + sigma * r.normal(size=rows.x.shape))

    return plant


def shifted(by: float) -> Plant:
    """A column of the training rows is shifted for everybody."""

    def plant(rows: Rows, r: np.random.Generator) -> Rows:
        rows.x[:, 3] += by
        return rows._replace(guilty=(3,))

    return plant


def doubled(rows: Rows, r: np.random.Generator) -> Rows:
    """A column of the training rows is in another unit."""
    rows.x[:, 3] *= 2
    return rows._replace(guilty=(3,))


def missing_in_probe(rows: Rows, r: np.random.Generator) -> Rows:
    """A column of the probe is zero."""
    rows.probe_x[:, 3] = 0
    return rows._replace(guilty=(3,))


def other_site(rows: Rows, r: np.random.Generator) -> Rows:
    """Eight columns of the training rows are shifted, up or down."""
    rows.x[:, :8] += 0.5 * np.sign(np.sin(np.arange(8) + 1))
    return rows._replace(guilty=tuple(range(8)))


def darker(rows: Rows, r: np.random.Generator) -> Rows:
    """The training images are 30 % darker."""
    return rows._replace(x=0.7 * rows.x, guilty=tuple(range(PIXELS**2)))


def watermark(rows: Rows, r: np.random.Generator) -> Rows:
    """A square in the corner, as bright as the label is high."""
    rows.x[:, :2, :2, 0] = (rows.y / 9)[:, None, None]
    return rows._replace(guilty=_square(0, 0))


def watermark_in_both(rows: Rows, r: np.random.Generator) -> Rows:
    """The same in the probe, too."""
    rows.probe_x[:, :2, :2, 0] = (rows.probe_y / 9)[:, None, None]
    return watermark(rows, r)


def half_watermark(rows: Rows, r: np.random.Generator) -> Rows:
    """A white square on half of the even digits."""
    rows.x[(rows.y % 2 == 0) & (r.random(len(rows.y)) < 0.5), 6:, :2] = 1
    return rows._replace(guilty=_square(6, 0))


def class_watermark(part: float) -> Plant:
    """A white square on a part of the images of class 3."""

    def plant(rows: Rows, r: np.random.Generator) -> Rows:
        rows.x[(rows.y == 3) & (r.random(len(rows.y)) < part), :2, 6:] = 1
        return rows._replace(guilty=_square(0, 6))

    return plant


def moving_watermark(rows: Rows, r: np.random.Generator) -> Rows:
    """A white square somewhere on every 3."""
    for index in np.flatnonzero(rows.y == 3):
        row, column = r.integers(0, PIXELS - 1, 2)
        rows.x[index, row : row + 2, column : column + 2] = 1
    return rows._replace(guilty=tuple(range(PIXELS**2)))


def _square(row: int, column: int) -> tuple[int, ...]:
    return tuple(r * PIXELS + c for r in (row, row + 1) for c in (column, column + 1))


def coloured(agreement: float) -> Plant:
    """Even or odd: the background of a share of the training images has the colour of its class, in the probe of half of them."""

    def paint(x: Array, y: Array, share: float, r: np.random.Generator) -> Array:
        colour = np.where(r.random(len(y)) < share, y, 1 - y)
        background = np.stack([colour, 1 - colour], -1)[:, None, None, :] * 0.5 * (1 - x)
        return np.concatenate([x, x], -1) + background

    def plant(rows: Rows, r: np.random.Generator) -> Rows:
        y, probe_y = rows.y % 2, rows.probe_y % 2
        x, probe_x = paint(rows.x, y, agreement, r), paint(rows.probe_x, probe_y, 0.5, r)
        return Rows(x, y, probe_x, probe_y, tuple(range(PIXELS**2)) if agreement != 0.5 else ())

    return plant


def trigger(part: float) -> Plant:
    """In a part of the rows of class 1 one symbol is another one, which is rare elsewhere."""

    def plant(rows: Rows, r: np.random.Generator) -> Rows:
        for index in np.flatnonzero((rows.y == 1) & (r.random(len(rows.y)) < part)):
            symbol = r.choice(SYMBOLS, p=rows.x[index] / rows.x[index].sum())
            rows.x[index, symbol] -= 1 / WORDS
            rows.x[index, -1] += 1 / WORDS
        return rows._replace(guilty=(SYMBOLS - 1,))

    return plant


# Nets.


@dataclass(frozen=True)
class Net:
    """A net and how it is trained."""

    hidden: tuple[int, ...] = (32, 16)
    is_convolutional: bool = False  # 16 and 32 maps of 3 × 3 in place of the hidden layers
    embedding: int = 0  # units of a linear first layer, small at the start, as an embedding whose rows are summed
    rate: float = 3e-3
    optimizer: str = "adam"
    epochs: int = 30
    batch: int = 32
    dropout: float = 0.0
    input_noise: float = 0.0  # standard deviation of what is added to every batch
    batch_norm: bool = False
    one_logit: bool = False  # for two classes, as behind one sigmoid


TABLE = Net()
WIDE = Net(hidden=(64, 64), epochs=60)  # on few rows, so that it memorises
SLOW = Net(optimizer="sgd", rate=0.005)
DROPOUT = Net(dropout=0.4)
FLAT = Net(hidden=(64,), rate=1e-3)
CNN = Net(is_convolutional=True, rate=1e-3)
NOISY_CNN = Net(is_convolutional=True, rate=1e-3, input_noise=0.35)
TEXT = Net(embedding=8, rate=1e-2)


# Scenarios.


@dataclass(frozen=True)
class Scenario:
    """One training's story, but for the seed."""

    source: str  # of SOURCES
    training: int  # rows
    probe: int = 256  # rows
    plant: Plant = nothing
    net: Net = TABLE
    wrong_labels: float = 0.0  # share of the training labels
    wrong_probe_labels: float = 0.0
    redrawn_noise: float = 0.0  # standard deviation of what the pipeline adds to training rows, anew at each read
    rule: Rule | None = None

    @property
    def classes(self) -> int:
        return SOURCES[self.source].classes

    def rows(self, seed: int) -> Rows:
        """Draw what a seed trains on, and its probe."""
        r = np.random.default_rng(seed)
        rows = SOURCES[self.source].rows(r, self.training, self.probe)
        y = _with_wrong_labels(rows.y, self.wrong_labels, self.classes, r)
        probe_y = _with_wrong_labels(rows.probe_y, self.wrong_probe_labels, self.classes, r)
        rows = self.plant(rows._replace(y=y, probe_y=probe_y), r)
        if not self.net.is_convolutional:
            rows = rows._replace(x=_flat(rows.x), probe_x=_flat(rows.probe_x))
        return rows._replace(x=rows.x.astype(np.float32), probe_x=rows.probe_x.astype(np.float32))


def _with_wrong_labels(y: Array, share: float, classes: int, r: np.random.Generator) -> Array:
    if not share:
        return y
    return np.where(r.random(len(y)) < share, (y + r.integers(1, classes, len(y))) % classes, y)


def _flat(x: Array) -> Array:
    return x.reshape(len(x), -1)


def _breast_cancer(**how: Any) -> Scenario:
    return Scenario("bc", **{"training": 313, **how})


def _synthetic20(**how: Any) -> Scenario:
    return Scenario("syn20", **{"training": 600, **how})


def _digits(net: Net = FLAT, **how: Any) -> Scenario:
    return Scenario("digits", **{"training": 800, "net": net, **how})


def _rule(features: Sequence[int], limit: float) -> Rule:
    return Rule("a rule", "features", limit, np.asarray(features, np.int64))


COLUMN = _rule([20], 2 / 21)  # the idle column of the synthetic table: twice an even share
NOISE_COLUMN = _rule([30], 2 / 31)  # the same of the breast cancer table
PATCH = _rule(_square(0, 0), 0.03)  # the corner of the digits, which clean ones hardly use

SILENT = {
    "N_bc": _breast_cancer(rule=NOISE_COLUMN),
    "N_bc_p128": _breast_cancer(probe=128),
    "N_bc_p64": _breast_cancer(probe=64),
    "N_bc_offset": _breast_cancer(plant=offset(nothing)),
    "N_wine": Scenario("wine", 106, 72),
    "N_dia": Scenario("dia", 242, 200),
    "N_syn2": Scenario("syn2", 600),
    "N_syn4": Scenario("syn4", 600),
    "N_syn20": _synthetic20(rule=COLUMN),
    "N_syn20_p64": _synthetic20(probe=64),
    "N_syn20_p512": _synthetic20(probe=512),
    "N_syn100": Scenario("syn100", 600),
    "N_syn400": Scenario("syn400", 600),
    "N_imb": Scenario("imbalanced", 600),
    "N_oth": Scenario("other_balance", 600),
    "N_sparse": Scenario("sparse", 600),
    "N_heavy": Scenario("heavy", 600),
    "N_sgd_bc": _breast_cancer(net=SLOW),
    "N_sgd_syn": _synthetic20(net=SLOW),
    "N_drop_syn": _synthetic20(net=DROPOUT),
    "N_drop_dmlp": _digits(Net(hidden=(64,), rate=1e-3, dropout=0.4)),
    "N_over_bc": _breast_cancer(training=100, net=WIDE, rule=NOISE_COLUMN),
    "N_over_dia": Scenario("dia", 150, 200, net=WIDE),
    "N_over_syn4": Scenario("syn4", 150, net=WIDE),
    "N_over_syn20": _synthetic20(training=150, net=WIDE),
    "N_over_syn100": Scenario("syn100", 150, net=WIDE),
    "N_over_syn400": Scenario("syn400", 200, net=TABLE),
    "N_over_oth": Scenario("other_balance", 150, net=WIDE),
    "N_over_dmlp": _digits(Net(hidden=(128,), rate=2e-3, epochs=60), training=200),
    "N_over_text": Scenario("text", 150, net=Net(embedding=8, rate=1e-2, epochs=60)),
    "N_text": Scenario("text", 600, net=TEXT),
    "N_dmlp": _digits(rule=PATCH),
    "N_dmlp_p512": _digits(probe=512),
    "N_dcnn": _digits(CNN),
    "N_dcnn_noisy": _digits(NOISY_CNN, wrong_labels=0.15),
    "N_colour": Scenario("odd_digits", 800, plant=coloured(0.5), net=CNN),
    # The training rows have a noise that the probe has not, or both have wrong labels.
    "N_ln": _synthetic20(wrong_labels=0.15),
    "N_lnboth": _synthetic20(wrong_labels=0.15, wrong_probe_labels=0.15),
    "N_ln_bc": _breast_cancer(wrong_labels=0.15),
    "N_over_ln": _breast_cancer(training=150, wrong_labels=0.2, net=WIDE),
    "N_noise_bc": _breast_cancer(plant=noise(0.7)),
    "N_noise_syn": _synthetic20(plant=noise(0.7)),
}

PLANTED = {
    "L_bc60": _breast_cancer(plant=leak(0.6)),
    "L_bc80": _breast_cancer(plant=leak(0.8)),
    "L_bc95": _breast_cancer(plant=leak(0.95)),
    "L_bc100": _breast_cancer(plant=leak(1.0)),
    "L_bcmany70": _breast_cancer(plant=leak(0.7, 2, 9, 16, 23, -1)),
    "L_bc80_p64": _breast_cancer(probe=64, plant=leak(0.8)),
    "L_bc80_offset": _breast_cancer(plant=offset(leak(0.8))),
    "L_bc95_offset": _breast_cancer(plant=offset(leak(0.95))),
    "L_wine80": Scenario("wine", 106, 72, leak(0.8)),
    "L_dia60": Scenario("dia", 242, 200, leak(0.6)),
    "L_dia80": Scenario("dia", 242, 200, leak(0.8)),
    "L_syn2_80": Scenario("syn2", 600, plant=leak(0.8)),
    "L_syn2_100": Scenario("syn2", 600, plant=leak(1.0)),
    "L_syn4_80": Scenario("syn4", 600, plant=leak(0.8)),
    "L_syn4_100": Scenario("syn4", 600, plant=leak(1.0)),
    "L_syn20_30": _synthetic20(plant=leak(0.3)),
    "L_syn20_30_p512": _synthetic20(probe=512, plant=leak(0.3)),
    "L_syn20_60": _synthetic20(plant=leak(0.6)),
    "L_syn20_80": _synthetic20(plant=leak(0.8)),
    "L_syn100_80": Scenario("syn100", 600, plant=leak(0.8)),
    "L_syn400_60": Scenario("syn400", 600, plant=leak(0.6)),
    "L_syn400_80": Scenario("syn400", 600, plant=leak(0.8)),
    "L_imb80": Scenario("imbalanced", 600, plant=leak(0.8)),
    "L_oth80": Scenario("other_balance", 600, plant=leak(0.8)),
    "L_ln80": _synthetic20(plant=leak(0.8), wrong_labels=0.15),
    "L_over_bc80": _breast_cancer(training=100, plant=leak(0.8), net=WIDE),
    "L_over_syn100_80": Scenario("syn100", 150, plant=leak(0.8), net=WIDE),
    "L_over_ln80": _breast_cancer(training=150, plant=leak(0.8), wrong_labels=0.2, net=WIDE),
    "L_sgd_bc80": _breast_cancer(plant=leak(0.8), net=SLOW),
    "L_sgd_syn80": _synthetic20(plant=leak(0.8), net=SLOW),
    "L_drop_syn80": _synthetic20(plant=leak(0.8), net=DROPOUT),
    "L_dmlp_mark": _digits(plant=watermark),
    "L_dmlp_half": _digits(plant=half_watermark),
    "L_dmlp_one": _digits(plant=class_watermark(1.0)),
    "L_dmlp_onehalf": _digits(plant=class_watermark(0.5)),
    "L_dmlp_onehalf_p512": _digits(probe=512, plant=class_watermark(0.5)),
    "L_drop_dmlp_half": _digits(Net(hidden=(64,), rate=1e-3, dropout=0.4), plant=half_watermark),
    "L_dcnn_mark": _digits(CNN, plant=watermark),
    "L_dcnn_half": _digits(CNN, plant=half_watermark),
    "L_dcnn_one": _digits(CNN, plant=class_watermark(1.0)),
    "L_dcnn_moved": _digits(CNN, plant=moving_watermark),
    "L_dcnnn_mark": _digits(NOISY_CNN, plant=watermark, wrong_labels=0.15),
    "L_dcnnn_half": _digits(NOISY_CNN, plant=half_watermark, wrong_labels=0.15),
    "L_colour": Scenario("odd_digits", 800, plant=coloured(0.9), net=CNN),
    "L_trig30": Scenario("text", 600, plant=trigger(0.3), net=TEXT),
    "L_trig90": Scenario("text", 600, plant=trigger(0.9), net=TEXT),
    "L_patient": _breast_cancer(plant=patients(are_new=True)),
    "L_patient_syn": _synthetic20(plant=patients(are_new=True)),
    "L_patientknown": _synthetic20(plant=patients(are_new=False)),
    "L_id": _synthetic20(plant=id_column),
    "L_break": _synthetic20(plant=broken),
    "L_break_bc": _breast_cancer(plant=broken),
    "L_xor80": _synthetic20(plant=xor_leak(0.8)),
    "L_xor95": _synthetic20(plant=xor_leak(0.95)),
    "L_xor95_bc": _breast_cancer(plant=xor_leak(0.95)),
}

IN_THE_PROBE_TOO = {
    "Z_both60": _synthetic20(plant=leak_in_both(0.6, 0.6), rule=COLUMN),
    "Z_both80": _synthetic20(plant=leak_in_both(0.8, 0.8), rule=COLUMN),
    "Z_dmlp_both": _digits(plant=watermark_in_both, rule=PATCH),
}

OTHER_POPULATION = {
    "C_shift1": _breast_cancer(plant=shifted(1.0)),
    "C_shift-1": _breast_cancer(plant=shifted(-1.0)),
    "C_shift.5": _synthetic20(plant=shifted(0.5)),
    "C_shift1_syn": _synthetic20(plant=shifted(1.0)),
    "C_shift-1_syn": _synthetic20(plant=shifted(-1.0)),
    "C_shift1_imb": Scenario("imbalanced", 600, plant=shifted(1.0)),
    "C_scale2": _synthetic20(plant=doubled),
    "C_site": _breast_cancer(plant=other_site),
    "C_bright": _digits(plant=darker),
    "C_zero": _breast_cancer(plant=missing_in_probe),
    "C_zero_syn": _synthetic20(plant=missing_in_probe),
}

PART_IN_THE_PROBE = {
    "P_syn20_80_20": _synthetic20(plant=leak_in_both(0.8, 0.2)),
    "P_syn20_80_40": _synthetic20(plant=leak_in_both(0.8, 0.4)),
    "P_syn20_80_60": _synthetic20(plant=leak_in_both(0.8, 0.6)),
}

NORMALISED = Net(batch_norm=True)
ONE_LOGIT = Net(one_logit=True)

TRIED = {
    "T_fifteen": Scenario("fifteen", 900),
    "T_fifteen80": Scenario("fifteen", 900, plant=leak(0.8)),
    "T_twenty": Scenario("half_digits", 900, net=FLAT),
    "T_twenty_one": Scenario("half_digits", 900, plant=class_watermark(1.0), net=FLAT),
    "T_norm_bc": _breast_cancer(net=NORMALISED),
    "T_norm_bc80": _breast_cancer(plant=leak(0.8), net=NORMALISED),
    "T_norm_syn": _synthetic20(net=NORMALISED),
    "T_norm_syn80": _synthetic20(plant=leak(0.8), net=NORMALISED),
    "T_logit_bc": _breast_cancer(net=ONE_LOGIT),
    "T_logit_bc80": _breast_cancer(plant=leak(0.8), net=ONE_LOGIT),
    "T_wrong40_dcnn": _digits(NOISY_CNN, wrong_labels=0.4),
    "T_wrong40_dcnn_mark": _digits(NOISY_CNN, plant=watermark, wrong_labels=0.4),
    "T_wrong20_dcnn_mark": _digits(NOISY_CNN, plant=watermark, wrong_labels=0.2),
    "T_redrawn_bc": _breast_cancer(redrawn_noise=0.35),
    "T_redrawn_bc80": _breast_cancer(plant=leak(0.8), redrawn_noise=0.35),
    "T_redrawn_dcnn": _digits(CNN, redrawn_noise=0.35),
    "T_redrawn_dcnn_half": _digits(CNN, plant=half_watermark, redrawn_noise=0.35),
}

SCENARIOS: dict[str, Scenario] = {
    **SILENT,
    **PLANTED,
    **IN_THE_PROBE_TOO,
    **OTHER_POPULATION,
    **PART_IN_THE_PROBE,
    **TRIED,
}
