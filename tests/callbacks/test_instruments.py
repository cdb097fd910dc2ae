"""The instruments that `Explain` turns on by name."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.instruments import INSTRUMENTS
from keras_xai.errors import InvalidInput

PROBE = np.zeros((4, 3), np.float32)


pytestmark = pytest.mark.filterwarnings("ignore:The probe has")


def option(name, **arguments):
    """The value that a part of `Explain` got of an instrument's option."""
    part, options, _ = INSTRUMENTS[name]
    (wanted,) = options
    classes = {"gradients": kx.WeightGradients, "attributions": kx.ProbeAttributions, "mappings": kx.ProbeMappings}
    watch = kx.Explain("logs", PROBE, **arguments)
    return next(getattr(c, wanted) for c in watch.callbacks if isinstance(c, classes.get(part, kx.ImportanceDrift)))


def test_they_are_off_unless_named():
    """By name, in a list, all; an option of the part itself overrides them."""
    assert not option("critical_step")
    for instruments in ("all", "critical_step", ["critical_step"], ("map_checks", "critical_step")):
        assert option("critical_step", instruments=instruments)
    assert not option("critical_step", instruments="all", gradients={"critical_step": False})
    assert not option("critical_step", instruments=[])


def test_one_of_a_part_that_is_not_there_is_refused():
    """The maps of no gallery cannot be checked; "all" takes those that can be."""
    with pytest.raises(InvalidInput, match="there is no gallery to check; give a method"):
        kx.Explain("logs", PROBE, method=None, instruments=["map_checks"])
    names = [type(part).__name__ for part in kx.Explain("logs", PROBE, method=None, instruments="all").callbacks]
    assert names == ["WeightGradients", "TrainingChecks", "ImportanceDrift"]
    gallery = kx.Explain("logs", PROBE, instruments="all").callbacks[1]
    assert gallery.checks_maps


def test_influence_takes_labelled_live_rows():
    """By name an error says what is missing; of all it is recorded where it can be."""
    labelled = PROBE, np.zeros(4, int)
    with pytest.raises(InvalidInput, match=r"without live rows: influence is that of rows .* give live=\(x, y\)"):
        kx.Explain("logs", labelled, instruments="influence")
    with pytest.raises(InvalidInput, match=r"which have no labels: give Probe\(x, y\)"):
        kx.Explain("logs", PROBE, live=labelled, instruments=["influence"])
    with pytest.raises(InvalidInput, match='expected True, False or "auto"'):
        kx.ImportanceDrift("logs", labelled, live=labelled, influence="all")
    assert (
        kx.Explain("logs", labelled, drift={"live": labelled}, instruments="influence").callbacks[-1].influence is True
    )
    assert (
        not kx.Explain("logs", labelled, live=labelled, instruments="all", drift={"influence": False})
        .callbacks[-1]
        .influence
    )


@pytest.mark.parametrize(
    ("is_labelled", "has_live", "head", "reason"),
    [
        (True, True, [keras.layers.Dense(1, "sigmoid")], None),
        pytest.param(True, False, [keras.layers.Dense(1, "sigmoid")], "there are no live rows", marks=pytest.mark.full),
        (False, True, [keras.layers.Dense(1, "sigmoid")], "which have no labels"),
        (True, True, [keras.layers.Dense(1), keras.layers.BatchNormalization()], "The last layer with weights is"),
    ],
)
def test_all_refuses_no_training(is_labelled, has_live, head, reason, tmp_path):
    """Of all instruments influence is recorded where there is what it takes; else the run says what is missing."""
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    y = (x[:, 0] > 0).astype(int)
    model = keras.Sequential([keras.Input((3,)), *head])
    model.compile("sgd", "binary_crossentropy", jit_compile=False)
    probe, live = (x, y) if is_labelled else x, (x, y) if has_live else None
    watch = kx.ImportanceDrift(tmp_path, probe, live=live, gap=False, influence="auto", on_error="raise")
    model.fit(x, y, epochs=1, verbose=0, callbacks=[watch])
    run = kx.load(tmp_path)["."]
    assert bool(run.influences) == (reason is None)
    assert reason is None or any("influence" in note and reason in note for note in map(str, run.notes))


@pytest.mark.parametrize(
    ("instruments", "message"),
    [
        ("critical_steps", "There is no instrument"),
        (["x"], "There is no instrument"),
        (True, "instruments=True"),
        ([1], "instruments="),
    ],
)
def test_misuse_says_what_is_expected(instruments, message):
    """An unknown name with the nearest one; what is neither text nor a list."""
    with pytest.raises(InvalidInput, match=f"(?i){message}"):
        kx.Explain("logs", PROBE, instruments=instruments)
