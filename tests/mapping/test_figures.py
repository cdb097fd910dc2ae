"""The panels of the mappings view: what they draw, from records whose numbers are known."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from types import SimpleNamespace

import numpy as np
import plotly.graph_objects as go
import pytest
from scipy.linalg import orthogonal_procrustes

import keras_xai as kx
from keras_xai.analysis.mappings import aligned_coordinates, mapping_health
from keras_xai.errors import InvalidInput
from keras_xai.figures import FIGURES, Look
from keras_xai.figures.colour import class_colours
from keras_xai.figures.mappings import PANELS, READING
from keras_xai.figures.options import accepted
from keras_xai.plugin import payload
from keras_xai.probe import Probe
from keras_xai.summary.writer import Writer
from tests.mapping.mapping_records import mappings_of
from tests.plugin.answers import arrays


def unpacked(value):
    array = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"]).astype(np.float64)
    return array.reshape([int(n) for n in value["shape"].split(",")]) if "shape" in value else array


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Seven epochs of a network with hostile names."""
    directory = tmp_path_factory.mktemp("told")
    writer = Writer(directory / "keras_xai")
    x = np.zeros((12, 2), "float32")
    writer.write([Probe(x, np.arange(12) % 3, class_names=["<b>cat</b>", "dog", "owl"])])
    for epoch in range(7):
        record = mappings_of(epoch)
        named = dataclasses.replace(record.features, layers=("<img src=x>", "head/hidden", "logits"))
        writer.write([dataclasses.replace(record, features=named)])
    writer.close()
    return kx.load(directory)["."]


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    directory = tmp_path_factory.mktemp("empty")
    Writer(directory / "keras_xai").close()
    return kx.load(directory)["."]


@pytest.mark.parametrize("name", [*PANELS, "mappings"])
def test_plotly_accepts_every_panel(run, empty, name):
    """In both themes, at every epoch, of an empty run too; strict JSON, names are text in it."""
    make = PANELS.get(name) or FIGURES[name]
    for told in (run, empty):
        for theme in ("light", "dark"):
            made = make(told, look=Look(theme), **accepted(make, {"epoch": 3}))
            go.Figure(made)
            named = {key: value for key, value in made["layout"].items() if key != "meta"}  # names as data, for clicks
            shown = json.dumps({"data": made["data"], "layout": named}, allow_nan=False)
            assert "<img" not in shown
            assert "<b>cat" not in shown
    assert make(run)["data"]


@pytest.mark.parametrize("name", PANELS)
def test_every_panel_says_what_it_shows_and_how_to_read_it(run, empty, name):
    """In its meta, for the tab, and in the whole figure above it."""
    assert set(READING) == set(PANELS)
    for told in (run, empty):
        meta = PANELS[name](told)["layout"]["meta"]
        assert (meta["title"], meta["reading"]) == READING[name]


def test_the_whole_figure_titles_its_panels(run):
    """Each with the line how to read it."""
    told = [a["text"] for a in FIGURES["mappings"](run)["layout"]["annotations"]]
    for name in set(PANELS) - {"layer_saturation", "layer_spread"}:
        assert any(READING[name][0] in t and READING[name][1][:30] in t for t in told), name
    assert run.figure("mappings").data


def test_places_are_turned_towards_the_reference():
    """scipy's orthogonal Procrustes, epoch by epoch; the reference itself is not turned."""
    records = [mappings_of(epoch) for epoch in range(4)]
    found = aligned_coordinates(records, 1, reference=2)
    towards = records[2].features.coordinates[1].astype(np.float64)
    for e, record in enumerate(records):
        own = record.features.coordinates[1].astype(np.float64)
        turned, _ = orthogonal_procrustes(own, towards)
        np.testing.assert_allclose(found[e], (own @ turned)[:, :2], atol=1e-9)
    np.testing.assert_allclose(found[2], towards[:, :2], atol=1e-9)


def test_a_rotated_epoch_does_not_move_on_the_map():
    """Flipped and turned axes, as a new principal component analysis gives them, are no movement."""
    records = [mappings_of(0), mappings_of(0)]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0]
    coordinates = records[1].features.coordinates.astype(np.float64) @ turn
    features = dataclasses.replace(records[1].features, coordinates=coordinates.astype(np.float16))
    records[1] = dataclasses.replace(records[1], features=features)
    found = aligned_coordinates(records, 0)
    assert np.abs(found[1] - found[0]).max() < 0.01


def test_the_map_draws_samples_with_tails(run):
    """One dot a sample at the epoch asked for, coloured by its label; tails of five epochs."""
    panel = PANELS["layer_map"](run, layer="head/hidden", epoch=6)
    tails, dots = panel["data"]
    where = aligned_coordinates(run.mappings, 1)
    np.testing.assert_allclose(unpacked(dots["x"]), where[6, :, 0], rtol=1e-5)
    path = unpacked(tails["y"]).reshape(12, 7)
    np.testing.assert_allclose(path[:, :6], where[1:7, :, 1].T, rtol=1e-5)
    assert np.isnan(path[:, 6]).all()
    colours = class_colours("light", 3)
    assert dots["marker"]["color"] == [colours[b % 3] for b in range(12)]
    (legend,) = panel["layout"]["annotations"]
    assert re.findall(r"color:(#\w+)", legend["text"]) == colours
    held = PANELS["layer_map"](run, source="held_out")["data"][1]["marker"]["color"]
    assert [c == Look()["accent"] for c in held] == [b >= 8 for b in range(12)]
    with pytest.raises(InvalidInput, match="Did you mean 'head/hidden'"):
        PANELS["layer_map"](run, layer="head/hiden")
    with pytest.raises(InvalidInput, match="no colouring 'size'"):
        PANELS["layer_map"](run, source="size")


def test_heat_maps_hold_the_recorded_figures(run):
    """Layer × epoch; chance is the palest colour of the readability."""
    records = run.mappings
    still = unpacked(PANELS["layer_stability"](run)["data"][0]["z"])
    np.testing.assert_allclose(still, np.stack([1 - r.features.cka_previous for r in records], 1), rtol=1e-6)
    (read,) = PANELS["readability"](run)["data"]
    np.testing.assert_allclose(unpacked(read["z"]), np.stack([r.decision.readability for r in records], 1))
    assert (read["zmin"], read["zmax"]) == (pytest.approx(1 / 3), 1)
    own = unpacked(PANELS["readability"](run, source="prediction")["data"][0]["z"])
    np.testing.assert_allclose(own, np.stack([r.decision.own_decision for r in records], 1))
    alike = unpacked(PANELS["layer_likeness"](run, epoch=2)["data"][0]["z"])
    np.testing.assert_allclose(alike, records[2].features.cka_layers)


def test_the_size_of_activations_is_drawn_against_the_first_record(run):
    """Doublings of the recorded standard deviation; a collapse is the end of the scale, and no record is hatched."""
    first = run.mappings[0]
    sizes = [[1.0, 8.0, 0.0], [2.0, 0.5, np.nan], [0.0, 1.0, 1.0]]
    records = []
    for epoch, size in enumerate(np.transpose(sizes)):
        std = np.resize(size, len(first.features.layers)).astype(np.float32)
        records.append(dataclasses.replace(first, epoch=epoch, features=dataclasses.replace(first.features, std=std)))
    panel = PANELS["layer_scale"](SimpleNamespace(mappings=records, unit="epoch", name="run", alerts=[]))
    cells = panel["data"][0]
    rows = unpacked(cells["z"])[:3]
    np.testing.assert_allclose(rows, [[0, 3, -20], [0, -2, np.nan], [np.nan] * 3])
    assert cells["text"][0][:2] == ["×\u20091", "×\u20098"]
    assert cells["zmin"] == -cells["zmax"]
    assert len(panel["data"]) > 1  # the hatching


def test_results_are_drawn_as_recorded(run):
    """Surrogates beside the accuracy, the data map of the epochs so far, the probability of one label."""
    lines = {trace["name"]: trace["y"] for trace in PANELS["surrogates"](run)["data"]}
    assert lines["linear: R²"] == [0.5] * 7
    assert lines["SVM: agreement"] == [0.5, None, None, None, None, 0.5, None]
    (cloud,) = PANELS["data_map"](run, epoch=2)["data"]
    confidence = np.stack([r.result.confidence for r in run.mappings[:3]]).astype(np.float64)
    np.testing.assert_allclose(unpacked(cloud["y"]), confidence.mean(0), rtol=1e-5)
    np.testing.assert_allclose(unpacked(cloud["x"]), confidence.std(0), rtol=1e-5)
    (curve, median) = PANELS["trajectories"](run, sample=5)["data"]
    np.testing.assert_allclose(curve["y"], [r.result.confidence[5] for r in run.mappings], rtol=1e-5)
    assert median["name"] == "median of all"
    with pytest.raises(InvalidInput, match="no sample 40"):
        PANELS["trajectories"](run, sample=40)


def test_coefficients_lead_with_the_largest(run):
    """Of the record with such a surrogate that is nearest."""
    (cells,) = PANELS["surrogate_coefficients"](run, epoch=4, method="svm")["data"]
    weights = run.mappings[0].decision.surrogates["svm"].coefficients
    order = np.argsort(-np.abs(weights).max(1))
    np.testing.assert_allclose(unpacked(cells["z"]), weights[order], rtol=1e-6)


def test_flags_are_told_in_words(run, empty):
    """Since when, and what stands still."""
    words = mapping_health(run)
    assert "is dead since epoch 1" in words
    assert "Standing still: head/hidden since 2." in words
    assert mapping_health(run, 0) == "No flag."
    assert mapping_health(empty) == ""


def test_of_very_many_classes_only_those_that_occur_cost_anything(tmp_path):
    """A vocabulary of a hundred million: the panels and the page's data are those of the few classes that are there."""
    writer = Writer(tmp_path / "keras_xai")
    many, said = 10**8, np.array([5, 99_999_999, 70_000, 5] * 3)
    for epoch in range(3):
        record = mappings_of(epoch)
        columns, logits = np.zeros((12, 6), int), np.zeros((12, 6), "f2")
        result = dataclasses.replace(
            record.result, classes=many, prediction=said, label=said[::-1].copy(), columns=columns, logits=logits
        )
        decision = dataclasses.replace(record.decision, surrogates={})
        writer.write([dataclasses.replace(record, result=result, decision=decision)])
    writer.close()
    run = kx.load(tmp_path)["."]
    assert run.mappings[0].result.confusion is None
    for panel in PANELS.values():
        assert len(json.dumps(panel(run))) < 100_000
    header, found = arrays(payload.mapping(run))
    assert header["classes"] == ["5", "70000", "99999999"]
    assert [len(colours) for colours in header["colours"].values()] == [3, 3]
    np.testing.assert_array_equal(np.array(header["classes"], int)[found["prediction"][0]], said)
    np.testing.assert_array_equal(np.array(header["classes"], int)[found["label"]], said[::-1])
    row = header["suspects"][0]
    assert header["classes"][row["prediction"]] == str(said[row["row"]])


def test_prediction_depth_draws_the_samples_that_are_decided_behind_a_layer(run):
    """Counted sample by sample; nothing is undecided at the output; a run of numbers has no such panel."""
    cells = unpacked(PANELS["prediction_depth"](run)["data"][0]["z"])
    for e, record in enumerate(run.mappings):
        for k in range(3):
            agrees = [(record.decision.read_as[j] == record.result.prediction) for j in range(k, 2)]
            assert cells[k, e] == pytest.approx(1 - np.mean(np.all(agrees, 0) if agrees else 1.0))
