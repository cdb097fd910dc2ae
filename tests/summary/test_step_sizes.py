"""Critical steps on the wire."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_xai.records import STEP_LIMITS, StepSizes
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.codec import step_sizes
from keras_xai.summary.json_text import json_of

MULTIPLES = st.lists(st.tuples(st.floats(*STEP_LIMITS), st.floats(allow_infinity=True)), max_size=4)


@settings(deadline=None)
@given(MULTIPLES, st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_written_is_read(pairs, missing):
    """Encoding and decoding is the identity, NaN and infinite losses among them."""
    record = StepSizes(3, tuple(m for m, _ in pairs), tuple(loss for _, loss in pairs), missing)
    ((tag, _, content),) = step_sizes.encode(record)
    read = step_sizes.decode(3, (), content)
    assert tag == "keras_xai/step_sizes"
    assert (read.epoch, read.multiples, read.missing) == (3, record.multiples, missing)
    np.testing.assert_array_equal(read.losses, record.losses)
    np.testing.assert_array_equal(read.critical, np.median(record.multiples) if pairs else np.nan)


@pytest.mark.parametrize(
    "change", [{"multiples": [-1.0]}, {"multiples": [None]}, {"multiples": [1e9]}, {"losses": []}, {"missing": 3}, None]
)
def test_what_does_not_fit_is_unreadable(change):
    """A multiple beyond the limits, another number of losses, no text, no JSON."""
    body = {"multiples": [1.0], "losses": [0.5], "missing": ""}
    content = [b"{"] if change is None else [json_of({**body, **change})]
    with pytest.raises(Unreadable):
        step_sizes.decode(0, (), content)
