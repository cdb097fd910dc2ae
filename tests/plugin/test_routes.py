"""The routes over real event files, in both of TensorBoard's data loaders."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_xai.figures import PANELS
from keras_xai.plugin import payload
from keras_xai.plugin.framing import framed, quantized
from keras_xai.records import Attribution
from tests.plugin.answers import HOME, LOADERS, RUN, arrays
from tests.reliance_records import SENTENCE, ShortcutRun


@pytest.fixture(scope="module", params=LOADERS)
def client(request, wsgi, told_directory, wait_until):
    found = wsgi(told_directory, request.param)
    ready = {"pictures/watermark", "pictures/clean", "columns", "words", "sensors", "waiting"}
    wait_until(
        lambda: {r["name"] for r in found.get(HOME + "index").json["runs"] if r["epochs"] or r["probe"]} >= ready
    )
    wait_until(lambda: all(r["epochs"] in (0, 12) for r in found.get(HOME + "index").json["runs"]))
    return found


@pytest.fixture(scope="module")
def python_client(wsgi, told_directory):
    return wsgi(told_directory, "python")


@pytest.mark.oldest
def test_every_route_says_what_was_written(client, told_directory):
    """Index, run, summary, importance, inputs, outputs, attribution and film hold the story's numbers."""
    index = client.get(HOME + "index").json
    assert index["log_dir"] == str(told_directory)
    cards = {card["name"]: card for card in index["runs"]}
    assert cards[RUN]["epochs"] == 12
    assert cards[RUN]["alerts"] == 1  # of two sources, of one cause
    assert cards["pictures/clean"]["flags"] == {"dead": 1}
    assert cards["waiting"]["epochs"] == 0
    assert (cards["waiting"]["probe"]["kind"], cards["waiting"]["probe"]["size"]) == ("image", 6)

    run = client.get(HOME + "run", query_string={"run": RUN}).json
    assert run["epochs"] == list(range(12))
    assert [alert["epoch"] for alert in run["alerts"]] == [6, 8]
    assert run["alerts"][0]["lasted"] == 6
    assert len({alert["event"] for alert in run["alerts"]}) == 1
    assert run["cost"] == pytest.approx(0.02)
    assert [method["name"] for method in run["methods"]] == ["integrated_gradients", "saliency"]
    score = run["sources"]["live"]["score"]
    assert score[:3] == [None] * 3
    assert score[3] == pytest.approx(1.03)
    assert run["probe"]["cells"] == [4, 4]

    assert "run" not in index
    for focus, name in (
        (["nope", RUN], RUN),
        (["nope", ""], min(cards)),
        ([], None),
    ):  # a page that opens names what it knows
        opening = client.get(HOME + "index", query_string=[("focus", one) for one in focus]).json
        assert opening.get("run") == (name and client.get(HOME + "run", query_string={"run": name}).json)

    told = client.get(HOME + "summary", query_string={"run": RUN, "epoch": 11}).json
    block = run["probe"]["features"][0]
    assert told["sentence"] == f"Epoch 6: the training data changed in {block}, and by epoch 8 the model relies on it."

    header, found = arrays(client.get(HOME + "importance", query_string={"run": RUN, "source": "live"}).data)
    assert header["epochs"] == list(range(12))
    np.testing.assert_allclose(found["share"][:, 0], [0.02] * 6 + [0.5] * 6, rtol=1e-6)

    header, found = arrays(client.get(HOME + "inputs", query_string={"run": RUN}).data)
    assert found["x0"].dtype == np.uint8
    assert found["x0"].shape == (6, 4, 4, 1)
    assert (found["x0"].min(), found["x0"].max()) == (0, 255)

    ask = {"run": RUN, "method": "integrated_gradients"}
    header, found = arrays(client.get(HOME + "outputs", query_string=ask).data)
    np.testing.assert_array_equal(found["target"][3], [0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(found["prediction"][9], [0] * 6)
    np.testing.assert_allclose(found["completeness_error"][5], 0.05, rtol=1e-6)
    assert found["outputs"].shape == (12, 6, 3)

    header, found = arrays(client.get(HOME + "attribution", query_string={**ask, "epoch": 7}).data)
    flat = np.sin(np.arange(16)[None] * 8 + np.arange(6)[:, None]).reshape(6, 4, 4)
    np.testing.assert_allclose(found["v0"], flat, atol=2 / 255)  # eight bits over a range of at most 2

    header, film = arrays(client.get(HOME + "film", query_string={**ask, "sample": 2}).data)
    assert header["epochs"] == list(range(12))
    np.testing.assert_allclose(film["maps"][7], flat[2], atol=2 / 255)


def test_the_tab_appears_for_data_alone(client, wait_until):
    """TensorBoard lists the plugin as enabled, loaded in a frame, without ever asking it."""
    listed = wait_until(lambda: (p := client.get("/data/plugins_listing").json["keras_xai"])["enabled"] and p)
    assert listed["tab_name"] == "Explain"
    assert listed["loading_mechanism"]["type"] == "IFRAME"


@pytest.mark.oldest
def test_no_epoch_is_lost(wsgi, story, tmp_path, wait_until):
    """TensorBoard's own limits, ten tensors or blobs of a custom plugin, do not hold here."""
    story(tmp_path, kind="table", moves=None).write(*range(130))
    for loader in LOADERS:
        client = wsgi(tmp_path, loader)
        wait_until(lambda client=client: [r for r in client.get(HOME + "index").json["runs"] if r["epochs"] == 130])
        run = client.get(HOME + "run", query_string={"run": tmp_path.name}).json
        assert run["epochs"] == list(range(130))
        assert run["methods"][0]["epochs"] == list(range(130))


@pytest.mark.oldest
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PANELS)
@pytest.mark.parametrize("run", ["pictures/clean", "columns", "words", "sensors", "waiting"])
def test_every_panel_answers_for_every_run(python_client, told_directory, name, run, theme):
    """A figure is strict JSON with data and layout, whatever was recorded."""
    answer = python_client.get(
        HOME + "figure", query_string={"run": run, "name": name, "theme": theme, "overlay": RUN, "overlay_colour": 3}
    )
    assert answer.status_code == 200
    found = json.loads(answer.data, parse_constant=lambda constant: pytest.fail(f"{constant} in the JSON"))
    assert set(found) == {"data", "layout"}


def test_a_shortcut_of_the_training_rows_travels_in_words(wsgi, tmp_path):
    """Its sentence, advice and rows; what merely differs is listed, and counts for no alarm; clusters of a class."""
    for kind in ("table", "image"):
        ShortcutRun(tmp_path / kind, kind).write()
    client = wsgi(tmp_path)
    cards = {card["name"]: card for card in client.get(HOME + "index").json["runs"]}
    assert [cards[kind]["alerts"] for kind in ("table", "image")] == [1, 1]
    run = client.get(HOME + "run", query_string={"run": "table"}).json
    shortcut, differing = run["alerts"]
    assert (shortcut["alarm"], differing["alarm"]) == (True, False)
    assert shortcut["cause"] != differing["cause"]
    assert shortcut["sentence"] == SENTENCE.format("leak")
    assert shortcut["advice"].endswith("See docs/what_to_do_about_an_alert.md#a-training-only-shortcut.")
    assert shortcut["rows"][1] == ["leak", "7", "1", "2.5", "80\u00a0%"]
    assert differing["rows"] == []
    words = client.get(HOME + "summary", query_string={"run": "table", "epoch": 11}).json
    assert (words["gap"], words["sentence"][:23]) == (True, "In the training rows le")
    blank = client.get(HOME + "figure", query_string={"run": "table", "name": "gap_evidence", "epoch": 0}).json
    assert blank["layout"]["meta"]["absent"] == "live rows and probe have too few rows of each class in common"
    for kind in ("table", "image"):
        ask = {"run": kind, "method": "saliency", "epoch": 3, "sample": 2}
        clusters = client.get(HOME + "clusters", query_string=ask).json
        assert sorted(map(sorted, clusters["clusters"])) == [[0, 4], [2, 6]]
        assert (clusters["name"], clusters["absent"]) == ("0", "")


MISTAKES = [
    ("run", {}, 404, "run"),
    ("run", {"run": "nope"}, 404, "nope"),
    ("run", {"run": "pictures/waternark"}, 404, "Did you mean 'pictures/watermark'"),
    ("summary", {"run": RUN, "epoch": "soon"}, 400, "whole number"),
    ("summary", {"run": RUN, "epoch": "-1"}, 400, "whole number"),
    ("summary", {"run": RUN, "epoch": "9" * 400}, 400, "whole number"),
    ("figure", {"run": RUN, "name": "los"}, 400, "'loss'"),
    ("figure", {"run": RUN, "name": "loss", "theme": "purple"}, 400, "theme"),
    ("figure", {"run": RUN, "name": "ridge", "variable": "nope"}, 400, "variable"),
    ("figure", {"run": RUN, "name": "heat_map", "statistic": "mode"}, 400, "statistic"),
    ("figure", {"run": RUN, "name": "sample_outputs", "sample": 99}, 400, "sample"),
    ("figure", {"run": RUN, "name": "loss", "overlay": "nope"}, 404, "nope"),
    ("importance", {"run": RUN, "source": "data"}, 404, "importance"),
    ("importance", {"run": RUN, "source": "guess"}, 400, "source"),
    ("outputs", {"run": RUN, "method": "lime"}, 400, "method"),
    ("attribution", {"run": RUN, "method": "saliency"}, 400, "epoch is missing"),
    ("attribution", {"run": RUN, "method": "saliency", "epoch": 99}, 404, "epoch"),
    ("attribution", {"run": RUN, "method": "saliency", "epoch": 7, "sample": 6}, 404, "sample"),
    ("attribution", {"run": RUN, "method": "saliency", "epoch": 7, "most": 0}, 400, "most='0'"),
    ("film", {"run": RUN, "method": "saliency", "sample": 99}, 404, "sample"),
    ("clusters", {"run": RUN, "method": "saliency", "epoch": 1}, 400, "sample is missing"),
    ("clusters", {"run": RUN, "method": "saliency", "epoch": 99, "sample": 0}, 404, "epoch"),
    ("clusters", {"run": RUN, "method": "lime", "epoch": 1, "sample": 0}, 400, "method"),
    ("static/../loader.py", {}, 404, ""),
    ("static/%2e%2e%2floader.py", {}, 404, ""),
    ("static/..%5cloader.py", {}, 404, ""),
    ("static//etc/passwd", {}, 404, ""),
    ("static/", {}, 404, ""),
]


@pytest.mark.parametrize("values", [np.linspace(-2, 5, 256), np.zeros(256), np.full(256, 3.5), np.zeros(0)])
def test_maps_travel_in_the_steps_they_were_written_in(values):
    """What was rounded to 255 steps between its ends comes back the same; a flat map stays flat."""
    rows = np.stack([values, 2 * values]).astype(np.float32)
    _, found = arrays(framed({}, {"v": quantized(rows)}))
    np.testing.assert_allclose(found["v"], rows, atol=1e-6)


@pytest.mark.parametrize(("height", "width", "most"), [(224, 224, 80), (7, 11, 3), (5, 12, 2), (3, 40, 1)])
def test_maps_wider_than_they_are_seen_come_as_means(height, width, most):
    """Against the mean of every block, one by one, and the steps of the whole map, counted one by one."""
    maps = np.random.default_rng(0).normal(size=(2, height, width)).astype("f4") * [[[1]], [[9]]]
    header, found = arrays(payload.attribution(recorded(maps), most))
    step = width // most
    for b, ends in enumerate(found["ends0"]):
        low, high = maps[b].min(), maps[b].max()
        for y, x in np.ndindex(found["v0"][b].shape):
            block = maps[b, y * step : (y + 1) * step, x * step : (x + 1) * step]
            assert abs(found["v0"][b, y, x] - block.mean()) <= (high - low) / 255
        np.testing.assert_allclose(ends, [low, high], rtol=1e-6)
        steps = [round(255 * float(value - low) / float(high - low)) for value in maps[b].ravel()]
        np.testing.assert_allclose(found["counts0"][b], [steps.count(k) for k in range(256)], atol=1)
        assert found["counts0"][b].sum() == height * width
    assert header["whole"] == {"v0": [height, width]}
    assert found["v0"].shape == (2, -(-height // step), -(-width // step))


def test_maps_that_are_seen_as_they_are_come_whole():
    """Where the page shows every value, and of one sample where it is asked for alone."""
    maps = np.random.default_rng(0).normal(size=(3, 6, 8)).astype("f4")
    for answer, expected in (
        (payload.attribution(recorded(maps), 5), maps),
        (payload.attribution(recorded(maps), sample=1), maps[1:2]),
        (payload.attribution(recorded(maps, "table"), 1), maps),
    ):
        header, found = arrays(answer)
        np.testing.assert_allclose(found["v0"], expected, atol=8 / 255)
        assert "whole" not in header
        assert "counts0" not in found


def recorded(values, kind="image"):
    labels = np.zeros(len(values), int)
    return Attribution("saliency", values, labels, labels, None, labels, None, "logit", labels[:, None], 0, kind)


@pytest.mark.parametrize(("path", "query", "code", "words"), MISTAKES)
def test_mistakes_are_answered_in_words(python_client, path, query, code, words):
    """A bad parameter is a 400, an unknown thing a 404, and both say what is wrong."""
    answer = python_client.get(HOME + path, query_string=query)
    assert answer.status_code == code
    assert words in answer.text


WORDS = st.one_of(
    st.sampled_from(
        [RUN, "columns", "waiting", "words", "saliency", "live", "clean", "rms", "head/kernel", "loss", "ridge"]
    ),
    st.sampled_from(["../../etc/passwd", "<script>", "%00", "nan", "-1", "1e9", "0", "7", "%{x}", "\N{SNOWMAN}", ""]),
    st.text(max_size=12),
    st.integers(-5, 200).map(str),
)
ROUTES = [
    "index",
    "run",
    "summary",
    "figure",
    "importance",
    "inputs",
    "outputs",
    "attribution",
    "film",
    "clusters",
    "mapping",
    "static/x",
    "theme",
]
KEYS = [
    "run",
    "name",
    "epoch",
    "method",
    "source",
    "sample",
    "statistic",
    "variable",
    "theme",
    "overlay",
    "colour",
    "focus",
    "most",
]


def test_no_request_is_a_server_error(python_client):
    """Five hundred requests of random parameters: answers of 200, 400 or 404."""
    codes = set()

    @settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(ROUTES), st.dictionaries(st.sampled_from(KEYS), WORDS), st.sampled_from([*PANELS, ""]))
    def ask(route, query, panel):
        if route == "figure" and panel:
            query = {"run": RUN, **query, "name": panel}
        answer = python_client.get(HOME + route, query_string=query)
        codes.add(answer.status_code)
        assert answer.status_code in (200, 400, 404), (route, query, answer.text)

    ask()
    assert codes == {200, 400, 404}


def test_a_run_is_called_otherwise_when_another_one_of_its_name_comes(wsgi, story, tmp_path, wait_until):
    """In the list and when it is asked for, from the same look on."""
    story(tmp_path / "a" / "b", kind="table", moves=None).write(0).close()
    client = wsgi(tmp_path, "rust")
    wait_until(lambda: [r["name"] for r in client.get(HOME + "index").json["runs"]] == ["a/b"])
    story(tmp_path / "a\\b", kind="table", moves=None).write(0, 1).close()
    both = ["a/b/keras_xai", "a\\b/keras_xai"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*failed to parse blob key")
        wait_until(lambda: [r["name"] for r in client.get(HOME + "index").json["runs"]] == both)
        assert [r["epochs"] for r in client.get(HOME + "index").json["runs"]] == [1, 2]
        for name in both:
            assert client.get(HOME + "run", query_string={"run": name}).json["name"] == name


# The data server cannot parse its own keys of blobs where a name is escaped in them.
@pytest.mark.filterwarnings("ignore:.*failed to parse blob key")
@pytest.mark.parametrize("loader", LOADERS)
def test_every_run_has_a_name_of_its_own(wsgi, story, tmp_path, wait_until, loader):
    """Directories that would go by one name are asked for by two, and a name that would act is shown."""
    runs = ["a/b", "a\\b", "", "keras_xai", "x\x1b[2J\n"]
    for epochs, name in enumerate(runs, 1):
        story(tmp_path / name, kind="table", moves=None).write(*range(epochs)).close()
    client = wsgi(tmp_path, loader)
    names = {"a/b/keras_xai": 1, "a\\b/keras_xai": 2, tmp_path.name: 3, "keras_xai": 4, r"x\x1b[2J\n": 5}
    wait_until(lambda: {r["name"]: r["epochs"] for r in client.get(HOME + "index").json["runs"]} == names)
    for name, epochs in names.items():
        assert client.get(HOME + "run", query_string={"run": name}).json["epochs"] == list(range(epochs))


@pytest.mark.parametrize("loader", LOADERS)
def test_damaged_files_show_what_is_whole(wsgi, story, tmp_path, wait_until, loader):
    """A file cut inside its last epoch, and one with foreign bytes in the middle, are shown as far as they are whole."""
    for name in ("cut", "flipped"):
        story(tmp_path / name, kind="table").write(*range(8)).close()
        (path,) = (tmp_path / name).rglob("*tfevents*")
        content = bytearray(path.read_bytes())
        if name == "cut":
            del content[-40:]
        else:
            content[len(content) // 2 : len(content) // 2 + 8] = b"\x00nothing"
        path.write_bytes(bytes(content))
    client = wsgi(tmp_path, loader)
    wait_until(lambda: {r["name"]: r["epochs"] for r in client.get(HOME + "index").json["runs"]}.get("cut") == 7)
    assert client.get(HOME + "run", query_string={"run": "cut"}).json["epochs"] == list(range(7))
    flipped = client.get(HOME + "run", query_string={"run": "flipped"}).json["epochs"]
    assert flipped[:3] == [0, 1, 2]
    assert len(flipped) < 9
    for run in ("cut", "flipped"):
        for name in PANELS:
            assert client.get(HOME + "figure", query_string={"run": run, "name": name}).status_code == 200


def test_several_inputs_each_have_their_maps(wsgi, tmp_path):
    """A model of a picture and a table: both are served under the user's names, the film of the picture alone."""
    from keras_xai.probe import Probe
    from keras_xai.records import Attribution, Epoch
    from keras_xai.summary.writer import Writer

    labels, values = np.array([0, 1]), {"picture": np.full((2, 4, 6), 0.5, "f4"), "<i>row</i>": np.ones((2, 3), "f4")}
    probe = Probe({"picture": np.zeros((2, 4, 6, 1), "f4"), "<i>row</i>": np.zeros((2, 3), "f4")}, labels)
    score, outputs = np.ones(2, "f4"), np.array([[0.2], [0.9]], "f4")
    writer = Writer(tmp_path / "keras_xai")
    found = Attribution("saliency", values, labels, score, None, labels, None, "logit", outputs, 0, "image")
    writer.write([probe, found, Epoch(0, 1.0, 1.0, 0.1, 1e-3, {})])
    writer.close()
    client, ask = wsgi(tmp_path), {"run": tmp_path.name, "method": "saliency"}
    assert client.get(HOME + "run", query_string={"run": tmp_path.name}).json["probe"]["inputs"] == [
        "picture",
        "<i>row</i>",
    ]
    _, maps = arrays(client.get(HOME + "attribution", query_string={**ask, "epoch": 0}).data)
    assert (maps["v0"].shape, maps["v1"].shape) == ((2, 4, 6), (2, 3))
    _, shown = arrays(client.get(HOME + "outputs", query_string=ask).data)
    np.testing.assert_allclose(shown["outputs"][0], [[0.8, 0.2], [0.1, 0.9]], rtol=1e-6)  # a sigmoid speaks for class 1
    assert client.get(HOME + "film", query_string={**ask, "sample": 1}).status_code == 200
    _, film = arrays(client.get(HOME + "film", query_string={**ask, "sample": 1, "input": 1}).data)
    np.testing.assert_array_equal(film["maps"], [values["<i>row</i>"][1]])  # a table as it is, epoch by epoch
    assert client.get(HOME + "film", query_string={**ask, "sample": 1, "input": 2}).status_code == 404


def test_the_fit_of_a_local_surrogate_is_served_beside_the_error(wsgi, tmp_path):
    """LIME's R² of each sample, where the record has it."""
    from keras_xai.probe import Probe
    from keras_xai.records import Attribution, Epoch
    from keras_xai.summary.writer import Writer

    labels, values = np.array([0, 1]), np.ones((2, 3), "f4")
    outputs, fits = np.array([[0.75, 0.25], [0.5, 0.5]], "f4"), np.array([0.875, 0.5], "f4")
    writer = Writer(tmp_path / "keras_xai")
    found = Attribution("lime", values, labels, fits, None, labels, None, "logit", outputs, 0, "table", r2=fits)
    writer.write([Probe(values, labels), found, Epoch(0, 1.0, 1.0, 0.1, 1e-3, {})])
    writer.close()
    answer = wsgi(tmp_path).get(HOME + "outputs", query_string={"run": tmp_path.name, "method": "lime"})
    _, shown = arrays(answer.data)
    np.testing.assert_array_equal(shown["r2"], [fits])
    np.testing.assert_array_equal(shown["outputs"], [outputs])


def test_samples_that_were_not_written_are_not_served(wsgi, tmp_path):
    """With store="none" the run says so; names, maps and outputs are there all the same."""
    from keras_xai.probe import Probe
    from keras_xai.summary.writer import Writer

    writer = Writer(tmp_path / "keras_xai")
    writer.write([Probe(np.ones((4, 3), "f4"), [0, 1, 0, 1], feature_names=["a", "b", "c"], store="none").gallery(4)])
    writer.close()
    client = wsgi(tmp_path)
    found = client.get(HOME + "run", query_string={"run": tmp_path.name}).json["probe"]
    assert (found["stored"], found["labels"], found["inputs"], found["features"]) == (False, None, [], ["a", "b", "c"])
    _, found = arrays(client.get(HOME + "inputs", query_string={"run": tmp_path.name}).data)
    assert found == {}


@pytest.mark.oldest
def test_plotly_comes_from_the_installed_package(python_client):
    """The script is served gzipped, cacheable, and is plotly's own."""
    answer = python_client.get(HOME + "plotly.min.js", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "max-age" in answer.headers["Cache-Control"]
    import gzip
    from importlib.util import find_spec

    own = Path(find_spec("plotly").origin).parent / "package_data" / "plotly.min.js"
    assert gzip.decompress(answer.data) == own.read_bytes()


@pytest.mark.oldest
def test_the_tab_loads_the_part_of_plotly_that_it_draws_with(python_client):
    """A quarter of the script, with every kind of trace of ours and its licence, and no maps."""
    import gzip

    from keras_xai.figures.plotly_script import TRACES, plotly_source

    answer = python_client.get(HOME + "plotly.partial.min.js", headers={"Accept-Encoding": "gzip"})
    assert "max-age" in answer.headers["Cache-Control"]
    part = gzip.decompress(answer.data).decode()
    assert len(part) < 0.3 * len(plotly_source())
    for wanted in (*(f'name:"{trace}"' for trace in TRACES), "Plotly, Inc.", "MIT license", "window.Plotly = Plotly"):
        assert wanted in part
    assert 'name:"scattermap"' not in part


@pytest.mark.parametrize(
    "change",
    [
        lambda script: script.replace(".register([", ".enter(["),
        lambda script: script.replace('name:"heatmap"', 'name:"warmth"'),
        lambda script: "var Plotly={};",
    ],
)
def test_a_plotly_of_another_making_stays_whole(change):
    """Where the list of traces cannot be found nothing is cut."""
    from keras_xai.figures.plotly_script import plotly_source, subset

    script = change(plotly_source())
    assert subset(script).split("\n", 1)[1] == script


def test_a_version_of_our_files_may_be_kept(python_client):
    """The tab loads its modules from an address that names their contents: kept for good, and never out of date."""
    from keras_xai.plugin.static_files import version

    path = python_client.get("/data/plugins_listing").json["keras_xai"]["loading_mechanism"]["module_path"]
    assert path.endswith(f"/static/{version()}/index.js")
    assert "max-age=31536000" in python_client.get(path).headers["Cache-Control"]
    assert "no-cache" in python_client.get(HOME + "static/index.js").headers["Cache-Control"]
    other = python_client.get(HOME + "static/000000000000/index.js")
    assert (other.status_code, "no-cache" in other.headers["Cache-Control"]) == (200, True)


def test_only_listed_files_are_static(python_client):
    """All modules are served as one script, all stylesheets as one; no module makes markup of text, or names a host."""
    import keras_xai.plugin
    from keras_xai.plugin.static_files import STYLESHEETS, files

    folder = Path(keras_xai.plugin.__file__).parent / "static"
    sheets = {path.relative_to(folder).as_posix() for path in folder.rglob("*.css")}
    assert len(STYLESHEETS) == len(sheets)
    assert set(STYLESHEETS) == sheets
    assert set(files()) == {"index.js", "styles.css"}
    styles = python_client.get(HOME + "static/styles.css").text
    for sheet in sheets:
        assert (folder / sheet).read_text("utf-8") in styles
    script = python_client.get(HOME + "static/index.js").text
    for module in folder.rglob("*.js"):
        assert f'"{module.relative_to(folder).as_posix()}"() {{' in script
    for unlisted in ("types.d.ts", "core", "core/dom.js", "nothing.js", "../plugin.py"):
        assert python_client.get(HOME + f"static/{unlisted}").status_code == 404
    for name, kind in (("index.js", "text/javascript"), ("styles.css", "text/css")):
        answer = python_client.get(HOME + f"static/{name}")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith(kind)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for forbidden in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "http://",
            "https://",
            "eval(",
        ):
            assert forbidden not in answer.text.replace("http://www.w3.org/2000/svg", ""), (name, forbidden)
