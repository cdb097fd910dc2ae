"""Tables as people hold them: what a frame, a series or a dict of columns becomes, and what it is refused for."""

import keras
import numpy as np
import pandas as pd
import polars as pl
import pytest

import keras_xai as kx
from keras_xai.frames import as_arrays
from keras_xai.labels import coded, of_output
from keras_xai.probe import Probe

pytestmark = pytest.mark.oldest

N = 12
AGE = np.linspace(20, 70, N)  # float64, as frames have it
VISITS = np.arange(N) % 5
SMOKES = np.arange(N) % 2 == 0
TOWN = ["Oslo", "Bergen", "Oslo"] * (N // 3)
NUMBERS = {"age": AGE, "visits": VISITS, "smokes": SMOKES}
LIBRARIES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}


@pytest.fixture(params=LIBRARIES.values(), ids=LIBRARIES.keys())
def frame(request):
    return request.param


def test_a_frame_of_numbers_is_a_table_with_its_names(frame):
    """One array in the order of the columns."""
    probe = Probe(frame(NUMBERS))
    assert (probe.kind, probe.features) == ("table", ("age", "visits", "smokes"))
    np.testing.assert_array_equal(probe.x, np.stack([AGE, VISITS, SMOKES], 1))
    assert probe.x.flags.c_contiguous


def test_columns_of_one_dtype_keep_it(frame):
    """Integers stay integers, float32 stays float32."""
    assert Probe(frame({"a": VISITS, "b": VISITS})).x.dtype.kind == "i"
    assert Probe(frame({"a": AGE.astype("f4")})).x.dtype == np.float32


def test_a_frame_with_text_is_a_dict_of_columns(frame):
    """No single array holds both: a model takes an input a column, as FeatureSpace makes it."""
    probe = Probe(frame({**NUMBERS, "town": TOWN}))
    assert probe.features == ("age", "visits", "smokes", "town")
    assert {name: (x.shape, x.dtype.kind) for name, x in probe.x.items()} == {
        "age": ((N, 1), "f"),
        "visits": ((N, 1), "i"),
        "smokes": ((N, 1), "b"),
        "town": ((N, 1), "O"),
    }
    assert probe.x["town"].ravel().tolist() == TOWN


def test_categories_are_text_or_the_numbers_that_they_are():
    """By what they are called."""
    frame = pd.DataFrame({"town": pd.Categorical(TOWN), "visits": pd.Categorical(VISITS)})
    x = Probe(frame).x
    assert x["town"].ravel().tolist() == TOWN
    assert x["visits"].ravel().tolist() == VISITS.tolist()
    np.testing.assert_array_equal(Probe(frame[["visits"]]).x, VISITS[:, None])


def test_what_a_frame_becomes_is_what_fit_makes_of_it():
    """Number for number: the twin is Keras' own adapter, seen through a model that says what it gets."""
    x = keras.Input((3,))
    identity = keras.Model(x, keras.layers.Identity()(x))
    frame = pd.DataFrame({"a": AGE / 3, "b": VISITS, "c": pd.array(VISITS, "Int64")})
    ours = kx.attribute(identity, frame, "saliency", target=0, verbose=False).outputs
    np.testing.assert_array_equal(ours, identity.predict(frame, verbose=0))
    columns = dict(frame.astype({"c": int}))
    inputs = {name: keras.Input((1,), name=name) for name in columns}
    identity = keras.Model(inputs, keras.layers.Concatenate()(list(inputs.values())))
    ours = kx.attribute(identity, columns, "saliency", target=0, verbose=False).outputs
    np.testing.assert_array_equal(ours, identity.predict(columns, verbose=0))


def test_a_series_is_a_column_as_keras_makes_it():
    """pandas' gets an axis, arrays and others stay (B,)."""
    assert as_arrays(pd.Series(AGE)).arrays.shape == (N, 1)
    assert as_arrays(pl.Series(AGE)).arrays.shape == (N,)
    assert {k: v.shape for k, v in as_arrays(dict(pd.DataFrame(NUMBERS))).arrays.items()}["age"] == (N, 1)


def test_frames_inside_a_dict_keep_their_names(frame):
    """Beside a picture."""
    probe = Probe({"row": frame({"age": AGE, "visits": VISITS}), "scan": np.zeros((N, 8, 8, 1), "f4")})
    assert probe.features[:3] == ("row: age", "row: visits", "scan: block (0,0)")


def test_columns_that_are_only_counted_have_no_names():
    """As in a frame made of an array."""
    assert Probe(pd.DataFrame(np.zeros((3, 2)))).features == ("column 0", "column 1")


def test_baselines_and_backgrounds_may_be_frames(frame):
    """In the structure of x."""
    data = frame({"age": AGE, "visits": VISITS})
    probe = Probe(data, baseline=data[:1], background=data[:4])
    assert (probe.baseline.shape, probe.background.shape) == ((1, 2), (4, 2))


DATES = [np.datetime64("2020-01-01") + k for k in range(N)]


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (lambda: pd.DataFrame({"day": pd.to_datetime(DATES)}), r"x\['day'\].*Datetime.*numbers"),
        (lambda: pl.DataFrame({"day": np.asarray(DATES)}), r"x\['day'\].*numbers"),
        (lambda: pd.DataFrame({"span": pd.to_timedelta(range(N), "D")}), r"x\['span'\].*Duration"),
        (lambda: pd.DataFrame({"a": AGE, "b": pd.array([None, *range(N - 1)], "Int64")}), r"x\['b'\] has 1 missing"),
        (lambda: pd.DataFrame({"a": [np.nan, *AGE[1:]], "b": "x"}), r"x\['a'\] has 1 missing"),
        (lambda: pd.DataFrame({"a": [None, *TOWN[1:]]}), r"x\['a'\] has 1 missing"),
        (lambda: pl.DataFrame({"a": [None, *range(N - 1)]}), r"x\['a'\] has 1 missing"),
        (lambda: pl.DataFrame({"a": [None, *SMOKES[1:].tolist()]}), r"x\['a'\] has 1 missing"),
        (lambda: pd.DataFrame({"a": [1, "b"] * 6}), r"x\['a'\].*int and str"),
        (lambda: np.array([["a", 1.0]] * N, object), "float and str"),
        (lambda: np.asarray(DATES), "datetime64"),
        (lambda: pl.DataFrame({"a": [[1]] * N}), r"x\['a'\].*List"),
        (lambda: pl.DataFrame({"a": AGE}).lazy(), "collect"),
        (lambda: pd.DataFrame(np.zeros((3, 2)), columns=["a", "a"]), "two columns of one name"),
        (lambda: pd.DataFrame({"a": AGE})[:0], r"\(0, 1\)"),
        (lambda: {"day": pd.Series(pd.to_datetime(DATES))}, r"x\['day'\]"),
        (lambda: {"t": pd.DataFrame({"a": AGE, "b": TOWN})}, "each of its columns"),
    ],
)
def test_what_no_model_can_take_is_an_error_with_the_way_out(x, words):
    """Dates, missing values, mixed types: with the column."""
    with pytest.raises(kx.InvalidInput, match=words):
        Probe(x())


YES_NO = ["yes", "no"] * 6


@pytest.mark.parametrize(
    ("y", "codes", "names"),
    [
        (YES_NO, [1, 0], ("no", "yes")),
        (np.array(YES_NO), [1, 0], ("no", "yes")),
        ([word.encode() for word in YES_NO], [1, 0], ("no", "yes")),
        (np.array(YES_NO)[:, None], [1, 0], ("no", "yes")),
        (pd.Series(YES_NO), [1, 0], ("no", "yes")),
        (pl.Series(YES_NO), [1, 0], ("no", "yes")),
        (pd.Series(pd.Categorical(YES_NO, ["yes", "no", "unknown"])), [0, 1], ("yes", "no", "unknown")),
        (pd.Categorical(YES_NO, ["yes", "no"]), [0, 1], ("yes", "no")),
        (pl.Series(YES_NO, dtype=pl.Enum(["yes", "no"])), [0, 1], ("yes", "no")),
        (pl.Series(YES_NO, dtype=pl.Categorical), [1, 0], ("no", "yes")),
        (pd.DataFrame({"y": YES_NO}), [1, 0], ("no", "yes")),
        (pd.Series([True, False] * 6), [1, 0], None),
        (pd.Series([3, 0] * 6, dtype="Int64"), [3, 0], None),
        (np.array([3, 0] * 6, object), [3, 0], None),
        ([0.5, 2.0] * 6, [0.5, 2.0], None),
    ],
)
def test_labels_are_the_numbers_that_a_model_is_trained_with(y, codes, names):
    """Categories in their own order, strings sorted, numbers as they are."""
    found, words = coded(y)
    assert (found[:2].astype(float).tolist(), words) == ([float(code) for code in codes], names)


def test_one_hot_frames_name_their_classes():
    """A column a class."""
    probe = Probe(pd.DataFrame({"age": AGE}), pd.get_dummies(pd.Series(YES_NO)))
    assert (probe.class_names, probe.classes[:2].tolist()) == (("no", "yes"), [1, 0])


def test_class_names_say_the_order_of_strings():
    """As the model counts them; other words for the same categories are taken, too."""
    assert Probe(AGE, YES_NO, class_names=["yes", "no"]).y[:2].tolist() == [0, 1]
    assert Probe(AGE, pd.Categorical(YES_NO), class_names=["stays", "leaves"]).y[:2].tolist() == [1, 0]
    with pytest.raises(kx.InvalidInput, match="'no'"):
        Probe(AGE, YES_NO, class_names=["yes", "other"])


@pytest.mark.parametrize(
    "y",
    [
        [1, "a"] * 6,
        pd.Series([None, *YES_NO[1:]]),
        pd.Categorical([None, *YES_NO[1:]]),
        np.asarray(DATES),
        [[1], [1, 2]] * 6,
    ],
)
def test_labels_that_say_nothing_are_refused(y):
    """Mixed, missing, dates, of different lengths."""
    with pytest.raises(kx.InvalidInput, match=r"^y "):
        coded(y)


def test_the_labels_of_one_output_of_several():
    """By its name or number."""
    y = {"sick": np.zeros(N), "old": np.ones(N)}
    assert of_output(y, "old")[0] == of_output(list(y.values()), 1)[0] == 1
    assert of_output({"sick": y["sick"]}, None)[0] == 0
    with pytest.raises(kx.InvalidInput, match=r"'sick', 'old'.*output="):
        of_output(y, None)
    rows = [np.eye(2)[k % 2] for k in range(N)]  # one a sample, not one an output
    assert of_output(rows, None, N) is rows


def test_columns_of_labels_name_them():
    """One-hot, several labels a row, or numbers: the names stay with the columns."""
    for values in ([[1, 0], [0, 1]], [[1, 1], [0, 0]], [[0.5, 2.0], [1.5, 3.0]]):
        codes, names = coded(pd.DataFrame(values, columns=["cold", "flu"]))
        assert names == ("cold", "flu")
        np.testing.assert_array_equal(codes, values)
