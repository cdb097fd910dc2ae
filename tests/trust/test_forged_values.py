"""Each kind of value that does not fit is passed over and said, and costs nothing else of its run."""

from __future__ import annotations

import json
import random
import warnings

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.cli import main
from keras_xai.figures import PANELS
from keras_xai.judgement import judge
from tests.plugin.answers import HOME, LOADERS
from tests.trust import forging
from tests.trust.forging import (
    TAGS,
    about,
    array,
    at,
    body,
    constants,
    content,
    everything,
    maps,
    raw,
    table,
    tensor,
    values_of,
)

HALF = "half \ud800 of a character"
DEEP = b"[" * 100_000
HUGE = 10**400


def cells(*changes):
    """A change of single numbers: (row, column, number)."""

    def edit(numbers):
        for row, column, number in changes:
            numbers[row, column] = number

    return table(edit)


# What is changed in the last record of a tag, or in the constants of all of them.
FORGED = {
    "an epoch beyond all counting": ("epoch", at(2**40)),
    "an epoch before the first": ("gradients", at(-7)),
    "half a character in a note": ("epoch", body(notes=[HALF])),
    "half a character in the name of a log": ("epoch", body(logs={HALF: 1.0})),
    "a note that is no list": ("epoch", body(notes="text")),
    "a log that is a list": ("epoch", body(logs={"loss": [1]})),
    "a number of four hundred digits": ("epoch", body(seconds=HUGE)),
    "a time that is not finite": ("epoch", body(wall_time="inf")),
    "seconds below zero": ("epoch", body(seconds=-1.0)),
    "true for a number": ("epoch", body(learning_rate=True)),
    "a record without its time": ("epoch", body(wall_time=...)),
    "JSON without an end": ("epoch", content([DEEP])),
    "two strings for one": ("epoch", content([b"{}", b"{}"])),
    "numbers for a string": ("epoch", content(np.ones(3, "f4"))),
    "an unknown verdict": ("alert", body(verdict="evil")),
    "a verdict that is an object": ("alert", body(verdict={"a": 1})),
    "no verdict": ("alert", body(verdict=None)),
    "another source": ("alert", constants(method="evil")),
    "a feature that is no name": ("alert", body(features=[[["a"], 0.1, 0.5, 1, 9.0]])),
    "half a character in a feature": ("alert", body(features=[[HALF, 0.1, 0.5, 1, 9.0]])),
    "a direction beyond all counting": ("alert", body(features=[["a", 0.1, 0.5, HUGE, 9.0]])),
    "a feature of four entries": ("alert", body(features=[["a", 0.1, 0.5, 1]])),
    "a rate that rises by a word": ("alert", body(learning_rate_rising="yes")),
    "shares without names": ("shares", constants(names=[])),
    "a name more than there are shares": ("shares", constants(names=["a", "b", "c", "d"])),
    "a limit that is no number": ("shares", constants(limit=float("nan"))),
    "a limit below zero": ("shares", constants(limit=-6.0)),
    "a burn-in that is true": ("shares", about(burn_in=True)),
    "a burn-in below zero": ("shares", about(burn_in=-5)),
    "a burn-in of thirty digits": ("shares", about(burn_in=10**30)),
    "options that are a list": ("shares", constants(options="[1, 2]")),
    "options without an end": ("shares", constants(options='{"a":' * 50_000)),
    "a share below zero": ("shares", cells((0, 0, -3))),
    "a share above one": ("shares", cells((0, 0, 3e38))),
    "a score that is infinite": ("shares", cells((3, 0, np.inf))),
    "a direction of 300": ("shares", cells((0, 1, 300))),
    "half a digest": ("shares", cells((4, 0, 0.5), (4, 1, 1))),
    "a movement that is infinite": ("moves", cells((0, 0, np.inf))),
    "one number for a large shape": ("shares", tensor(dims=(2**14, 2**14), float_val=[1.0])),
    "a side below zero": ("shares", tensor(dims=(-5, 2))),
    "a shape that its bytes do not have": ("shares", tensor(dims=(2**40, 2**20))),
    "numbers of another type": ("shares", tensor(dtype=2)),
    "strings for numbers": ("shares", content([b"x"] * 5)),
    "a row of gradients too few": ("gradients", table(lambda numbers: numbers[:2])),
    "gradients of rank one": ("gradients", table(lambda numbers: numbers.ravel())),
    "a variable there twice": ("gradients", constants(names=["a/b", "a/b", "c"])),
    "edges that are no numbers": ("gradients", constants(bin_edges=[float("nan")] * 5)),
    "edges at zero": ("gradients", constants(bin_edges=[0.0] * 5)),
    "edges that fall": ("gradients", constants(bin_edges=[4.0, 2, 1, 0.5, 0.25])),
    "sizes below zero": ("gradients", about(sizes=[-8, 8, 8])),
    "a size for three variables": ("gradients", about(sizes=[8])),
    "sizes of four hundred digits": ("gradients", about(sizes=[HUGE] * 3)),
    "infinitely many steps": ("gradients", cells((0, 12, np.inf))),
    "counts below zero": ("gradients", cells((0, 13, -3))),
    "a flag from an epoch to come": ("gradients", cells((0, 8, 3e38))),
    "a flag from half an epoch": ("gradients", cells((0, 8, 0.5))),
    "a space nobody knows": ("outputs", about(space="<script>")),
    "a space that is an object": ("outputs", about(space={"a": 1})),
    "a target that is infinite": ("outputs", cells((0, 0, np.inf))),
    "four columns of outputs": ("outputs", table(lambda numbers: numbers[:, :4])),
    "outputs of no sample": ("outputs", table(lambda numbers: numbers[:0])),
    "outputs of other samples": ("outputs", table(lambda numbers: numbers[:2])),
    "maps of fewer samples": ("maps", content([raw(0, (3,))])),
    "maps that differ in shape": ("maps", maps(lambda values: values[:2])),
    "maps without a pixel": ("maps", content([raw(0, (0,), behind=b"x\x9c\x03\x00\x00\x00\x00\x01")] * 4)),
    "inputs without number": ("maps", about(inputs=10**12)),
    "an input there twice": ("maps", about(inputs=["a", "a"])),
    "a scale that is no number": ("maps", content([raw(1, (3,), float("nan"))] * 4)),
    "a scale upside down": ("maps", content([raw(1, (3,), 1.0, 0.0)] * 4)),
    "two hundred sides": ("maps", content([raw(0, (1,) * 200)] * 4)),
    "maps larger than their bytes": ("maps", content([raw(1, (2**31, 2**31))] * 4)),
    "a probe of 300 million columns": ("probe", about(shape=[3 * 10**8], store="none", labels=None)),
    "a probe of no side": ("probe", about(shape=[-3])),
    "a picture without sides": ("probe", about(kind="image", shape=[])),
    "a volume of two sides": ("probe", about(kind="volume", shape=[4, 4])),
    "a volume of five sides": ("probe", about(kind="volume", shape=[4, 4, 4, 4, 1])),
    "a kind nobody knows": ("probe", about(kind="<script>")),
    "labels of other samples": ("probe", about(labels=list(range(1000)))),
    "labels in rows of two lengths": ("probe", about(labels=[[1, 2], [3], [4], [5]])),
    "labels of thirty digits": ("probe", about(labels=[10**30, 1, 2, 0])),
    "labels that are words": ("probe", about(labels=["a", "b", "c", "d"])),
    "classes named by a string": ("probe", about(class_names="xyz")),
    "half a character in a class": ("probe", about(class_names=[HALF, "y", "z"])),
    "groups of columns that are not there": ("probe", about(groups={"g": [10**9]})),
    "groups that are a string": ("probe", about(groups="abc")),
    "segments in rows of two lengths": ("probe", about(kind="image", shape=[4, 4, 1], segments=[[1, 1], [2]])),
    "segments in slices of two shapes": (
        "probe",
        about(kind="volume", shape=[2, 1, 2, 1], segments=[[[1, 1]], [[1], [1]]]),
    ),
    "a token of five thousand digits": ("probe", about(vocabulary={"9" * 5000: "x"})),
    "samples that are not finite": ("probe", maps(lambda values: np.full_like(values, np.nan))),
    "samples of another shape": ("probe", about(shape=[4])),
    "a name for three features": ("probe", constants(names=["only one"])),
    "shapes of more inputs than there are": ("probe", about(shapes=[[3], [3]])),
    "shapes that are no list": ("probe", about(shapes="abc")),
    "a first shape that is another": ("probe", about(shapes=[[4]])),
    "a shape of nine sides": ("probe", about(shape=[1] * 9, shapes=[[1] * 9])),
    "words of a table that is no columns": ("probe", about(texts=[["a", "b"]])),
    "words of inputs that are not there": ("probe", about(texts=[None, None])),
    "a probe without a size": ("probe", about(size=...)),
    "classes below zero": ("mappings", about(classes=-3)),
    "no class at all": ("mappings", about(classes=0)),
    "twenty thousand classes of three": ("mappings", about(classes=20_000)),
    "an answer nobody knows": ("mappings", about(answer="evil")),
    "an answer that is a list": ("mappings", about(answer=["class"])),
    "a target nobody knows": ("mappings", about(target={"x": 1})),
    "a layer there twice": ("mappings", constants(names=["a", "a", "b"])),
    "no layers": ("mappings", constants(names=[])),
    "a label of no class": ("mappings", array("label", lambda values: values + 77)),
    "labels of rank two": ("mappings", array("label", lambda values: np.zeros((6, 7), int))),
    "labels that are no numbers": ("mappings", array("label", lambda values: np.full(6, np.nan, "f4"))),
    "a prediction below zero": ("mappings", array("prediction", lambda values: values - 9)),
    "a certainty of five": ("mappings", array("sure", lambda values: values + 4)),
    "certainties of rank one": ("mappings", array("sure", np.ravel)),
    "coordinates that are not finite": ("mappings", array("coordinates", lambda values: values * np.float16(np.nan))),
    "one coordinate": ("mappings", array("coordinates", lambda values: values[..., :1])),
    "logits of one class": ("mappings", array("logits", lambda values: values[:, :1])),
    "a class that is read where there is none": ("mappings", array("read_as", lambda values: values + 2**30)),
    "units by the half": ("mappings", array("layers", lambda values: values + 0.5)),
    "surrogates of no class": ("mappings", body(surrogates={"linear": {"agreement": 1, "r2": 1, "classes": []}})),
    "a surrogate without its array": ("mappings", body(surrogates={"x": {"agreement": 1, "r2": 1, "classes": [1]}})),
    "a flag nobody knows": ("mappings", body(flags=[["stem/conv", "evil", 1]])),
    "a flag since thirty digits": ("mappings", body(flags=[["stem/conv", "dead layer", 10**30]])),
    "a share of the evidence above one": ("reliance", cells((1, 4, 3.0))),
    "a z below zero": ("reliance", cells((2, 1, -1.0))),
    "a gap that is infinite": ("reliance", cells((1, 2, np.inf))),
    "a feature beyond all features": ("reliance", cells((1, 0, 99))),
    "a feature of the comparison twice": ("reliance", cells((1, 0, 0), (2, 0, 0))),
    "half a training row": ("reliance", cells((0, 1, 7.5))),
    "a reason that nobody knows": ("reliance", cells((0, 3, 77))),
    "a limit of the gap at zero": ("reliance", constants(limit=0.0)),
    "a comparison of no feature": ("reliance", constants(names=[])),
    "a verdict of the gap that nobody knows": ("gap", body(verdict="guilty")),
    "a sentence that is a list": ("gap", body(sentence=["a"])),
    "half a character in a sentence": ("rule", body(sentence=HALF)),
    "a carrier of three entries": ("gap", body(rows=[["a", 1, 2]])),
    "a carrier in row minus two": ("gap", body(rows=[["a", -2, 1, 0.5, 0.5]])),
    "a gap under another source": ("rows differ", constants(method="live")),
    "more arrays than there are": ("mappings", body(arrays=["layers"] * 30)),
    "predictions of no kind": ("predictions", about(answer="evil")),
    "predictions of no class": ("predictions", about(classes=0)),
    "predictions of no row": ("predictions", about(size=0)),
    "predictions of fewer rows than there are": ("predictions", about(size=3)),
    "predictions of another kind": ("predictions", about(answer="labels")),
    "predictions without their array": ("predictions", body(arrays=["evil"])),
    "predictions that are numbers": ("predictions", content(np.ones(3, "f4"))),
    "a predicted class that there is not": ("predictions", array("prediction", lambda values: values + 3)),
    "a true class below zero": ("predictions", array("true", lambda values: values - 1)),
    "a probability above one": ("predictions", array("probability", lambda values: values + 7)),
    "predictions of other rows": ("predictions", array("prediction", lambda values: values[:1])),
    "slices without values": ("slices", about(values=[])),
    "a slice there twice": ("slices", about(values=[["sex", "f", 3], ["sex", "f", 3]])),
    "a slice of more rows than there are": ("slices", about(values=[["sex", "f", 10**9]])),
    "a slice of rows below zero": ("slices", about(values=[["sex", "f", -1]])),
    "half a character in a slice": ("slices", about(values=[["sex", HALF, 3]])),
    "a slice of two entries": ("slices", about(values=[["sex", "f"]])),
    "three thousand slices": ("slices", about(values=[["id", str(k), 1] for k in range(3000)])),
    "slices of a probe without rows": ("slices", about(size=0)),
    "an accuracy above one": ("slices", array("figures", lambda values: values + 7)),
    "accuracies of rank one": ("slices", array("figures", np.ravel)),
    "accuracies of other slices": ("slices", array("figures", lambda values: values[:1])),
    "an accuracy of the whole below zero": ("slices", body(accuracy=-3)),
    "accuracies without their array": ("slices", body(arrays=["evil"])),
    "slices that are numbers": ("slices", content(np.ones(3, "f4"))),
    "importance of no feature": ("slice importance", constants(names=[])),
    "importance of a thousand features": ("slice importance", constants(names=["a"] * 1000)),
    "importance of other slices": ("slice importance", array("share", lambda values: values[:1])),
    "importance below zero": ("slice importance", array("overall", lambda values: values - 5)),
    "a gap below zero": ("slice gaps", array("z", lambda values: values - 100)),
    "a gap of a slice that is infinite": ("slice gaps", array("z", lambda values: np.full_like(values, np.inf))),
    "a gap of no feature": ("slice gaps", body(features=["x"])),
    "half a character in a gap": ("slice gaps", body(features=[HALF] * 5)),
    "a layer read twice": ("slice readout", constants(names=["a", "a"])),
    "a readout of no layer": ("slice readout", constants(names=[])),
    "a readout above one": ("slice readout", array("readability", lambda values: values + 3)),
    "chance of other slices": ("slice readout", array("chance", lambda values: values[:1])),
}


def forged(name):
    """A run in which one value, or the constants of one tag, are not what they should be."""
    kind, change = FORGED[name]
    values = values_of(alert=True)
    chosen = [entry for entry in values if entry.tag == TAGS[kind]]
    change(chosen[-1])
    if chosen[-1].data is not chosen[0].data:  # constants stand with the first value of a tag
        chosen[0].data = chosen[-1].data
    return values


def test_whole_runs_are_read_whole(tmp_path):
    """Of every kind of probe nothing is passed over, and all of it can be read, drawn, judged and served."""
    for kind in forging.KINDS:
        forging.write(tmp_path / kind / "keras_xai", values_of(kind))
    for name, run in kx.load(tmp_path).items():
        assert everything(name, run) == {}
        assert run.epochs == list(range(forging.EPOCHS))
        assert len(run.mappings) == len(run.weight_gradients) == len(run.importance.epochs) == forging.EPOCHS
        assert [len(run.attributions(method)) for method in run.methods] == [forging.EPOCHS] * 2


@pytest.mark.parametrize("name", FORGED)
def test_a_value_that_does_not_fit_is_passed_over_and_said(tmp_path, name):
    """Nothing raises, one warning names the tag and what came, and every other record of the run is read."""
    forging.write(tmp_path / "keras_xai", forged(name))
    run, tag = kx.load(tmp_path)["."], TAGS[FORGED[name][0]]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        passed_over = forging.read(run)
    beside = {tag.replace("outputs", "attributions"), tag.replace("attributions", "outputs")}
    assert tag in passed_over
    assert set(passed_over) <= beside | {tag}
    assert sum(f"{tag}: " in str(warning.message) or f"{tag} is" in str(warning.message) for warning in said) == 1
    assert not any(character < " " for warning in said for character in str(warning.message))
    assert judge(run).status == 1  # of three alerts one at most is lost


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=pytest.mark.full) for k in range(1, 40))])
def test_what_is_forged_at_random_breaks_nothing(tmp_path, seed):
    """Runs of every kind in which a third of one tag's values, or a few of all, are changed anywhere: all that reads them
    reads on."""
    chance = random.Random(seed)
    for kind in forging.KINDS:
        values = values_of(kind, alert=True)
        only = chance.choice([None, *TAGS.values()])
        for one in values:
            if chance.random() < (0.05 if only is None else 0.33 * (one.tag == only)):
                forging.forge(one, chance)
        forging.write(tmp_path / kind / "keras_xai", values)
    for name, run in kx.load(tmp_path).items():
        everything(name, run)


@pytest.mark.filterwarnings("ignore")
def test_check_judges_no_run_of_which_an_alarm_may_be_missing(tmp_path, capsys):
    """Two where epochs, alerts, importance or gradients were passed over; attributions and mappings are no alarm."""
    for kind, change, status in (
        ("maps", content([raw(0, (3,))]), 0),
        ("mappings", about(classes=-3), 0),
        ("epoch", at(-1), 2),
        ("shares", constants(limit=-6.0), 2),
        ("gradients", at(-7), 2),
    ):
        values = values_of()
        change(next(one for one in values if one.tag == TAGS[kind]))
        forging.write(tmp_path / "keras_xai", values)
        assert main(["check", str(tmp_path)]) == status, kind
        assert status == 0 or "cannot be judged" in capsys.readouterr().out
    alert = next(one for one in values_of(alert=True) if one.tag == TAGS["alert"])
    alert.tag = "keras_xai/alert/tomorrow"
    forging.write(tmp_path / "keras_xai", [*values_of(), alert])
    assert main(["check", str(tmp_path)]) == 2
    assert "alerts of a kind that this version does not know" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_the_page_shows_what_is_whole_and_says_what_is_not(tmp_path):
    """Runs of which the probe, the edges, the labels are forged, on one page; the notes tell which."""
    for name in ("a probe of no side", "edges at zero", "labels of rank two", "half a character in a note"):
        forging.write(tmp_path / "logs" / name.replace(" ", "_") / "keras_xai", forged(name))
    page = kx.report(tmp_path / "logs", tmp_path / "report.html").read_text()
    assert "cannot be shown" not in page
    for part in ("probe", "weight_gradients"):
        assert f"keras_xai/{part} is passed over: " in page
    assert "keras_xai/epoch: 1 of 5 steps are damaged" in page
    assert {path.name for path in tmp_path.iterdir()} == {"logs", "report.html"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("loader", LOADERS)
def test_the_tab_answers_for_every_forged_run(tmp_path, wsgi, wait_until, loader):
    """Every route in both data loaders: 200, 400 or 404, and strict JSON; every run is in the list, none is unreadable."""
    chance = random.Random(0)
    chosen = chance.sample([*FORGED], 30)
    for name in chosen:
        forging.write(tmp_path / name.replace(" ", "_") / "keras_xai", forged(name))
    client = wsgi(tmp_path, loader)
    wait_until(lambda: len(client.get(HOME + "index").json["runs"]) == len(chosen))
    for card in client.get(HOME + "index").json["runs"]:
        assert card["error"] == ""
        ask = {"run": card["name"], "method": "saliency", "epoch": 1, "sample": 0}
        routes = [("run", {}), ("summary", {}), ("inputs", {}), ("outputs", {}), ("attribution", {}), ("film", {})]
        routes += [("clusters", {})]
        routes += [("mapping", {}), ("index", {"focus": card["name"]}), ("importance", {"source": "clean"})]
        routes += [("figure", {"name": panel}) for panel in chance.sample([*PANELS], 6)]
        for route, more in routes:
            answer = client.get(HOME + route, query_string={**ask, **more})
            assert answer.status_code in (200, 400, 404), (route, card["name"], answer.text)
            if answer.content_type.startswith("application/json"):
                json.loads(answer.data, parse_constant=lambda constant: pytest.fail(constant))
