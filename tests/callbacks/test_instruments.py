"""The instruments that `Explain` turns on by name."""

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.instruments import INSTRUMENTS
from keras_xai.errors import InvalidInput

PROBE = np.zeros((4, 3), np.float32)


pytestmark = pytest.mark.filterwarnings("ignore:The probe has")


def option(name, **arguments):
    """The value that a part of `Explain` got of an instrument's option."""
    part, options = INSTRUMENTS[name]
    (wanted,) = options
    classes = {"gradients": kx.WeightGradients, "attributions": kx.ProbeAttributions, "mappings": kx.ProbeMappings}
    watch = kx.Explain("logs", PROBE, **arguments)
    return next(getattr(c, wanted) for c in watch.callbacks if isinstance(c, classes.get(part, kx.ImportanceDrift)))


def test_they_are_off_unless_named():
    """By name, in a list, all; an option of the part itself overrides them."""
    assert not option("critical_step")
    for instruments in ("all", "critical_step", ["critical_step"], tuple(INSTRUMENTS)):
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
