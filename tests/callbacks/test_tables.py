"""Trainings on tables as people have them, from `fit` to the tile: one order, one scale, one name a column."""

import importlib
import warnings

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.analysis.attributions import arrays_of
from keras_xai.plugin import payload
from keras_xai.probe.gallery import balanced_rows

R = np.random.default_rng(0)
N = 128
COLUMNS = {"dose": R.normal(size=N), "age": R.normal(size=N).astype(np.float32), "visits": np.arange(N) % 3}
TOWN = np.array(["Oslo", "Bergen"] * (N // 2), object)
Y = (COLUMNS["dose"] > 0).astype(np.int64)
TABLE = np.stack(list(COLUMNS.values()), 1)


def one_input():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy")
    return model


def by_columns(*more):
    keras.utils.set_random_seed(0)
    inputs = {name: keras.Input((1,), name=name) for name in COLUMNS}
    parts = list(inputs.values())
    for name in more:
        inputs[name] = keras.Input((1,), name=name, dtype="string")
        parts.append(keras.layers.StringLookup(vocabulary=["Oslo", "Bergen"], output_mode="one_hot")(inputs[name]))
    out = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Concatenate()(parts))
    model = keras.Model(inputs, out)
    model.compile("adam", "binary_crossentropy")
    return model


def of_features():
    """FeatureSpace: its inputs are the columns."""
    space = keras.utils.FeatureSpace(
        {"dose": "float_normalized", "visits": "integer_categorical", "town": "string_categorical"},
        output_mode="concat",
    )
    import tensorflow as tf

    space.adapt(tf.data.Dataset.from_tensor_slices({**COLUMNS, "town": TOWN}))
    out = keras.layers.Dense(1, activation="sigmoid")(space.get_encoded_features())
    model = keras.Model(space.get_inputs(), out)
    model.compile("adam", "binary_crossentropy")
    return model


def batches(x, y=Y):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((x, y)).batch(16)


def frame(library, **more):
    return importlib.import_module(library).DataFrame({**COLUMNS, **more})


CASES = {
    "columns (B,)": (by_columns, lambda: COLUMNS, lambda: (COLUMNS, Y), lambda: (COLUMNS, Y)),
    "a data set of them": (
        by_columns,
        lambda: COLUMNS,
        lambda: kx.Probe.from_dataset(batches(COLUMNS), N),
        lambda: batches({name: x[:, None] for name, x in COLUMNS.items()}),
    ),
    "a frame": (one_input, lambda: frame("pandas"), lambda: (frame("pandas"), Y), lambda: (frame("pandas"), Y)),
    "a frame of polars": (
        one_input,
        lambda: frame("polars"),
        lambda: (frame("polars"), Y),
        lambda: lambda: (frame("polars"), Y),
    ),
    "a frame by columns": (
        by_columns,
        lambda: dict(frame("pandas")),
        lambda: (frame("pandas"), Y),
        lambda: (dict(frame("pandas")), Y),
    ),
    "text": (
        lambda: by_columns("town"),
        lambda: {**COLUMNS, "town": TOWN},
        lambda: (frame("pandas", town=TOWN), Y),
        lambda: batches({**COLUMNS, "town": TOWN}),
    ),
    "FeatureSpace": (
        of_features,
        lambda: {name: column for name, column in {**COLUMNS, "town": TOWN}.items() if name != "age"},
        lambda: (frame("polars", town=TOWN.tolist()), Y),
        lambda: (frame("polars", town=TOWN.tolist()), Y),
    ),
}


NEED_TENSORFLOW = ("text", "FeatureSpace", "a data set of them")


@pytest.mark.parametrize(
    ("model", "x", "probe", "live"),
    [
        pytest.param(*case, id=name, marks=[pytest.mark.tensorflow] if name in NEED_TENSORFLOW else [])
        for name, case in CASES.items()
    ],
)
def test_a_table_is_watched_as_fit_takes_it(tmp_path, model, x, probe, live):
    """Names in one order in the probe, the shares, the alarms' rows and the tile; nothing stops, nothing is lost."""
    model, probe = model(), kx.Probe.of(probe())
    expected = tuple(
        name for name in probe.features if name in {i.name for i in model.inputs} or len(model.inputs) == 1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "No gradient (leads|reaches)")  # to text and to integers that are looked up
        warnings.filterwarnings("ignore", "keras_xai's callbacks|The structure of `inputs`|.*took")
        model.fit(x(), Y, epochs=2, verbose=0, callbacks=[kx.Explain(tmp_path, probe, live=live(), mappings=True)])
    run = kx.load(tmp_path)["."]
    assert run.importance.names == run.importance_live.names == run.probe.features == expected
    np.testing.assert_allclose(run.importance.share.sum(1), 1, rtol=1e-6)
    assert not [note for note in run.notes if note.stopped]

    found = run.attributions("saliency")[-1]
    (tile,) = arrays_of(found)
    assert tile.shape == (run.probe.size, len(expected))
    if isinstance(found.values, dict):
        assert tuple(found.values) == expected
        np.testing.assert_array_equal(tile, np.stack([v.reshape(-1) for v in found.values.values()], 1))
    assert len(payload.probe(run.probe)["inputs"]) == 1
    bars = run.figure("probe_attributions").data[0]
    assert {text.split("<br>")[0] for text in bars.hovertext} == set(expected)


@pytest.mark.tensorflow
def test_text_is_kept_with_the_gallery(tmp_path):
    """As words for the tile and as what it was for whoever reads the run; not with store="none"."""
    x = {**COLUMNS, "town": TOWN}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for store in ("inputs", "none"):
            watch = kx.ProbeAttributions(tmp_path / store, kx.Probe(x, Y, store=store), "occlusion", samples=4)
            by_columns("town").fit(x, Y, epochs=1, verbose=0, callbacks=[watch])
    probe = kx.load(tmp_path / "inputs")["."].probe
    rows = balanced_rows(kx.Probe(x, Y).classes, len(Y), 4)
    assert probe.x["town"].tolist() == TOWN[rows].tolist()
    assert b'"categories":[[null,null,null,["Bergen","Oslo"]]]' in payload.inputs(probe)
    hidden = kx.load(tmp_path / "none")["."].probe
    assert (hidden.x, hidden.features) == (None, ("dose", "age", "visits", "town"))


def test_names_of_classes_come_from_the_labels(tmp_path):
    """Strings in the probe and in the live rows are counted alike; the alerts and the tab say them."""
    words = np.where(Y, "sick", "healthy")
    watch = kx.Explain(tmp_path, (TABLE, words), live=(TABLE, words))
    one_input().fit(TABLE, Y, epochs=2, verbose=0, callbacks=[watch])
    run = kx.load(tmp_path)["."]
    assert run.probe.class_names == ("healthy", "sick")
    assert run.probe.y.tolist() == Y[balanced_rows(kx.Probe(TABLE, Y).classes, len(Y), 16)].tolist()
    strange = kx.ImportanceDrift(tmp_path / "b", (TABLE, words), live=(TABLE, np.where(Y, "sick", "well")))
    with pytest.raises(kx.InvalidInput, match="'well'"):
        one_input().fit(TABLE, Y, verbose=0, callbacks=[strange])


def test_live_frames_have_the_columns_of_the_probe(tmp_path):
    """In its order: another one would be other features under the same names."""
    table = frame("pandas")
    turned = table[["visits", "dose", "age"]]
    watch = kx.ImportanceDrift(tmp_path, (table, Y), live=(turned, Y))
    with pytest.raises(kx.InvalidInput, match="the same order"):
        one_input().fit(table, Y, verbose=0, callbacks=[watch])
    watch = kx.ImportanceDrift(tmp_path, (COLUMNS, Y), live=({"dose": COLUMNS["dose"]}, Y))
    with pytest.raises(kx.InvalidInput, match="live gives the inputs 'dose'"):
        by_columns().fit(COLUMNS, Y, verbose=0, callbacks=[watch])


SERIES = R.normal(size=(N, 6, 2)).astype(np.float32)


def test_the_model_of_the_fit_says_the_kind(tmp_path):
    """For the probe, the live rows and the records; another fit of the same callback may say another one."""
    watch = kx.Explain(tmp_path / "a", (SERIES, Y), live=(SERIES, Y), mappings=True)
    model = keras.Sequential([keras.layers.LSTM(2), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy")
    model.fit(SERIES, Y, epochs=1, verbose=0, callbacks=[watch])
    run = kx.load(tmp_path / "a")["."]
    assert run.probe.kind == run.attributions("saliency")[0].kind == "series"
    assert run.importance.names == run.importance_live.names == ("channel 0", "channel 1")


def test_where_the_model_leaves_a_doubt_fit_says_so_before_its_first_step(tmp_path):
    """And no step is made."""
    model = keras.Sequential([keras.Input((6, 2)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    before = [w.copy() for w in model.get_weights()]
    with pytest.raises(kx.InvalidInput, match="kind="):
        model.fit(SERIES, Y, verbose=0, callbacks=[kx.ProbeAttributions(tmp_path, (SERIES, Y))])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_table_beside_a_picture(tmp_path):
    """Its columns by name, whichever comes first; the figure shows the picture."""
    x = {"row": TABLE.astype(np.float32), "scan": R.random((N, 8, 8, 1)).astype(np.float32)}
    inputs = {name: keras.Input(a.shape[1:], name=name) for name, a in x.items()}
    seen = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(inputs["scan"]))
    out = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Concatenate()([inputs["row"], seen]))
    model = keras.Model(inputs, out)
    model.compile("adam", "binary_crossentropy")
    probe = kx.Probe(x, Y, feature_names=list(COLUMNS))
    model.fit(x, Y, epochs=1, verbose=0, callbacks=[kx.Explain(tmp_path, probe, live=(x, Y))])
    run = kx.load(tmp_path)["."]
    assert run.importance.names[:4] == ("row: dose", "row: age", "row: visits", "scan: block (0,0)")
    assert run.probe.features == run.importance.names
    assert run.figure("probe_attributions").data[0].type == "heatmap"
    assert b'"columns":[["dose","age","visits"],[]]' in payload.inputs(run.probe)


def test_groups_of_columns_and_two_tables_with_the_same_columns_are_read_back(tmp_path):
    """What is written is what was watched."""
    probe = kx.Probe(COLUMNS, Y, groups={"taken": ["dose", "visits"]})
    by_columns().fit(COLUMNS, Y, epochs=1, verbose=0, callbacks=[kx.Explain(tmp_path / "a", probe, live=(COLUMNS, Y))])
    run = kx.load(tmp_path / "a")["."]
    assert run.probe.features == run.importance.names == run.importance_live.names == ("taken", "age")
    assert run.probe.groups == {"taken": [0, 2], "age": [1]}
    table = frame("pandas")
    inputs = {name: keras.Input((3,), name=name) for name in ("before", "after")}
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Add()(list(inputs.values()))))
    model.compile("adam", "mse")
    x = {"before": table, "after": table}
    model.fit(x, Y, epochs=1, verbose=0, callbacks=[kx.Explain(tmp_path / "b", (x, Y), live=(x, Y))])
    run = kx.load(tmp_path / "b")["."]
    assert run.probe.features == run.importance.names
    assert run.probe.features[::3] == ("before: dose", "after: dose")


@pytest.mark.tensorflow
def test_what_no_gradient_leads_to_is_not_zero_in_the_record(tmp_path):
    """NaN, and "not measured" in the notebook; methods without gradients measure it."""
    x = {**COLUMNS, "town": TOWN}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        watch = kx.ProbeAttributions(tmp_path, kx.Probe(x, Y), ["integrated_gradients", "occlusion"], samples=4)
        by_columns("town").fit(batches(x), epochs=1, verbose=0, callbacks=[watch])
    run = kx.load(tmp_path)["."]
    by_gradient, by_occlusion = (run.attributions(name)[0].values for name in ("integrated_gradients", "occlusion"))
    assert np.isnan(by_gradient["town"]).all()
    assert np.isfinite(by_gradient["dose"]).all()
    assert np.isfinite(by_occlusion["town"]).all()
    bars = run.figure("probe_attributions", method="integrated_gradients").data[0]
    assert (
        dict(zip([text.split("<br>")[0] for text in bars.hovertext], bars.text, strict=True))["town"] == "not measured"
    )
