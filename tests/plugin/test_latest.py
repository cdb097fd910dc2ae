"""What is kept for a browser has a limit, whoever asks for what."""

from __future__ import annotations

import numpy as np
import pytest
from tensorboard.util import tensor_util

from keras_xai.plugin.latest import Latest
from tests.plugin.answers import HOME, LOADERS, RUN


def test_what_was_not_asked_for_the_longest_goes_first():
    """By the sizes of the values; a key that is put again takes its own place."""
    kept = Latest(10)
    for key in "abc":
        kept.put(key, key.upper(), 3)
    assert kept.get("a") == "A"
    kept.put("d", "D", 4)
    assert [kept.get(key) for key in "abcd"] == ["A", None, "C", "D"]
    kept.put("a", "Ä", 1)
    assert (kept.get("a"), kept.taken, len(kept)) == ("Ä", 8, 3)


def test_one_that_needs_all_the_room_is_kept_alone():
    """It is asked for again in a moment."""
    kept = Latest(10)
    kept.put("small", 1)
    kept.put("large", 2, 99)
    assert (kept.get("small"), kept.get("large"), len(kept)) == (None, 2, 1)
    kept.put("small", 1)
    assert (kept.get("small"), kept.get("large"), kept.taken) == (1, None, 1)


def test_made_up_experiments_are_not_kept(wsgi, told_directory):
    """TensorBoard's own data provider answers for any name: the last few are known, their runs are read alike."""
    client = wsgi(told_directory)
    from keras_xai.plugin.plugin import MAX_EXPERIMENTS

    (plugin,) = (p for p in client.application._plugins if p.plugin_name == "keras_xai")
    for k in range(3 * MAX_EXPERIMENTS):
        answer = client.get(f"/experiment/made_up_{k}{HOME}index")
        assert answer.status_code == 200
        assert len(answer.json["runs"]) == 6
    assert len(plugin._listings) == MAX_EXPERIMENTS


def test_film_strips_have_a_limit(wsgi, told_directory, monkeypatch):
    """Of all runs, methods and epochs together."""
    monkeypatch.setattr("keras_xai.plugin.plugin.MAX_FILM_BYTES", 3 * 6 * 16 * 4 + 100)
    client = wsgi(told_directory)
    (plugin,) = (p for p in client.application._plugins if p.plugin_name == "keras_xai")
    client.get(HOME + "index")
    for run in (RUN, "pictures/clean"):
        for method in ("saliency", "integrated_gradients"):
            answer = client.get(HOME + "film", query_string={"run": run, "method": method, "sample": 1})
            assert answer.status_code == 200
    assert len(plugin._thumbnails) == 3
    assert plugin._thumbnails.taken <= plugin._thumbnails.room


@pytest.mark.parametrize("loader", LOADERS)
def test_tensorboard_makes_no_array_of_ours(wsgi, told_directory, wait_until, monkeypatch, loader):
    """It would fill a large shape up with one number: tensors are taken as they stand in the files."""

    def refuse(tensor):
        raise AssertionError("an array was asked for")

    monkeypatch.setattr(tensor_util, "make_ndarray", refuse)
    client = wsgi(told_directory, loader)
    wait_until(lambda: sum(r["epochs"] == 12 for r in client.get(HOME + "index").json["runs"]) == 5)
    ask = {"run": RUN, "method": "saliency", "epoch": 7, "sample": 2, "source": "clean", "name": "heat_map"}
    for route in ("run", "summary", "inputs", "outputs", "attribution", "film", "mapping", "importance", "figure"):
        answer = client.get(HOME + route, query_string=ask)
        assert answer.status_code == 200, (route, answer.text)
    run = client.get(HOME + "run", query_string=ask).json
    assert (run["passed_over"], run["gradient_epochs"]) == ({}, list(range(12)))
    assert np.isfinite(run["sources"]["live"]["score"][3:]).all()
