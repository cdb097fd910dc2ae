"""What a probe is made of, and what it refuses."""

import numpy as np
import pytest

from keras_xai.errors import InvalidInput
from keras_xai.image import cell_grid
from keras_xai.probe import Probe
from keras_xai.probe.description import describe, probe_of
from keras_xai.probe.gallery import balanced_rows

images = np.zeros((6, 8, 8, 1), np.float32)
table = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.mark.parametrize(
    ("x", "kind"),
    [(table, "table"), (images, "image"), (np.zeros((2, 3, 8, 8), np.float32), "image"), ([table, table], "table")],
)
def test_the_kind_is_guessed_where_the_shape_leaves_no_doubt(x, kind):
    """Two axes of floats are a table, four with few channels images."""
    assert Probe(x).kind == kind


@pytest.mark.parametrize("x", [np.zeros((6, 28, 28), np.float32), np.zeros((6, 9), int), np.zeros((2, 9, 9, 7))])
def test_the_kind_is_open_where_it_does(x):
    """(B, 28, 28) may be images or series, integers columns or tokens: the model will say it."""
    probe = Probe(x)
    assert (probe.kind, "open" in repr(probe)) == ("", True)
    assert probe.of_kind("table").kind == "table"
    assert probe.of_kind("table").hash == Probe(x, kind="table").hash


def test_samples_of_six_axes_are_asked_for_their_kind():
    """No model makes them one that is known."""
    with pytest.raises(InvalidInput, match="kind="):
        Probe(np.zeros((2, 3, 4, 4, 4, 1), np.float32))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": np.array([[1.0, np.nan]])}, r"NaN.*\(0, 1\)"),
        ({"x": table, "y": [0, 1]}, r"\(2,\).*4 samples"),
        ({"x": table, "y": ["a", "b", "c", 4]}, "int and str"),
        ({"x": table, "y": {"p": [0, 1, 2, 3], "q": [0, 1, 2, 3]}}, "output="),
        ({"x": images, "feature_names": ["r", "g", "b"]}, "scored by cells"),
        ({"x": [table, table], "feature_names": ["a", "b"]}, "2 names, x has 6"),
        ({"x": {"a": table[:, 0], "b": table[:, 1]}, "feature_names": ["a"]}, "1 names, x has 2"),
        ({"x": [table, table], "groups": {"g": [0]}}, "one table, x has 2 inputs"),
        ({"x": np.zeros((6, 28, 28)), "feature_names": ["a", "b"]}, "2 names"),
        ({"x": table, "y": [0, 1, 2, 3], "class_names": ["a", "b"]}, "class 3, class_names has 2"),
        ({"x": table, "feature_names": ["a", "b"]}, "2 names, x has 3"),
        ({"x": table, "feature_names": ["a", "b", "a"]}, "more than once: 'a'"),
        ({"x": table, "feature_names": ["age", "b", "c"], "groups": {"g": ["aeg"]}}, "Did you mean 'age'"),
        ({"x": table, "groups": {"g": [0], "h": [0]}}, "more than one group"),
        ({"x": table, "target": [0, 1]}, r"\(2,\)"),
        ({"x": table, "store": "some"}, "'inputs' or 'none'"),
        ({"x": table, "kind": "tabel"}, "Did you mean 'table'"),
        ({"x": [table, table[:2]]}, "differ in their number"),
        ({"x": np.zeros((0, 3))}, r"\(0, 3\)"),
        ({"x": images, "groups": np.zeros((4, 4), int)}, r"\(4, 4\).*\(8, 8\)"),
    ],
)
def test_bad_input_is_an_error_that_names_it(arguments, words):
    """What came, what is expected, with name and shape."""
    with pytest.raises(InvalidInput, match=words):
        Probe(**arguments)


def test_a_tuple_is_a_probe():
    """(x, y) is accepted wherever a probe is."""
    probe = Probe.of((table, [0, 1, 0, 1]))
    assert probe.y.tolist() == [0, 1, 0, 1]
    assert Probe.of(probe) is probe


def test_one_hot_labels_are_classes():
    """Floats with a single one a row."""
    assert Probe(table, np.eye(4)).classes.tolist() == [0, 1, 2, 3]
    assert Probe(table, np.full((4, 2), 0.5)).classes is None


def test_images_are_pooled_to_at_most_sixteen_cells_a_side():
    """Each cell is the sum of its pixels; the rest at the border counts."""
    pixels = np.random.default_rng(0).random((2, 33, 20, 3)).astype(np.float32)
    probe = Probe(pixels)
    assert cell_grid(probe.image_shape) == (3, (11, 7))
    pooled = probe.pooled(pixels).reshape(2, 11, 7)
    assert pooled[1, 10, 6] == pytest.approx(pixels[1, 30:33, 18:20].sum(), rel=1e-6)
    assert pooled.sum() == pytest.approx(pixels.sum(), rel=1e-6)
    assert probe.features[7] == "block (1,0)"


def test_channels_first_images_pool_alike():
    """The same pixels, the same cells."""
    pixels = np.random.default_rng(0).random((2, 9, 9, 3)).astype(np.float32)
    np.testing.assert_allclose(
        Probe(pixels).pooled(pixels),
        Probe(pixels.transpose(0, 3, 1, 2)).pooled(pixels.transpose(0, 3, 1, 2)),
        rtol=1e-6,
    )


def test_groups_are_summed_and_the_rest_stands_for_itself():
    """One-hot columns count as one feature."""
    probe = Probe(table, feature_names=["red", "green", "age"], groups={"colour": ["red", "green"]})
    assert probe.features == ("colour", "age")
    np.testing.assert_array_equal(probe.pooled(table), np.stack([table[:, 0] + table[:, 1], table[:, 2]], 1))


def test_a_segment_map_pools_an_image():
    """One feature a segment."""
    segments = np.zeros((8, 8), int)
    segments[:2, :2] = 5
    probe = Probe(np.ones((2, 8, 8, 1), np.float32), groups=segments)
    assert probe.features == ("segment 0", "segment 5")
    assert probe.pooled(probe.x).tolist() == [[60, 4], [60, 4]]


def test_the_gallery_takes_the_first_rows_of_each_class_and_the_rest_from_the_largest():
    """Class-balanced, in row order within a class."""
    y = [0, 0, 0, 1, 1, 2]
    probe = Probe(np.zeros((6, 2), np.float32), y)
    assert balanced_rows(probe.classes, 6, 3).tolist() == [0, 3, 5]
    assert balanced_rows(probe.classes, 6, 4).tolist() == [0, 1, 3, 5]
    assert balanced_rows(probe.classes, 6, 5).tolist() == [0, 1, 3, 4, 5]
    assert sorted(balanced_rows(probe.classes, 6, 99)) == list(range(6))
    assert probe.gallery(4).y.tolist() == [0, 0, 1, 2]


def test_the_hash_follows_what_the_explanations_depend_on():
    """Another value, label or name is another probe; the same again is the same."""
    assert Probe(table).hash == Probe(table.copy()).hash
    assert (
        len(
            {
                Probe(table).hash,
                Probe(table + 1).hash,
                Probe(table, [0, 1, 2, 3]).hash,
                Probe(table, feature_names=list("abc")).hash,
            }
        )
        == 4
    )


def test_a_data_set_of_batches_makes_a_probe():
    """The first rows of (x, y) batches, as many as asked."""
    batches = [(table, np.array([0, 1, 2, 3]))] * 3
    probe = Probe.from_dataset(iter(batches), 6)
    assert (probe.size, probe.y.tolist()) == (6, [0, 1, 2, 3, 0, 1])
    with pytest.raises(InvalidInput, match="no batch"):
        Probe.from_dataset(iter([]), 6)
    with pytest.raises(InvalidInput, match="map the data set"):
        Probe.from_dataset(iter([table]), 6)


@pytest.mark.parametrize(
    ("shape", "how"),
    [
        ((20, 18, 3), {}),
        ((3, 20, 18), {}),
        ((9, 40), {"kind": "image"}),
        ((5, 9, 20, 2), {}),
        ((2, 5, 6, 7), {}),
        ((3, 4, 5, 1), {"groups": np.arange(60).reshape(3, 4, 5) % 7}),
        ((6, 5, 1), {"groups": np.arange(30).reshape(6, 5) % 4 * 10 - 7}),
        ((6, 5), {"kind": "series"}),
        ((7,), {"groups": {"hot": [5, 1, 2]}}),
        ((7,), {}),
    ],
)
def test_every_entry_belongs_to_one_feature(shape, how):
    """What permutation importance shuffles together: each entry in exactly one feature, the one it is pooled into."""
    x = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    probe = Probe(x, **how)
    (parts,) = probe.feature_map.parts()
    assert parts.shape == shape
    masks = parts == np.arange(len(probe.features)).reshape(-1, *[1] * len(shape))
    assert masks.any(tuple(range(1, 1 + len(shape)))).all()
    entries = tuple(range(2, 2 + len(shape)))
    np.testing.assert_allclose(probe.pooled(x), np.where(masks, x[:, None], 0).sum(entries), rtol=1e-5)


@pytest.mark.parametrize(
    "probe",
    [
        Probe(np.zeros((2, 3), "f4")),
        Probe(np.zeros((2, 3), "f4"), groups={"a": [0, 2]}),
        Probe(np.zeros((2, 40, 30, 3), "f4")),
        Probe(np.zeros((2, 4, 6), "f4"), kind="image", groups=np.arange(24).reshape(4, 6) // 5),
        Probe(np.zeros((2, 9, 17, 30, 3), "f4")),
        Probe(np.zeros((2, 7, 2), "f4"), kind="series"),
        Probe(np.zeros((2, 7, 2), "f4"), kind="series", feature_names=["x", "y"]),
        Probe(np.zeros((2, 5), int), kind="tokens"),
        Probe({"row": np.zeros((2, 3), "f4"), "other": np.zeros((2, 2), "f4")}),
    ],
    ids=repr,
)
def test_features_are_counted_without_their_names(probe):
    """As many as there are names."""
    assert probe.feature_count == len(probe.features)


columns = {"age": table[:, 0], "dose": table[:, 1:2], "town": np.array(["a", "b", "a", "c"], object)}


def test_columns_by_name_are_one_table():
    """Named by their keys, pooled into one row a sample."""
    probe = Probe(columns)
    assert (probe.kind, probe.features, probe.feature_count) == ("table", ("age", "dose", "town"), 3)
    values = {"age": table[:, 2], "dose": -table[:, :1], "town": table[:, 1]}
    np.testing.assert_array_equal(probe.pooled(values, np.abs), table[:, [2, 0, 1]])
    assert Probe(list(columns.values())).features == ("column 0", "column 1", "column 2")
    assert Probe(columns, feature_names=["a", "b", "c"]).features == ("a", "b", "c")


def test_columns_by_name_are_grouped_like_a_table():
    """The twin: one array."""
    groups = {"both": ["age", "dose"]}
    probe = Probe({name: columns[name] for name in ("age", "dose")}, groups=groups)
    twin = Probe(table[:, :2], feature_names=["age", "dose"], groups=groups)
    assert probe.features == twin.features == ("both",)
    np.testing.assert_array_equal(probe.pooled(probe.x), twin.pooled(twin.x))
    assert [part.tolist() for part in probe.feature_map.parts()] == [0, [0]]


def test_names_of_several_inputs_are_one_for_each_or_those_of_one():
    """None is left out in silence."""
    row, scan = np.zeros((6, 2), np.float32), images
    assert Probe([row, row], feature_names=list("abcd")).features == ("0: a", "0: b", "1: c", "1: d")
    assert Probe({"row": row, "scan": scan}, feature_names=["a", "b"]).features[:3] == (
        "row: a",
        "row: b",
        "scan: block (0,0)",
    )
    assert Probe([row, np.zeros((6, 3))], feature_names=["a", "b"]).features == (
        "0: a",
        "0: b",
        "1: column 0",
        "1: column 1",
        "1: column 2",
    )


@pytest.mark.parametrize("order", [["row", "scan"], ["scan", "row"]])
def test_a_table_beside_a_picture_is_pooled_by_columns_and_the_picture_by_cells(order):
    """Whichever comes first."""
    x = {"row": table, "scan": np.random.default_rng(0).random((4, 33, 20, 3)).astype(np.float32)}
    probe = Probe({name: x[name] for name in order})
    pooled = dict(zip(probe.features, probe.pooled(probe.x).T, strict=True))
    assert len(pooled) == probe.feature_count == 3 + 11 * 7
    np.testing.assert_array_equal(pooled["row: column 1"], table[:, 1])
    assert pooled["scan: block (10,6)"][1] == pytest.approx(x["scan"][1, 30:, 18:].sum(), rel=1e-6)
    first, second = probe.feature_map.parts()
    assert [first.min(), first.max() + 1, second.max() + 1] == [0, second.min(), probe.feature_count]


@pytest.mark.parametrize(
    ("batch", "keys"),
    [
        (({"a": table[:, 0], "b": table[:, 1]}, [0, 1, 2, 3]), ("a", "b")),
        (((table, table), np.array([0, 1, 2, 3])), None),
        ((table, {"p": np.array([0, 1, 2, 3]), "q": np.zeros(4)}), None),
        ((table, np.array(["a", "b", "c", "d"])), None),
    ],
)
def test_a_data_set_gives_what_fit_takes_from_it(batch, keys):
    """Dicts and tuples of inputs, labels by output, strings."""
    probe = Probe.from_dataset([batch, batch], 6, output="p" if isinstance(batch[1], dict) else None)
    assert (probe.size, probe.y.tolist(), probe.keys) == (6, [0, 1, 2, 3, 0, 1], keys)


def test_single_samples_are_stacked_and_what_is_no_batch_is_told():
    """A set that is not batched."""
    probe = Probe.from_dataset(iter([(row, k) for k, row in enumerate(table)]), 3)
    assert (probe.x.tolist(), probe.y.tolist()) == (table[:3].tolist(), [0, 1, 2])
    probe = Probe.from_dataset(iter([({"a": row[0], "b": row[1]}, k) for k, row in enumerate(table)]), 3)
    assert (probe.features, probe.x["a"].shape) == (("a", "b"), (3,))
    with pytest.raises(InvalidInput, match="make batches"):
        Probe.from_dataset(iter([(table[0], np.eye(2)[0])]))


TOKENS = np.array([[1, 2, 2, 0], [3, 2, 1, 0]])


def test_tokens_are_scored_by_word():
    """What stands for one word is added up wherever it stands; a word of other rows that the probe has not is "other"."""
    probe = Probe(TOKENS, kind="tokens", vocabulary=["", "bad", "dull", "fine", "rare"])
    assert probe.features == ("(token 0)", "bad", "dull", "fine", "rare", "other")
    assert probe.feature_count == len(probe.features)
    values = np.array([[1.0, 2, 3, 4], [-5, 6, 7, 8]])
    assert probe.pooled(values).tolist() == [[4, 1, 5, 0, 0, 0], [8, 7, 6, -5, 0, 0]]
    assert probe.pooled(values, np.abs).tolist() == [[4, 1, 5, 0, 0, 0], [8, 7, 6, 5, 0, 0]]
    elsewhere = np.array([[9, 9, 1, 0]])
    assert probe.pooled(values[:1], samples=[elsewhere]).tolist() == [[4, 3, 0, 0, 0, 3]]


def test_tokens_by_position_are_asked_for():
    """groups="position", or names for the positions; without a vocabulary words are numbers; of a large one those in use."""
    assert Probe(TOKENS, kind="tokens", groups="position").features == tuple(f"position {k}" for k in range(4))
    assert Probe(TOKENS, kind="tokens", feature_names=list("abcd")).features == tuple("abcd")
    assert Probe(TOKENS, kind="tokens").features == ("token 0", "token 1", "token 2", "token 3", "other")
    many = [f"word {k}" for k in range(10_000)]
    assert Probe(TOKENS, kind="tokens", vocabulary=many).features == ("word 0", "word 1", "word 2", "word 3", "other")
    twice = Probe(TOKENS, kind="tokens", vocabulary={1: "bank", 2: "bank", 3: "other"})
    assert twice.features == ("token 0", "bank (token 1)", "bank (token 2)", "other (token 3)", "other")


def test_a_probe_does_not_change():
    """It can be shared: another one is made instead."""
    probe = Probe(table)
    with pytest.raises(AttributeError, match="make another one with another x"):
        probe.x = table + 1
    with pytest.raises(AttributeError, match="colour"):
        probe.colour = "red"


def born(**fields):
    """A probe in each way that one is made, with some fields changed behind the checks of its arguments."""
    probe = Probe(table, [0, 1, 0, 1], class_names=["a", "b"])
    yield lambda: probe._with(**fields)
    yield lambda: probe.gallery(4)._with(**fields)
    described = describe(probe)
    names = {"y": "labels", "decided_classes": "classes"}
    changed = {
        names.get(name, name): getattr(value, "tolist", lambda value=value: value)() for name, value in fields.items()
    }
    x = changed.pop("x", None)
    yield lambda: probe_of(described | changed, table if x is None else np.asarray(x), probe.feature_names)


@pytest.mark.parametrize("way", range(3))
@pytest.mark.parametrize(
    "fields",
    [
        {"x": table[:3]},
        {"y": np.array([0, 1])},
        {"y": np.array([0, 1, 0, 5])},
        {"decided_classes": np.array([9, 0, 0, 0])},
    ],
    ids=["rows", "labels", "class", "decided"],
)
def test_what_does_not_go_together_is_refused_however_a_probe_is_made(fields, way):
    """By a constructor, from another probe, or read back."""
    with pytest.raises(InvalidInput):
        list(born(**fields))[way]()
