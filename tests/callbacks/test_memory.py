"""What a large probe takes is told before it is taken, and no second copy of it is made."""

from __future__ import annotations

import re
import tracemalloc
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_xai as kx
from benchmarks._probe_memory import ROWS
from keras_xai.attribution.engine import Engine
from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.attribution.importance import PooledRows, class_importance, global_importance
from keras_xai.attribution.integrated_gradients import IntegratedGradients
from keras_xai.attribution.saliency import Saliency
from keras_xai.backend import get_backend
from keras_xai.callbacks.live_rows import LiveRows
from keras_xai.callbacks.memory import WARN_ABOVE, Need, expected_bytes
from keras_xai.model.inputs import prepare_inputs
from keras_xai.model.runner import CHUNK_BYTES, ModelRunner, chunk_rows
from keras_xai.probe import chunks

R = np.random.default_rng(0)
MIB = 2**20


def large(rows: int, side: int = 512, dtype: str = "float32") -> kx.Probe:
    """Of images that are the same sample again and again: it has the size and takes none of it."""
    image = np.zeros((1, side, side, 3), dtype)
    probe = kx.Probe(np.broadcast_to(image, (2, side, side, 3)), [0, 1])
    return probe._with(x=np.broadcast_to(image, (rows, side, side, 3)), size=rows, y=np.arange(rows) % 2)


MAKERS = {
    "ImportanceDrift": kx.ImportanceDrift,
    "ProbeAttributions": kx.ProbeAttributions,
    "ProbeMappings": kx.ProbeMappings,
    "Explain": kx.Explain,
    "Explain, mappings": lambda log_dir, probe: kx.Explain(log_dir, probe, mappings=True),
}


@pytest.mark.parametrize("name", MAKERS)
def test_above_one_gibibyte_one_warning_says_how_much_and_what_to_do(tmp_path, name):
    """At construction, whatever the callback; below nothing is said. The line it names is the user's."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MAKERS[name](tmp_path, large(150))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        callback = MAKERS[name](tmp_path, large(600))
    texts = [str(warning.message) for warning in caught if "of memory" in str(warning.message)]
    assert len(texts) == 1
    assert caught[-1].filename == __file__
    held, told = 600 * 512 * 512 * 3 * 4, expected_bytes(callback.needs)
    assert told > held > WARN_ABOVE
    for number in (told, held):
        assert f"{number / 2**30:.1f} GiB" in texts[0]
    assert "600 samples of shape (512, 512, 3) float32" in texts[0]
    assert "fewer rows (128 to 256 are enough), smaller images, or images as uint8" in texts[0]


def test_what_is_expected_follows_from_shapes():
    """The arrays once, in their own dtype; passes and gallery as float32, whatever the dtype."""
    sample = 512 * 512 * 3 * 4
    chunk = CHUNK_BYTES // sample
    for dtype, size in (("float32", 4), ("uint8", 1), ("float64", 8)):
        probe = large(100, dtype=dtype)
        needs = [Need(probe, passes=6), Need(probe, passes=4, gallery=16)]
        assert expected_bytes(needs) == 100 * 512 * 512 * 3 * size + sample * (10 * chunk + 5 * 16)
    table = kx.Probe(np.zeros((100, 30), "float32"))
    assert expected_bytes([Need(table, passes=6)]) == 100 * 30 * 4 * 7
    assert expected_bytes([Need(table, passes=6, live=512)]) == 100 * 30 * 4 * 7 + 2 * 512 * 30 * 4
    assert expected_bytes([]) == 0


def test_live_rows_count_where_they_are_read_anew(tmp_path):
    """Arrays come by reference; what a data set or a callable gives is made at each read, and one read is let go before the
    next."""
    x, y = R.normal(size=(300, 40_000)).astype("float32"), np.arange(300) % 2
    probe = kx.Probe(x[:64], y[:64])
    for live, rows in ((None, 0), ((x, y), 0), (lambda: (x, y), 512)):
        assert kx.ImportanceDrift(tmp_path, probe, live=live).needs == [Need(probe, passes=6, live=rows)]
    copied = LiveRows(lambda: (x[:256].copy(), y[:256]), probe)
    assert peak_of(copied.check) < 1.5 * 256 * 40_000 * 4 / MIB


def test_large_samples_make_small_passes():
    """16 MiB of them at most, one at least; small ones as many as ever."""
    compiles = get_backend().compiles()
    assert chunk_rows(np.zeros((9, 32, 32, 3)), convolves=True) == (64 if compiles else 1024)
    assert chunk_rows(np.zeros((9, 30)), convolves=False) == (512 if compiles else 1024)
    assert chunk_rows(np.zeros((1, 224, 224, 3), "uint8"), convolves=True) == CHUNK_BYTES // (224 * 224 * 3 * 4) == 27
    assert chunk_rows({"a": np.zeros((1, 2048, 2048)), "b": np.zeros((1, 2048, 2048))}, convolves=True) == 1


# No second copy.


def peak_of(work) -> float:
    """MiB that NumPy and Python took at most during `work()`."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


IMAGES = R.random((320, 128, 128, 3), np.float32)  # 60 MiB


def test_a_probe_is_checked_hashed_and_pooled_without_a_copy():
    """Of 60 MiB a few are looked at together."""
    probe = kx.Probe(IMAGES)
    assert peak_of(lambda: kx.Probe(IMAGES)) < 10
    assert peak_of(lambda: probe.pooled(IMAGES, np.abs)) < 50
    assert np.shares_memory(probe.x, IMAGES)


def test_the_graph_gets_a_large_probe_row_by_row():
    """float32 as it is; bytes and float64 converted as rows are asked for, to the same numbers."""
    model = keras.Sequential([keras.Input((128, 128, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    (same,) = prepare_inputs(model, [IMAGES], IMAGES)
    assert same is IMAGES
    for dtype in ("uint8", "float64", "float16"):
        array = (255 * IMAGES[:40]).astype(dtype)
        (rows,) = prepare_inputs(model, [array], array)
        assert peak_of(lambda rows=rows: rows[:4]) < 2
        assert (len(rows), rows.shape, rows.dtype) == (40, array.shape, np.float32)
        for some in (slice(3, 9), np.array([1, 1, 38])):
            np.testing.assert_array_equal(rows[some], array.astype(np.float32)[some])


def small_net():
    keras.utils.set_random_seed(0)
    stack = keras.layers.Conv2D(3, 5, strides=3, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(3)
    return keras.Sequential([keras.Input((20, 20, 3)), *stack])


KINDS = {
    "image": {"x": R.normal(size=(23, 20, 20, 3)).astype("float32")},
    "segments": {"x": R.normal(size=(23, 20, 20, 3)), "groups": np.arange(400).reshape(20, 20) // 90},
    "channels first": {"x": R.normal(size=(23, 3, 17, 19))},
    "grey": {"x": R.normal(size=(23, 18, 18)), "kind": "image"},
    "series": {"x": R.normal(size=(23, 11, 4)).astype("float32"), "kind": "series"},
    "table": {"x": R.normal(size=(23, 40)), "groups": {"many": list(range(5, 30))}},
    "several": {"x": {"a": R.normal(size=(23, 7)), "b": R.normal(size=(23, 5)).astype("float32")}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_parts_change_no_bit(monkeypatch, kind):
    """Hash and pooled values of a few rows at a time are those of all at once."""
    whole = kx.Probe(**KINDS[kind])
    values = [whole.pooled(whole.x), whole.pooled(whole.x, np.abs)]
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 8 * 4 * int(np.prod(whole.shape)))
    assert len(list(chunks.row_chunks(whole.inputs[0]))) == 6
    parts = kx.Probe(**KINDS[kind])
    assert parts.hash == whole.hash
    np.testing.assert_array_equal(parts.pooled(parts.x), values[0])
    np.testing.assert_array_equal(parts.pooled(parts.x, np.abs), values[1])


def test_importance_from_chunks_is_that_of_all_rows():
    """Bit for bit, with a chunk that is filled up; signs and classes too."""
    x, y = R.normal(size=(23, 20, 20, 3)).astype("float32"), np.arange(23) % 3
    model, probe = small_net(), kx.Probe(x, y)
    explainer = ProbeExplainer(model, probe, {"saliency": Saliency(), "integrated_gradients": IntegratedGradients()})
    explainer.engine.runner.chunk = 5
    whole = explainer()
    for method, attribution in whole.items():
        parts = [part[method] for part in explainer.in_parts()]
        assert [len(part.target) for part in parts] == [5, 5, 5, 5, 3]
        np.testing.assert_array_equal(np.concatenate([part.values for part in parts]), attribution.values)
        np.testing.assert_array_equal(np.concatenate([part.score for part in parts]), attribution.score)
        pooled = PooledRows.of(iter(parts), probe)
        magnitude, sign = pooled.mean()
        np.testing.assert_array_equal(magnitude, probe.pooled(np.abs(attribution.values)).mean(0))
        np.testing.assert_array_equal(sign, np.sign(probe.pooled(attribution.values).mean(0)))
        np.testing.assert_array_equal((magnitude, sign), global_importance(attribution, probe))
        of_classes = pooled.mean_of_classes(probe.classes, (0, 2, 7))
        np.testing.assert_array_equal(of_classes, class_importance(attribution, probe, probe.classes, (0, 2, 7)))
    rows = [part["saliency"].values for part in explainer.rows_in_parts(kx.Probe(x[::-1], y[::-1]))]
    np.testing.assert_array_equal(
        np.concatenate(rows),
        Engine(ModelRunner(model, x, chunk=5), {"saliency": Saliency()})([x[::-1]], [np.zeros_like(x)], y[::-1])[
            "saliency"
        ].values,
    )


def test_the_numbers_in_the_documentation_are_those_of_the_benchmark():
    """The table of docs/trust.md has a row for each that `benchmarks.probe_memory` measures, and none is off by half."""
    page = (Path(__file__).parents[2] / "docs" / "trust.md").read_text(encoding="utf-8")
    for name, size, side, dtype in ROWS:
        row = re.search(rf"\| `{re.escape(name)}` \| {size} × {side} × {side} × 3 {dtype} \|(.*)\|", page)
        assert row is not None, (name, size, side, dtype)
        _, told, measured, _ = (float(cell) for cell in row[1].split("|"))
        assert 0.5 * told < measured < 1.5 * told
