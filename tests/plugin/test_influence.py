"""What taught the model of a sample, and what set off an alert: the route, and the tab as a person reads it."""

from __future__ import annotations

import numpy as np
import pytest

from keras_xai.probe import Probe
from keras_xai.records import Alert, AlertReference, Attribution, Epoch, FeatureMove, InfluenceRanks, RowInfluences
from keras_xai.summary.writer import Writer
from tests.plugin.answers import HOME
from tests.plugin.tab import Tab

SIZE, EPOCHS = 8, 2
RIGHT_OF_FIRST_DIGIT = """(cells) => cells.map((cell) => {
    const range = document.createRange();
    range.setStart(cell.firstChild, 0);
    range.setEnd(cell.firstChild, 1);
    return range.getBoundingClientRect().right;
})"""


def ranks(rows, score):
    """Two proponents of each row, and one opponent."""
    proponents, opponents = np.tile([700, 12], (rows, 1)), np.tile([3, -1], (rows, 1))
    return InfluenceRanks(
        proponents, np.tile([score, score / 8], (rows, 1)), opponents, np.tile([-score, np.nan], (rows, 1))
    )


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A run of two epochs with a gallery of four rows, and an alert in the last one."""
    root = tmp_path_factory.mktemp("taught")
    names = ["<b>cat</b>", "dog"]
    probe = Probe(np.zeros((SIZE, 2), "f4"), np.arange(SIZE) % 2, class_names=names, feature_names=["age", "leak"])
    writer = Writer(root / "run" / "keras_xai")
    writer.write([probe.gallery(4)])
    zeros, ones, outputs = np.zeros(4, int), np.ones(4, "f4"), np.ones((4, 2), "f4")
    move = FeatureMove("leak", 0.0, 0.5, 1, 9.0)
    alert = Alert(1, "gap", "training-only shortcut", False, (move,), 9.0, 4.25, event=1, sentence="leak speaks")
    for epoch in range(EPOCHS):
        alerts = (AlertReference("gap", 1, ("leak",)),) if epoch else ()
        influences = RowInfluences(
            epoch=epoch,
            layer="head",
            loss="mse",
            live=np.array([3, 12, 700]),
            labels=np.array([1, 0, 0], "f4"),
            checkpoints=epoch + 1,
            probe=ranks(SIZE, epoch + 1.0),
            alerts=alerts,
            on_alerts=ranks(len(alerts), 0.25),
        )
        values = np.ones((4, 2), "f4")
        maps = Attribution("saliency", values, zeros, ones, None, zeros, None, "logit", outputs, epoch, "table")
        writer.write([maps, influences, Epoch(epoch, 10.0 * epoch, 10.0, 0.1, 1e-3, {"loss": 1.0})])
    writer.write([alert])
    writer.close()
    return root


def test_the_route_has_the_strongest_rows_up_to_an_update(wsgi, directory):
    """With their labels in words; of an alert they stand beside it; a row that there is not is no answer."""
    client = wsgi(directory)
    run = client.get(HOME + "run", query_string={"run": "run"}).json
    assert run["influence"] is True
    assert [(row["row"], row["label"]) for row in run["alerts"][0]["set_off_by"]] == [
        (700, "<b>cat</b>"),
        (12, "<b>cat</b>"),
    ]
    for epoch, scores in ((0, ["1", "0.125"]), (1, ["2", "0.25"])):
        answer = client.get(HOME + "influence", query_string={"run": "run", "row": 5, "epoch": epoch}).json
        assert (answer["layer"], answer["checkpoints"]) == ("head", epoch + 1)
        assert [row["row"] for row in answer["proponents"]] == [700, 12]
        assert [float(row["score"].strip()) for row in answer["proponents"]] == [float(score) for score in scores]
        assert [(row["row"], row["label"]) for row in answer["opponents"]] == [(3, "dog")]
    assert client.get(HOME + "influence", query_string={"run": "run", "row": 8}).status_code == 404


def test_they_stand_below_the_chosen_sample(browser, serve, directory):
    """Both sides with numbers, labels as they are, and how many updates they are a sum over."""
    tab = Tab(browser, serve(directory, "python").url)
    tab.show("Attributions")
    taught = tab.frame.locator(".taught")
    taught.wait_for()
    assert taught.locator("tr td:nth-child(1)").all_inner_texts() == ["700", "12", "3"]
    assert taught.locator("tr td:nth-child(2)").all_inner_texts() == ["<b>cat</b>", "<b>cat</b>", "dog"]
    assert "2 updates to epoch 1" in taught.inner_text()
    assert "inputs of live rows are not stored" in taught.inner_text()
    units = taught.locator("table").first.locator("td:nth-child(3)").evaluate_all(RIGHT_OF_FIRST_DIGIT)
    assert units == pytest.approx([units[0], units[0]], abs=0.5)  # 2 above 0.25
    tab.page.close()
    tab.quiet()
