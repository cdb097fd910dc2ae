"""The gallery by a rule, pins, residuals, every feature of a sample and the inputs of suspects, by the routes and in the tab."""

from __future__ import annotations

import numpy as np
import pytest

from keras_xai.probe import Probe
from keras_xai.records import Attribution, ChosenRows, Epoch, StoredSamples
from keras_xai.run import load
from keras_xai.summary.writer import Writer
from tests.mapping.mapping_records import mappings_of
from tests.plugin.answers import HOME, LOADERS_OF_BROWSERS, arrays
from tests.plugin.tab import Tab

ROWS, EPOCHS = 12, 3
CHOSEN = ([7, 2], [], [9, 7, 1])  # rows at each epoch


def attribution(epoch, values, target, outputs, kind, task, baseline=None):
    """A record whose score is its first output."""
    picked = outputs[np.arange(len(target)), np.minimum(target, outputs.shape[1] - 1)]
    prediction = outputs.argmax(1) if task == "classes" else outputs[:, 0]
    error = None if baseline is None else np.zeros(len(target), np.float32)
    link = "softmax" if task == "classes" else ""
    space = "logit" if task == "classes" else "raw"
    method = "saliency" if baseline is None else "integrated_gradients"
    quantity = "slope" if baseline is None else "contribution"
    return Attribution(
        method, values, target, picked, baseline, prediction, error, space, outputs, epoch, kind,
        task=task, link=link, quantity=quantity,
    )  # fmt: skip


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A run of twelve pictures whose gallery changes, and one of a number predicted from a table."""
    root = tmp_path_factory.mktemp("chosen")
    r = np.random.default_rng(0)
    writer = Writer(root / "pictures" / "keras_xai")
    x, y = r.random((ROWS, 6, 6, 1), "float32"), np.arange(ROWS) % 3
    probe = Probe(x, y, class_names=["<b>cat</b>", "dog", "owl"])
    fixed = probe.gallery(6)
    writer.write([fixed])
    for epoch in range(EPOCHS):
        rows = np.asarray(CHOSEN[epoch], np.int64)
        certain = 0.5 + 0.1 * np.arange(6)  # of the true class: the first sample has the largest loss
        outputs = np.where(np.arange(3) == fixed.y[:, None], certain[:, None], (1 - certain[:, None]) / 2).astype("f4")
        chosen = {}
        if len(rows):
            wrong = np.where(np.arange(3) == y[rows, None], 0.1, 0.45).astype("f4")
            maps = r.random((len(rows), 6, 6)).astype("f4")
            chosen["saliency"] = attribution(epoch, maps, y[rows], wrong, "image", "classes")
        loss = np.linspace(0.1, 2, ROWS).astype("f4")
        maps = r.random((6, 6, 6)).astype("f4")
        records = [
            attribution(epoch, maps, fixed.y, outputs, "image", "classes"),
            ChosenRows(epoch, "wrong", rows, loss, chosen),
            mappings_of(epoch, ROWS),
        ]
        new = np.asarray([[7, 2], [4], [9, 1]][epoch])
        records.append(StoredSamples(epoch, "chosen", new, x[new], y[new], y[new], kind="image"))
        writer.write([*records, Epoch(epoch, 10.0 * epoch, 10.0, 0.1, 1e-3, {"loss": 1.0})])
    writer.close()

    writer = Writer(root / "price" / "keras_xai")
    columns = np.round(r.normal(size=(4, 3)), 2).astype("f4")
    prices = Probe(columns, np.array([151.0, 93.0, 10.0, 20.0]), feature_names=["area", "rooms", "<i>age</i>"],
                   class_names=["price [EUR]"])  # fmt: skip
    writer.write([prices])
    for epoch in range(EPOCHS):
        outputs = np.array([[93.2], [93.0], [30.0], [19.0]], "f4")
        values = np.tile(np.array([10.0, -4.0, 7.2], "f4"), (4, 1)) * (1 + epoch)
        baseline = outputs[:, 0] - values.sum(1)
        zeros = np.zeros(4, np.int64)
        writer.write([attribution(epoch, values, zeros, outputs, "table", "number", baseline)])
        writer.write([Epoch(epoch, 10.0 * epoch, 10.0, 0.1, 1e-3, {"loss": 1.0})])
    writer.close()
    return root


def test_the_routes_hold_chosen_rows_and_losses(wsgi, directory):
    """Their own rows and labels; cross-entropy and squared error in closed form; inputs of a row that was written."""
    client, run = wsgi(directory), load(directory)["pictures"]

    def ask(route, **parameters):
        return client.get(HOME + route, query_string={"run": "pictures", **parameters})

    whole = ask("run").json
    assert whole["chosen"] == {"rule": "wrong", "epochs": [0, 1, 2], "counts": [2, 0, 3]}
    assert (whole["probe"]["rows"], whole["probe"]["whole_size"]) == (run.probe.rows.tolist(), ROWS)
    header, found = arrays(ask("outputs", method="saliency", epoch=2, chosen=1).data)
    assert (header["rows"], header["labels"], header["epochs"]) == ([9, 7, 1], [0, 1, 1], [2])
    np.testing.assert_allclose(found["loss"], np.full((1, 3), -np.log(0.1)), rtol=1e-5)
    _, found = arrays(ask("attribution", method="saliency", epoch=2, chosen=1).data)
    np.testing.assert_allclose(found["v0"], run.chosen_attribution("saliency", 2).values, atol=1e-6)
    _, found = arrays(ask("inputs", epoch=2, chosen=1).data)
    assert found["x0"].shape == (3, 6, 6, 1)
    header, found = arrays(ask("inputs", row=4).data)
    assert (header["rows"], header["labels"], found["x0"].shape) == ([4], [1], (1, 6, 6, 1))
    missing = ask("inputs", row=11)
    assert (missing.status_code, "were not written" in missing.text) == (404, True)
    assert ask("attribution", method="saliency", epoch=1, chosen=1).status_code == 404
    _, found = arrays(ask("outputs", method="saliency").data)
    np.testing.assert_allclose(found["loss"][0], -np.log(0.5 + 0.1 * np.arange(6)), rtol=1e-5)
    answer = client.get(HOME + "outputs", query_string={"run": "price", "method": "integrated_gradients"})
    _, found = arrays(answer.data)
    np.testing.assert_allclose(found["truth"][0], [151, 93, 10, 20])
    np.testing.assert_allclose(found["loss"][0], [57.8**2, 0, 400, 1], rtol=1e-4)


@pytest.fixture(scope="module", params=LOADERS_OF_BROWSERS)
def tab(request, browser, serve, directory):
    opened = Tab(browser, serve(directory, request.param).url)
    yield opened
    opened.page.close()
    # A card asks for a row whose input may not be there: the server says so, and the card too.
    opened.complaints = [words for words in opened.complaints if "404" not in words]
    opened.quiet()


def tiles(tab):
    return tab.frame.locator(".sample > button:first-child")


def choose(tab, name, value):
    tab.frame.get_by_label(name, exact=True).select_option(value)


def test_chosen_rows_pins_and_orders(tab):
    """The rows of the epoch in the order of the rule, words where there are none; a pin comes first, and stays."""
    tab.focus("pictures")
    tab.show("Attributions")
    tiles(tab).nth(5).wait_for()
    choose(tab, "Sort samples by", "loss")
    assert [tile.get_attribute("title") for tile in tiles(tab).all()][:2] == [
        "row 0 of the probe",
        "row 3 of the probe",
    ]
    tab.frame.get_by_role("button", name="Pin sample 4").click(force=True)
    tab.frame.locator(".sample.pinned").wait_for()
    assert tiles(tab).first.get_attribute("aria-description").startswith("sample 4")
    choose(tab, "Samples", "chosen")
    tab.frame.get_by_text("Read wrongly now: 3 of the 12 rows of the probe").wait_for()
    assert [tile.get_attribute("title") for tile in tiles(tab).all()] == [
        f"row {row} of the probe" for row in CHOSEN[2]
    ]
    assert tab.frame.get_by_label("Compare", exact=True).count() == 0  # other rows at each epoch
    tab.key("ArrowLeft")
    tab.frame.get_by_text("No row of the probe is read wrongly at epoch 1").wait_for()
    tab.key("ArrowLeft")
    tab.frame.get_by_text("2 of the 12 rows of the probe").wait_for()
    assert tiles(tab).first.get_attribute("title") == "row 2 of the probe"  # which is sample 4: pinned here, too
    tiles(tab).first.click()
    tab.frame.get_by_role("heading", name="Row 2: true class owl").wait_for()
    choose(tab, "Samples", "fixed")
    tab.frame.locator(".sample.pinned").wait_for()
    tab.key("End")


def test_numbers_beside_the_true_ones_and_every_feature(tab):
    """Predicted, true and residual with the unit; the largest residual first; from the baseline to the score."""
    tab.focus("price")
    tab.show("Attributions")
    tab.frame.get_by_text("93.2 EUR, true 151, −58").first.wait_for()
    choose(tab, "Sort samples by", "loss")
    tab.frame.locator(".tile >> nth=0").filter(has_text="true 151").wait_for()
    assert tiles(tab).nth(1).inner_text().startswith("30 EUR, true 10, +20")
    tiles(tab).first.click()
    table = tab.frame.locator(".waterfall table")
    table.locator("tbody tr svg path").nth(2).wait_for()  # of each feature its course
    rows = [[cell.strip() for cell in row.inner_text().split("\t")] for row in table.locator("tbody tr").all()]
    names, numbers = [row[0] for row in rows], [row[2] for row in rows]
    assert names == ["baseline", "area", "<i>age</i>", "rooms", "score of price [EUR]"]
    assert numbers == ["53.6", "+30.0", "+21.6", "−12.0", "93.2"]
    assert "Least confident first" not in tab.frame.get_by_label("Sort samples by", exact=True).inner_text()


def test_suspects_show_their_inputs(tab):
    """Under the pointer and by a click; words alone where the input was not written."""
    tab.focus("pictures")
    tab.show("Mappings")
    button = tab.frame.locator("[data-key='card 7']")
    button.hover()
    tab.frame.locator("#sample-card canvas").wait_for()
    button.click()
    tab.frame.locator(".card-row canvas").wait_for()
    button.click()
    assert tab.frame.locator(".card-row").count() == 0
    tab.frame.get_by_role("cell", name="sample 11", exact=True).hover()
    tab.frame.locator("#sample-card", has_text="sample 11").wait_for()
    assert tab.frame.locator("#sample-card canvas").count() == 0


def test_the_samples_that_moved_are_compared_and_the_first_is_chosen(browser, serve, told_directory):
    """Before the alert and now, from the top; the sample that moved most below, by how much on its tile."""
    tab = Tab(browser, serve(told_directory).url)
    tab.focus("columns")
    tab.frame.get_by_text("See the samples that moved most").click()
    tab.frame.get_by_label("The first epoch").wait_for()
    assert tab.frame.get_by_label("The first epoch").input_value() == "5"
    title = tab.frame.locator("h3", has_text="Sample").inner_text()
    choose(tab, "Compare", "off")
    moved = tab.frame.locator(".tile .moved")
    moved.first.wait_for()
    shares = [float(words.split()[1]) for words in moved.all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0
    assert tiles(tab).first.get_attribute("aria-pressed") == "true"
    assert tiles(tab).first.get_attribute("aria-description").startswith(title.split(":")[0].lower())
    tab.page.close()
    tab.quiet()
