"""Every head on every kind of input, from the training to the last word: the class that is named, the sign, the words.

Each pair is trained for two epochs on data whose rule is known, so that the right feature and its sign are known too.
"""

from __future__ import annotations

import functools
import re
import warnings
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas
import pytest
import tensorflow as tf

import keras_xai as kx
from keras_xai.analysis.attributions import sample_title
from keras_xai.analysis.overview import summary
from keras_xai.cli import main
from keras_xai.plugin import payload

L = keras.layers
ROWS, WORDS = 96, 12
CITIES = ("bern", "genf", "uri")
HEADS = ("softmax", "sigmoid", "sigmoids", "number", "numbers", "hinge")
KINDS = ("array", "frame", "dict of numbers", "dict with strings", "tokens", "image", "series")
CLASSES = {
    "softmax": ("low", "high"),
    "sigmoid": ("low", "high"),
    "hinge": ("low", "high"),
    "sigmoids": ("left", "right"),
}


@dataclass
class Data:
    """Rows of one kind, their first feature z (B,), and the layers that make features of them."""

    x: Any
    z: np.ndarray
    name: str  # of the feature that z is
    names: dict[str, Any]


def rows(kind: str) -> Data:
    generator = np.random.default_rng(3)
    table = generator.normal(size=(ROWS, 3)).astype(np.float32)
    z = table[:, 0]
    if kind == "array":
        return Data(table, z, "age", {"feature_names": ["age", "dose", "rate"]})
    if kind == "frame":
        return Data(pandas.DataFrame(table, columns=["age", "dose", "rate"]), z, "age", {})
    if kind == "dict of numbers":
        return Data(dict(zip(("age", "dose", "rate"), table.T, strict=True)), z, "age", {})
    if kind == "dict with strings":
        city = np.asarray(CITIES, object)[generator.integers(0, 3, ROWS)]
        return Data({"age": table[:, :1], "city": city[:, None]}, z, "age", {})
    if kind == "tokens":
        tokens = generator.integers(2, WORDS, (ROWS, 6)).astype(np.int32)
        tokens[:, 0] = np.where(z > 0, 1, 2)
        words = ["", "dull", *(f"word{i}" for i in range(2, WORDS))]
        return Data(
            tokens, np.where(z > 0, 1.0, -1.0).astype(np.float32), "dull", {"kind": "tokens", "vocabulary": words}
        )
    if kind == "image":
        image = 0.1 * generator.normal(size=(ROWS, 8, 8, 1)).astype(np.float32)
        image[:, 0, 0, 0] = z
        return Data(image, z, "block (0,0)", {})
    series = 0.1 * generator.normal(size=(ROWS, 6, 2)).astype(np.float32)
    series[:, :, 0] += z[:, None]
    return Data(series, z, "pressure", {"kind": "series", "feature_names": ["pressure", "flow"]})


def features_of(kind: str) -> tuple[Any, Any]:
    """Inputs of a model and a vector made of them."""
    if kind in ("array", "frame"):
        entry = keras.Input((3,))
        return entry, entry
    if kind == "dict of numbers":
        entries = {name: keras.Input((1,), name=name) for name in ("age", "dose", "rate")}
        return entries, L.Concatenate()(list(entries.values()))
    if kind == "dict with strings":
        entries = {"age": keras.Input((1,), name="age"), "city": keras.Input((1,), name="city", dtype="string")}
        lookup = L.StringLookup(vocabulary=list(CITIES), output_mode="one_hot")
        return entries, L.Concatenate()([entries["age"], lookup(entries["city"])])
    if kind == "tokens":
        entry = keras.Input((6,), dtype="int32")
        return entry, L.Flatten()(L.Embedding(WORDS, 4)(entry))
    entry = keras.Input((8, 8, 1) if kind == "image" else (6, 2))
    return entry, L.Flatten()(entry)


def model_of(kind: str, head: str) -> keras.Model:
    keras.utils.set_random_seed(1)
    entry, vector = features_of(kind)
    units = {"softmax": 2, "sigmoids": 2, "numbers": 2}.get(head, 1)
    activation = {"softmax": "softmax", "sigmoid": "sigmoid", "sigmoids": "sigmoid"}.get(head)
    loss = {
        "softmax": "sparse_categorical_crossentropy",
        "sigmoid": "binary_crossentropy",
        "sigmoids": "binary_crossentropy",
        "hinge": "hinge",
    }.get(head, "mse")
    model = keras.Model(entry, L.Dense(units, activation)(vector))
    model.compile(keras.optimizers.Adam(0.05), loss)
    return model


def labels_of(head: str, z: np.ndarray) -> np.ndarray:
    high = (z > 0).astype(int)
    return {
        "softmax": high,
        "sigmoid": high,
        "hinge": 2 * high - 1,
        "sigmoids": np.stack([1 - high, high], 1),
        "number": 3 * z - 1,
        "numbers": np.stack([3 * z, -z], 1),
    }[head]


@functools.cache
def trained(kind: str, head: str, directory: str) -> tuple[keras.Model, kx.Probe, Data]:
    data = rows(kind)
    y = labels_of(head, data.z)
    names = {"class_names": CLASSES[head]} if head in CLASSES else {}
    target = {"target": 0} if head == "numbers" else {}
    probe = kx.Probe(data.x, y, **data.names, **names, **target)
    model = model_of(kind, head)
    method = "occlusion" if kind == "dict with strings" else "integrated_gradients"
    watched = "occlusion" if kind == "dict with strings" else "input_x_gradient"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "The probe has")
        warnings.filterwarnings("ignore", ".*of its gradient is exactly zero")  # a hinge that is met everywhere
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        model.fit(
            **fitting(kind, data.x, y),
            epochs=12,
            verbose=0,
            callbacks=[
                kx.WeightGradients(directory),
                kx.ProbeAttributions(directory, probe, method, samples=12, every=11),
                kx.ImportanceDrift(directory, probe, method=watched, burn_in=2),
            ],
        )
    return model, probe, data


def fitting(kind: str, x: Any, y: np.ndarray) -> dict[str, Any]:
    """What `fit` is given; strings reach a model through a data set alone."""
    if kind == "dict with strings":
        return {"x": tf.data.Dataset.from_tensor_slices((x, y)).batch(16), "shuffle": False}
    return {"x": x, "y": y, "batch_size": 16}


PAIRS = [pytest.param(kind, head, marks=pytest.mark.full) for kind in KINDS for head in HEADS]
# Every head once, every kind once.
QUICK = [("array", "softmax"), ("frame", "sigmoid"), ("dict of numbers", "number"), ("dict with strings", "sigmoid"),
         ("tokens", "sigmoids"), ("image", "hinge"), ("series", "numbers")]  # fmt: skip
PAIRS = [(p.values if tuple(p.values) in QUICK else p) for p in PAIRS]


@pytest.mark.parametrize(("kind", "head"), PAIRS)
def test_from_the_training_to_the_last_word(tmp_path_factory, kind, head):
    """The record, `attribute`, `importance`, the tab's answers, the notebook's titles, the report, `check`."""
    directory = tmp_path_factory.getbasetemp() / f"{kind} {head}".replace(" ", "_")
    model, probe, data = trained(kind, head, str(directory))
    run = kx.load(directory)["."]
    assert run.stops == []
    method = run.methods[0]
    record = run.attributions(method)[-1]
    check_targets(head, record, run)
    check_signs(kind, head, record, run)
    check_importance(kind, model, probe, run, data)
    check_words(head, run, method, directory)


def check_targets(head: str, record: Any, run: Any) -> None:
    """What is explained, and what the record calls it."""
    kinds = {"softmax": "classes", "sigmoid": "binary", "sigmoids": "labels", "number": "number"}
    kinds |= {"numbers": "numbers", "hinge": "binary"}
    assert record.task == kinds[head]
    classes = run.probe.classes
    if head in ("softmax", "sigmoid", "hinge"):
        assert record.target.tolist() == classes.tolist()
        assert set(record.prediction.tolist()) <= {0, 1}
        # A row that the model knows has a positive score for its own class, whatever the class.
        right = record.prediction == record.target
        assert (record.score[right] > 0).all() or head == "softmax"
    else:
        assert classes is None
        assert set(record.target.tolist()) <= ({0} if head in ("number", "numbers") else {0, 1})


def check_signs(kind: str, head: str, record: Any, run: Any) -> None:
    """The known feature speaks for the class that it makes, in rows of either class."""
    if kind in ("dict with strings", "tokens") or head == "sigmoids":
        return
    values = record.values
    parts = list(values.values()) if isinstance(values, dict) else [values]
    first = parts[0].reshape(len(parts[0]), -1)[:, 0] if kind != "series" else parts[0][..., 0].sum(1)
    x = run.probe.inputs[0]
    z = x.reshape(len(x), -1)[:, 0]
    strong = np.abs(z - z.mean()) > 0.5
    expected = np.sign(z - z.mean()) if head in ("number", "numbers") else np.ones(len(z))
    agreeing = np.sign(first)[strong] == expected[strong]
    assert agreeing.mean() > 0.8


def check_importance(kind: str, model: Any, probe: Any, run: Any, data: Data) -> None:
    """The known feature leads, in the record and by hand; no share is a zero that nobody measured."""
    names, share = run.importance.names, run.importance.share[-1]
    assert np.nansum(share) == pytest.approx(1, abs=1e-5)
    assert data.name in names
    assert names[int(np.nanargmax(share))] == data.name
    by_hand, values = kx.importance(model, probe, "occlusion" if kind == "dict with strings" else "input_x_gradient")
    assert by_hand[int(np.nanargmax(values))] == data.name


def check_words(head: str, run: Any, method: str, directory: Any) -> None:
    """Titles, the tab's answer, the report and the exit status."""
    title = sample_title(run, method, 0, None)
    detail = payload.whole(".", run)
    page = kx.report(directory, directory / "report.html").read_text()
    if head in ("softmax", "sigmoid", "hinge"):
        truth = CLASSES[head][run.probe.classes[0]]
        assert title.startswith(truth)
        read_as = run.attributions(method)[-1].prediction[0] != run.probe.classes[0]
        assert ("read as" in title) == read_as
        assert detail["probe"]["labels"].tolist() == run.probe.classes.tolist()
    else:
        assert "read as" not in title
        assert detail["probe"]["labels"] is None
    if head == "hinge":
        assert not re.search(r"\d\s?%", title)  # a margin is no probability
    assert summary(run).faults == ()
    assert "not recorded" not in page[page.index("<body>") :][:20000]
    assert main(["check", str(directory)]) in (0, 1)
