"""What a notebook shows of runs: the verdict that all other places have, in HTML that needs nothing and can do nothing."""

from __future__ import annotations

import re

import pytest

import keras_xai as kx
from keras_xai.judgement import judge
from keras_xai.run import Runs


@pytest.fixture(scope="module")
def runs(told_directory):
    return kx.load(told_directory)


def test_a_table_of_runs_has_the_verdict_of_each(runs):
    """Alarm, quiet or not watched, as the command says it; since when, and by what feature."""
    assert isinstance(runs, Runs)
    assert isinstance(runs, dict)
    html = runs._repr_html_()
    lines = dict(zip(runs, re.findall(r"<tr>(.*?)</tr>", html)[1:], strict=True))
    verdicts = {0: ">quiet<", 1: ">alarm<", 2: ">not watched<"}
    for name, run in runs.items():
        assert name in lines[name]
        assert verdicts[judge(run).status] in lines[name]
    assert "epoch 6" in lines["columns"]
    assert ">age<" in lines["columns"]
    assert "val_accuracy 40" in lines["columns"]
    assert "since" in html


def test_a_run_shows_its_verdict_and_the_reasons(runs):
    """Since when and by which feature; the reasons are those of the judgement."""
    html = runs["columns"]._repr_html_()
    assert "since epoch 6: age" in html
    assert "12 epochs" in html
    assert "gallery of 6 samples" in html
    calm = runs["pictures/clean"]._repr_html_()
    assert "since epoch 9: head/kernel" in calm
    assert "not watched" in runs["waiting"]._repr_html_()


def test_cards_need_nothing_and_do_nothing(runs, tmp_path):
    """No script, no style sheet, no request; names are text; an empty directory and a damaged run have words."""
    attribution = runs["columns"].attributions("integrated_gradients")[-1]
    for html in (runs._repr_html_(), runs["columns"]._repr_html_(), attribution._repr_html_()):
        assert not re.search(r"<script|<style|<link|<img|https?:|onerror=alert\(1\)>|<b>owl", html)
    assert "&lt;b&gt;owl" in attribution._repr_html_()
    assert "nothing was recorded" in kx.load(tmp_path)._repr_html_()

    class Damaged:
        def __getattr__(self, name):
            raise ValueError("<i>torn</i>")

    table = Runs(torn=Damaged(), columns=runs["columns"])._repr_html_()
    assert "ValueError: &lt;i&gt;torn" in table
    assert "since" in table
