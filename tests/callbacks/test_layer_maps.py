"""Maps at a layer's own resolution, from `fit` to the figure."""

import keras
import numpy as np

import keras_xai as kx

layers = keras.layers


def test_a_map_of_a_layers_steps_is_one_lane_over_the_series(tmp_path):
    """A Conv1D's (B, t): written, read back, and drawn over as many steps as the series has."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(8, 24, 2)).astype(np.float32)
    parts = [layers.Conv1D(3, 3, activation="relu"), layers.MaxPooling1D(2, name="pooled"), layers.Flatten()]
    model = keras.Sequential([keras.Input((24, 2)), *parts, layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    callback = kx.ProbeAttributions(tmp_path, kx.Probe(x, np.arange(8) % 2), "hires_cam", samples=4)
    model.fit(x, np.arange(8) % 2, verbose=0, callbacks=[callback])
    run = kx.load(tmp_path)["."]
    (record,) = run.attributions("hires_cam")
    assert (record.kind, record.values.shape) == ("series", (4, 11))
    expected = kx.attribute(model, callback.gallery, "hires_cam")
    np.testing.assert_allclose(record.values, expected.values, rtol=1e-5, atol=1e-6)
    lane = run.figure("probe_attributions", method="hires_cam").data[0]
    assert (lane.type, len(lane.x)) == ("heatmap", 11)
    width = 24 / 11
    np.testing.assert_allclose([lane.x[0] - width / 2, lane.x[-1] + width / 2], [-0.5, 23.5])


def test_units_of_a_layer_are_written_by_place(tmp_path):
    """A convolution's as (B, h, w), a dense layer's as (B, units) under their numbers; the title names the layer."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(8, 8, 8, 1)).astype(np.float32)
    parts = [layers.Conv2D(3, 3, activation="tanh", name="conv"), layers.Flatten()]
    hidden = layers.Dense(5, activation="tanh", name="hidden")
    model = keras.Sequential([keras.Input((8, 8, 1)), *parts, hidden, layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    methods = {"integrated_gradients": {"layer": "conv"}, "input_x_gradient": {"layer": "hidden"}}
    callback = kx.ProbeAttributions(tmp_path, kx.Probe(x, np.arange(8) % 2), methods, samples=4)
    model.fit(x, np.arange(8) % 2, verbose=0, callbacks=[callback])
    run = kx.load(tmp_path)["."]
    (record,) = run.attributions("integrated_gradients")
    expected = kx.attribute(model, callback.gallery, "integrated_gradients", layer="conv", n_steps=8).values.sum(-1)
    assert (record.layer, record.values.shape) == ("conv", (4, 6, 6))
    np.testing.assert_allclose(record.values, expected, atol=0.02 * np.abs(expected).max())  # 8 bits
    (record,) = run.attributions("input_x_gradient")
    assert (record.layer, record.values.shape) == ("hidden", (4, 5))
    assert run.method_title("integrated_gradients") == "Conductance of conv"
    bars = run.figure("probe_attributions", method="input_x_gradient", samples=1)
    assert "unit" in bars.layout.yaxis.ticktext[0]
    names, values = kx.importance(model, callback.gallery, "input_x_gradient", layer="hidden")
    assert names == [f"unit {k}" for k in range(5)]
    np.testing.assert_allclose(values, np.abs(record.values).mean(0), rtol=1e-4)
