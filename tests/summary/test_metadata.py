"""Records to bytes and back."""

import contextlib
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorboard.compat.proto import tensor_pb2, types_pb2

from keras_xai.summary.arrays import pack, unpack, unpacked
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.codec import epoch as epoch_codec
from keras_xai.summary.metadata import content_of

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
        epoch_codec.decode(0, (), [body])


FLOATS = np.arange(6, dtype=np.float32).reshape(2, 3)


def tensor(**fields):
    made = tensor_pb2.TensorProto(dtype=fields.pop("dtype", types_pb2.DT_FLOAT))
    for side in fields.pop("shape", ()):
        made.tensor_shape.dim.add(size=side)
    for name, content in fields.items():
        if isinstance(content, bytes):
            setattr(made, name, content)
        else:
            getattr(made, name).extend(content)
    return made


def test_a_tensor_is_read_in_each_way_it_can_be_written():
    """Bytes, numbers one by one, strings; an array without numbers."""
    for made in (
        tensor(shape=(2, 3), tensor_content=FLOATS.tobytes()),
        tensor(shape=(2, 3), float_val=FLOATS.ravel().tolist()),
    ):
        np.testing.assert_array_equal(content_of(made), FLOATS)
        assert content_of(made).flags.writeable
    assert content_of(tensor(dtype=types_pb2.DT_STRING, shape=(2,), string_val=[b"a", b""])) == [b"a", b""]
    assert content_of(tensor(shape=(0, 77))).shape == (0, 77)


@pytest.mark.parametrize(
    "made",
    [
        tensor(shape=(2**29,), float_val=[1.0]),
        tensor(shape=(2**36,), float_val=[1.0]),
        tensor(shape=(3,), float_val=[1.0, 2.0]),
        tensor(shape=(3,), tensor_content=bytes(8)),
        tensor(shape=(2,), tensor_content=bytes(7)),
        tensor(shape=(3,)),
        tensor(shape=(-1, -3), float_val=[1.0, 2.0, 3.0]),
        tensor(shape=(0, 2**40)),
        tensor(shape=(0, 2**31, 2**31)),
        tensor(shape=(1,) * 40, float_val=[1.0]),
        tensor(dtype=types_pb2.DT_STRING, shape=(2**30,), string_val=[b"x"]),
        tensor(dtype=types_pb2.DT_DOUBLE, shape=(1,), double_val=[1.0]),
        tensor(dtype=types_pb2.DT_HALF, shape=(2**30,), half_val=[1]),
        tensor(dtype=99, shape=(1,)),
    ],
    ids=lambda made: f"{made.dtype} {[dim.size for dim in made.tensor_shape.dim][:3]}",
)
def test_a_tensor_is_no_larger_than_its_values(made):
    """A shape that they do not fill is not filled up."""
    with pytest.raises(Unreadable):
        content_of(made)


def test_the_maps_of_one_record_share_what_may_be_made():
    """Each of them small, together more than so few bytes may ask for: nothing is inflated."""
    zeros = pack(np.zeros((1 << 13, 1 << 11), np.float32))  # 64 MiB in 64 KiB
    assert len(zeros) < 400_000
    assert unpacked([zeros])[0].nbytes == 1 << 26
    tracemalloc.start()
    with pytest.raises(Unreadable, match="ask for 335,544,320: a record is made into 256 MiB at most"):
        unpacked([zeros] * 5)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    dense = pack(np.random.default_rng(0).random((1 << 10, 1 << 10)).astype(np.float32))
    assert len(unpacked([dense] * 3)) == 3


def test_what_a_head_says_is_what_is_inflated():
    """More or fewer bytes behind it are unreadable, and no more than it says is made of them."""
    bomb = zlib.compress(bytes(1 << 24), 9)
    for shape in ((4,), (1 << 23,)):
        blob = struct.pack("<4sBBxxff", b"KXA1", 0, 1, 0, 0) + struct.pack("<I", *shape) + bomb
        with pytest.raises(Unreadable, match=f"expected {4 * shape[0]} bytes"):
            unpack(blob)
