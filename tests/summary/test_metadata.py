"""Records to bytes and back."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_xai.summary.metadata import Unreadable, decode_epoch, pack, unpack

floats = st.floats(width=32, allow_nan=True, allow_infinity=True)


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=5), elements=floats))
def test_a_float_map_survives_the_wire_bit_for_bit(array):
    """Decoding undoes encoding, NaN and infinities included."""
    np.testing.assert_array_equal(unpack(pack(array)), array)


@given(hnp.arrays(np.float32, (3, 4), elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False)))
def test_eight_bits_are_off_by_half_a_step_at_most(array):
    """uint8 between a map's own minimum and maximum: the error is at most half of 1/255 of the range."""
    error = np.abs(unpack(pack(array, eight_bits=True)).astype(np.float64) - array)
    span = float(array.max()) - float(array.min())
    assert error.max() <= span / 255 * 0.501 + np.abs(array).max() * 1e-6


def test_integers_stay_integers():
    """Token ids are not rounded through floats."""
    ids = np.array([[2**30, 0], [7, -1]])
    assert unpack(pack(ids)).tolist() == ids.tolist()


@settings(max_examples=200)
@given(st.binary(max_size=80), st.integers(0, 60), st.integers(0, 255))
def test_damaged_bytes_are_unreadable_and_nothing_worse(noise, at, byte):
    """A flipped byte gives an array or `Unreadable`, never another error, and never more memory than is there."""
    blob = bytearray(pack(np.arange(12, dtype=np.float32).reshape(3, 4)))
    blob[min(at, len(blob) - 1)] = byte
    for damaged in (bytes(blob), bytes(blob[:at]), noise):
        with contextlib.suppress(Unreadable):
            assert unpack(damaged).nbytes < 10_000


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"wall_time": "x"}'])
def test_a_damaged_epoch_is_unreadable(body):
    """JSON that is not an epoch of ours is passed over by the reader."""
    with pytest.raises(Unreadable):
        decode_epoch(0, [body])
