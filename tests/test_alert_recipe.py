"""The recipe of `docs/what_to_do_about_an_alert.md` that posts alerts to a webhook, against a server of its own."""

import http.server
import json
import logging
import threading
import time

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.records import Alert, FeatureMove
from tests import reader
from tests.helpers.pages import DOCS, blocks

CHANGED = Alert(4, "data", "data changed", False, (FeatureMove("labels", 0.0, 0.25, 0, float("nan")),), event=4)


class Stub(http.server.ThreadingHTTPServer):
    """A webhook that keeps what was posted, and answers as it is told to."""

    daemon_threads = True

    def __init__(self, status=204, delay=0.0):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status, self.delay = status, delay
        self.messages = []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}/alerts"


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.messages.append((self.headers["Content-Type"], json.loads(body, parse_constant=pytest.fail)))
        time.sleep(self.server.delay)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *arguments):
        """Print nothing."""


@pytest.fixture
def webhook():
    """Start stubs, and stop them at the end."""
    stubs = []

    def start(**keywords):
        stub = Stub(**keywords)
        stubs.append(stub)
        threading.Thread(target=stub.serve_forever, args=(0.01,), daemon=True).start()
        return stub

    yield start
    for stub in stubs:
        stub.shutdown()
        stub.server_close()


def recipe(address):
    """The function `post` of the page, with another address."""
    (code,) = [block for block in blocks(DOCS / "what_to_do_about_an_alert.md", "python") if "def post" in block]
    names = {}
    exec(compile(code.split("\nwatch =")[0], "what_to_do_about_an_alert.md", "exec"), names)
    names["WEBHOOK"] = address
    return names["post"]


def test_an_alert_of_a_training_is_posted(webhook, tmp_path):
    """Of a rule that cannot hold, once, with its words and figures."""
    stub = webhook()
    names = reader.table()
    watch = kx.ImportanceDrift(
        tmp_path, names["probe"], rules={names["probe"].features[0]: 0.0}, on_drift=recipe(stub.address)
    )
    names["model"].fit(names["x"], names["y"], epochs=3, verbose=0, callbacks=[watch])
    ((content_type, message),) = stub.messages
    (alert,) = list(kx.load(tmp_path).values())[-1].alerts
    assert content_type == "application/json"
    assert (message["epoch"], message["source"], message["verdict"]) == (1, "rule", "rule broken")
    assert message["text"] == str(alert)
    assert message["advice"] == alert.advice
    assert message["score"] is None
    (move,) = message["features"]
    assert move["name"] == names["probe"].features[0]
    assert move["after"] == pytest.approx(alert.features[0].after, rel=1e-6)


def test_what_was_not_measured_is_null(webhook):
    """JSON has no NaN; the stub refuses it."""
    stub = webhook()
    recipe(stub.address)(CHANGED)
    ((_, message),) = stub.messages
    assert message["features"] == [{"name": "labels", "before": 0.0, "after": 0.25, "direction": 0, "z": None}]
    assert np.isnan(CHANGED.features[0].z)


@pytest.mark.parametrize("case", ["an error", "no server", "no address", "no answer"])
def test_a_fault_of_the_webhook_is_a_line_in_the_log(webhook, caplog, case):
    """Training goes on, after three seconds at most."""
    if case == "no answer":
        address = webhook(delay=5.0).address
    else:
        address = {"an error": webhook(status=500).address, "no server": "http://127.0.0.1:1", "no address": "alerts"}[
            case
        ]
    began = time.perf_counter()
    with caplog.at_level(logging.WARNING, "alerts"):
        recipe(address)(CHANGED)
    assert time.perf_counter() - began < 4.5
    assert [record.getMessage().startswith("the alert was not posted: ") for record in caplog.records] == [True]
