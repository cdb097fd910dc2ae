"""The view of predictions: its route, and the tab as a person uses it, in both loaders."""

from __future__ import annotations

import numpy as np
import pytest

from keras_xai.drift.slices import accuracy_by_slice
from keras_xai.probe import Probe
from keras_xai.records import Attribution, Epoch
from keras_xai.summary.writer import Writer
from tests.plugin.answers import HOME, LOADERS_OF_BROWSERS, arrays
from tests.plugin.tab import Tab
from tests.summary.prediction_records import labels_of, predictions_of_kind

CLASSES = ["<b>cat</b>", "dog", "owl"]
SIZE, EPOCHS = 40, 3
SEX = np.array(["f", "m", "m", "f"] * 10)


def write(root, name, kind, *, outputs=None, y=None, names=CLASSES, **options):
    """A run of three epochs, with a gallery of six rows."""
    size = SIZE if y is None else len(y)
    y = labels_of(kind) if y is None else y
    probe = Probe(np.zeros((size, 2), "f4"), y, class_names=names, slices={"sex": SEX} if size == SIZE else None)
    gallery, writer = probe.gallery(6), Writer(root / name / "keras_xai")
    writer.write([gallery])
    for epoch in range(EPOCHS):
        record = predictions_of_kind(kind, epoch, outputs, y, slices=probe.slices and {"sex": SEX}, **options)
        zeros, ones = np.zeros(6, int), np.ones(6, "f4")
        maps = Attribution(
            "saliency",
            np.ones((6, 2), "f4"),
            zeros,
            ones,
            None,
            zeros,
            None,
            "logit",
            np.ones((6, 3), "f4"),
            epoch,
            "table",
        )
        records = [record, maps, Epoch(epoch, 10.0 * epoch, 10.0, 0.1, 1e-3, {"loss": 1.0})]
        if probe.slices:
            records.append(accuracy_by_slice(epoch, probe.slices, record.right, record.true_probability))
        writer.write(records)
    writer.close()


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A run of classes, of one sigmoid, of labels, of numbers, of thirty classes."""
    root = tmp_path_factory.mktemp("predicted")
    write(root, "classes", "softmax")
    write(root, "labels", "labels")
    write(root, "numbers", "number", names=None)
    write(root, "sigmoid", "sigmoid", names=["benign", "malignant"])
    y = np.arange(30).repeat(2)
    outputs = np.eye(30)[np.where(y < 25, y, 3)] * 0.9 + 0.1 / 30
    write(root, "thirty", "softmax", outputs=outputs, y=y, names=None)
    return root


@pytest.fixture(scope="module")
def client(wsgi, directory):
    return wsgi(directory)


def test_the_route_holds_the_predictions_of_an_update(client):
    """Words, matrix and metrics in the header, the figures of every row as arrays."""
    record = predictions_of_kind("softmax", 1)
    header, found = arrays(client.get(HOME + "predictions", query_string={"run": "classes", "epoch": 1}).data)
    assert (header["epoch"], header["answer"], header["names"]["0"]) == (1, "class", "<b>cat</b>")
    for name in ("prediction", "true", "probability", "loss", "right", "true_probability"):
        np.testing.assert_allclose(found[name], getattr(record, name), rtol=1e-6)
    assert np.sum(header["matrices"][0]["counts"]) == SIZE
    assert [row["value"] for row in header["slices"]] in (["f", "m"], ["m", "f"])
    assert len(header["gallery"]) == 6
    assert header["sentence"].startswith("Epoch 1: ")


def test_a_run_without_predictions_says_why(wsgi, told_directory):
    """As a clause; the view names the line of code."""
    header, found = arrays(wsgi(told_directory).get(HOME + "predictions", query_string={"run": "columns"}).data)
    assert (header["epoch"], found) == (None, {})
    assert "version" in header["absent"]


@pytest.fixture(scope="module", params=LOADERS_OF_BROWSERS)
def tab(request, browser, serve, directory):
    opened = Tab(browser, serve(directory, request.param).url)
    opened.show("Predictions")
    yield opened
    opened.page.close()
    opened.quiet()


def heading(tab, name):
    tab.frame.get_by_role("heading", name=name).wait_for()


def test_a_cell_leads_to_its_rows(tab):
    """By mouse and by keyboard; a second press leads back. Rows of the gallery lead to their maps."""
    tab.focus("classes")
    heading(tab, "Confusion matrix")
    heading(tab, "Sure and wrong")
    record = predictions_of_kind("softmax", EPOCHS - 1)
    inside = np.flatnonzero((record.true == 0) & (record.prediction == 1))
    cell = tab.frame.locator("[data-key='cell 0,1']")
    assert cell.inner_text().split()[0] == str(len(inside))
    cell.click()
    heading(tab, "<b>cat</b> read as dog")
    rows = tab.frame.locator(".figures-frame.tall tr").all_inner_texts()[1:]
    listed = [int(row.split()[1]) for row in rows]
    assert listed == inside[np.argsort(-record.probability[inside], kind="stable")].tolist()
    tab.frame.locator("[data-key='cell 0,1']").press("Enter")
    heading(tab, "Sure and wrong")


def test_the_view_follows_the_slider(tab):
    """Another epoch is another sentence; all panels stand, in the words of the field."""
    tab.focus("classes")
    tab.key("Home")
    tab.frame.get_by_text("Epoch 0: ").wait_for()
    for title in ("Calibration (ECE", "Certainty against truth", "Precision, recall and F1", "Slices of the probe"):
        heading(tab, title)
    tab.key("End")
    tab.frame.get_by_text("Epoch 2: ").wait_for()


def test_labels_numbers_and_many_classes_have_panels_of_their_own(tab):
    """A label is chosen in the table; numbers have errors; of thirty classes twenty are drawn and the pairs listed."""
    tab.focus("labels")
    tab.frame.locator("[data-key='label 1']").click()
    heading(tab, "Confusion matrix: dog")
    tab.focus("numbers")
    heading(tab, "Predicted against true")
    heading(tab, "Residuals")
    tab.focus("thirty")
    heading(tab, "Confusion matrix (20 of 30 classes)")
    tab.frame.locator("[data-key='pair 25,3']").click()
    heading(tab, "25 read as 3")
    tab.focus("sigmoid")
    tab.frame.get_by_text("threshold 0.5").wait_for()
