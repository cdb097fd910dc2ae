"""Colours: equal steps look equal, text can be read, and the stylesheet says the same as the figures."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

import keras_xai.plugin
from keras_xai.figures.colour import (
    MAPS,
    RUN_DASHES,
    RUNS,
    STOPS,
    THEMES,
    TOKENS,
    class_colours,
    oklab,
    ramp,
    run_colour,
    run_dash,
    srgb,
)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", MAPS)
def test_equal_steps_look_equal(theme, name):
    """Neighbours of a map are equally far apart in OKLab, up to the rounding to eight bits."""
    steps = np.linalg.norm(np.diff(oklab(ramp(theme, name, 64)), axis=0), axis=1)
    halves = [steps] if name != "diverging" else [steps[:31], steps[32:]]
    for half in halves:
        assert half.std() / half.mean() < 0.12
    assert ramp(theme, name)[0] == STOPS[theme][name][0]
    assert ramp(theme, name)[-1] == STOPS[theme][name][-1]


def test_oklab_is_ottossons():
    """White, black and red have the published coordinates; there and back is the identity."""
    np.testing.assert_allclose(oklab(("#ffffff",)), [[1, 0, 0]], atol=1e-4)
    np.testing.assert_allclose(oklab(("#000000",)), [[0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(oklab(("#ff0000",)), [[0.62796, 0.22486, 0.12585]], atol=1e-4)
    colours = tuple(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in itertools.product((0, 51, 200, 255), repeat=3))
    assert tuple(srgb(oklab(colours))) == colours


@pytest.mark.parametrize("theme", THEMES)
def test_magnitude_maps_are_monotone_in_lightness(theme):
    """A sequential map can be read without seeing colour at all."""
    for name in ("sequential", "ember"):
        lightness = np.diff(oklab(ramp(theme, name, 32))[:, 0])
        assert (lightness < 0).all() or (lightness > 0).all()


def luminance(colour):
    """WCAG 2.1 relative luminance."""
    srgb_values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb_values <= 0.04045, srgb_values / 12.92, ((srgb_values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ground", ["page", "rail"])
def test_text_has_the_contrast_of_wcag_aa(theme, ground):
    """4.5 to 1 for everything that is text, in both themes (no link stands on the rail); 3 to 1 for the lines of runs."""
    tokens = TOKENS[theme]
    for name in ("text", "text-2", "text-3", "alarm", *(["accent"] if ground == "page" else [])):
        assert contrast(tokens[name], tokens[ground]) >= 4.5, name
    for colour in RUNS[theme]:
        assert contrast(colour, tokens[ground]) >= 3


# What the stylesheet sets on what: everything a person has to read.
PAIRS = [
    *((text, ground) for ground in ("page", "rail", "hover", "raised") for text in ("text", "text-2")),
    *((text, ground) for ground in ("page", "rail") for text in ("text-3", "alarm")),
    *((text, "accent-soft") for text in ("text", "text-2", "on-soft", "alarm")),
    *((text, "alarm-soft") for text in ("text", "text-2", "alarm")),
    ("accent", "page"),
    ("page", "text"),  # the box under the pointer
]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_the_stylesheet_has_the_contrast_of_wcag_aa(theme, text, ground):
    """4.5 to 1 for every text on every ground that style.css puts it on."""
    tokens = stylesheet()[theme]
    assert contrast(tokens[text], tokens[ground]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ground", ["page", "rail"])
def test_what_is_no_text_can_be_told_apart(theme, ground):
    """3 to 1 for the marks that carry meaning: where one is, what is wrong, what is well."""
    tokens = stylesheet()[theme]
    for name in ("accent", "alarm", "good", "text-3"):
        assert contrast(tokens[name], tokens[ground]) >= 3, name


def stylesheet():
    """The tokens of both themes as style.css has them."""
    text = (Path(keras_xai.plugin.__file__).parent / "static" / "style.css").read_text()
    found = {}
    for theme, block in zip(THEMES, re.findall(r":root[.\w]* \{(.*?)\}", text, re.S), strict=False):
        found[theme] = dict(re.findall(r"--([\w-]+): (#\w{6});", block))
    return found


def test_motion_stands_under_the_wish_for_it():
    """Nothing moves unless the person has not asked for less of it."""
    folder = Path(keras_xai.plugin.__file__).parent / "static"
    texts = {path.name: path.read_text() for path in (folder / "style.css", *sorted((folder / "styles").iterdir()))}
    still, moving = texts.pop("motion.css").split("@media (prefers-reduced-motion: no-preference) {")
    for text in (still, *texts.values()):
        for word in ("transition", "animation", "scroll-behavior"):
            assert word not in text
    assert "transition" in moving


def test_the_stylesheet_agrees():
    """Every token stands in style.css with the same colour."""
    for theme in THEMES:
        assert TOKENS[theme].items() <= stylesheet()[theme].items()


# Machado, Oliveira and Fernandes 2009, "A physiologically-based model for simulation of color vision deficiency", severity 1:
# linear sRGB as seen by eyes without one kind of cone.
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def seen(colours, sight):
    """OKLab of hex colours as an eye sees them."""
    values = np.array([list(bytes.fromhex(colour[1:])) for colour in colours]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.asarray(SIGHTS[sight]).T, 0, 1)
    values = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return oklab(tuple(f"#{row.tobytes().hex()}" for row in np.rint(255 * values).astype(np.uint8)))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("sight", SIGHTS)
def test_classes_can_be_told_apart_by_all_eyes(theme, sight):
    """Ten classes from each other and from the alarm, which marks samples among them; the first six further apart.

    A distance of 0.02 in OKLab is just seen.
    """
    colours = seen(class_colours(theme, 10), sight)
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=-1)
    pairs = np.triu_indices(10, 1)
    assert distance[pairs].min() > 0.06
    assert distance[:6, :6][np.triu_indices(6, 1)].min() > 0.085
    alarm = seen([TOKENS[theme]["alarm"]], sight)
    assert np.linalg.norm(colours - alarm, axis=-1).min() > (0.15 if sight == "normal" else 0.08)


@pytest.mark.parametrize("theme", THEMES)
def test_a_class_keeps_its_colour(theme):
    """Thirty have one each, visible on the page, whatever the number of classes."""
    assert class_colours(theme, 3) == class_colours(theme, 40)[:3]
    assert class_colours(theme, 40, np.array([2.0, 33.0])) == [class_colours(theme, 40)[k] for k in (2, 3)]
    colours = class_colours(theme, 30)
    assert len(set(colours)) == 30
    assert min(contrast(colour, TOKENS[theme]["page"]) for colour in colours[:10]) >= 2.8


def test_run_colours_come_round():
    """Twelve colours, then again from the first with another dash, and after four turns with the first dash."""
    assert len(RUNS["light"]) == len(RUNS["dark"]) == 12
    assert [run_colour("light", i) for i in (0, 12, 13)] == [RUNS["light"][0], RUNS["light"][0], RUNS["light"][1]]
    assert [run_dash(i) for i in (0, 11, 12, 24, 48)] == [
        RUN_DASHES[0],
        RUN_DASHES[0],
        RUN_DASHES[1],
        RUN_DASHES[2],
        RUN_DASHES[0],
    ]
    looks = {(run_colour("light", i), run_dash(i)) for i in range(48)}
    assert len(looks) == 48
    assert len({*RUN_DASHES, *(run_dash(i, dotted=True) for i in (0, 12, 24, 36))}) == 8


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("sight", SIGHTS)
def test_run_colours_can_be_told_apart(theme, sight):
    """Twelve runs from each other, and from the colours of the alarm and of what is selected, by all eyes."""
    colours = seen(RUNS[theme], sight)
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=-1) + np.eye(12)
    assert apart.min() >= (0.12 if sight == "normal" else 0.07)
    marks = seen((TOKENS[theme]["alarm"], TOKENS[theme]["accent"]), sight)
    assert np.linalg.norm(colours[:, None] - marks[None], axis=-1).min() >= (0.085 if sight == "normal" else 0.05)
