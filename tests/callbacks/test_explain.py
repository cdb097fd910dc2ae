"""All of them in one line."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.explain import Explain
from tests.callbacks.small_training import small_model
from tests.frameworks import array


def test_one_line_records_all_three(tmp_path, model, fit, data):
    """Gradients, both default methods, importance on the probe and on live rows; one file, one record an epoch."""
    history = fit(model, kx.Explain(tmp_path, data, live=data, on_error="raise"))
    ours = {key for key in history.history if key.startswith("xai_")}
    assert ours == {"xai_drift_score", "xai_drift_alarm", "xai_quiet_epochs", "xai_gap", "xai_gap_alarm"}
    run = kx.load(tmp_path)["."]
    assert len(list((tmp_path / "keras_xai").iterdir())) == 1
    assert run.epochs == [0, 1, 2]
    assert len(run.weight_gradients) == 3
    assert run.methods == ("integrated_gradients", "saliency")
    assert run.importance.share.shape == run.importance_live.share.shape == (3, 4)
    assert set(run.history[0].costs) == {"weight_gradients", "probe_attributions", "importance_drift"}
    assert {"xai_drift", "xai_grad_norm", "xai_drift_alarm_live"} <= set(run.history[0].logs)
    assert run.probe.size == 16


def test_no_gallery_where_none_is_wanted(tmp_path, model, fit, data):
    """method=None."""
    fit(model, kx.Explain(tmp_path, data, method=None, on_error="raise"))
    run = kx.load(tmp_path)["."]
    assert run.methods == ()
    assert run.importance is not None


def test_it_forwards_every_hook_that_the_three_have(tmp_path, data):
    """A hook added to one of them is not forgotten here."""
    hooks = {name for name in dir(keras.callbacks.Callback) if name.startswith(("on_", "set_"))}
    needed = {
        h
        for c in Explain(tmp_path, data).callbacks
        for h in hooks
        if getattr(type(c), h) is not getattr(keras.callbacks.Callback, h)
    }
    assert needed <= {h for h in hooks if h in vars(Explain)}


@pytest.mark.parametrize("order", ["last", "first"])
def test_training_is_bit_identical_with_and_without(tmp_path, data, order):
    """Weights, optimizer state, the global generators, the callbacks beside us."""
    found = []
    for ours in ([], [kx.Explain(tmp_path, data, live=data, on_error="raise")]):
        model = small_model()
        plateau = keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=0, min_delta=10)
        callbacks = [plateau, *ours] if order == "last" else [*ours, plateau]
        model.fit(*data, epochs=4, verbose=0, callbacks=callbacks)
        found.append(([*model.get_weights(), *(array(v) for v in model.optimizer.variables)], np.random.random()))
    assert len(found[0][0]) == len(found[1][0])
    for a, b in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert found[0][1] == found[1][1]


@pytest.mark.every_backend
def test_an_alarm_that_raises_leaves_the_others_epoch_whole(tmp_path, model, fit, data):
    """on_drift="raise" comes after gradients and gallery have written theirs."""

    class Reverse(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 10:
                self.model.layers[0].kernel.assign(keras.ops.flip(self.model.layers[0].kernel, 0) * 5)

    with pytest.raises(kx.DriftAlarm) as caught:
        fit(model, Reverse(), kx.Explain(tmp_path, data, on_drift="raise"), epochs=14)
    run = kx.load(tmp_path)["."]
    assert caught.value.alert.epoch == 10
    assert run.epochs[-1] == 10
    assert run.weight_gradients[-1].epoch == run.attributions("saliency")[-1].epoch == 10


@pytest.mark.filterwarnings("ignore:The probe has 96 rows")
def test_what_is_set_for_one_of_them_goes_before_what_is_set_for_all(tmp_path, data):
    """Each gets the arguments that it has, and an option of the single method is one of the gallery."""
    flags, alerts = [], []
    ours = kx.Explain(
        tmp_path,
        data,
        method="integrated_gradients",
        every=5,
        on_flag=flags.append,
        on_drift=alerts.append,
        on_error="raise",
        gradients={"every": 1, "thresholds": {"epochs": 2}},
        attributions={"samples": 4, "n_steps": 3},
        drift={"limit": 8, "method": "input_x_gradient"},
        mappings={"coordinates": 3, "on_flag": "stop"},
    )
    gradients, attributions, mappings, drift = ours.callbacks
    assert [part._schedule.due(5, 0, 9) for part in ours.callbacks] == [True] * 4
    assert [part._schedule.due(1, 0, 9) for part in ours.callbacks] == [True, False, False, False]
    assert {part.on_error for part in ours.callbacks} == {"raise"}
    assert (gradients.on_flag, mappings.on_flag, drift.on_drift) == (flags.append, "stop", alerts.append)
    assert (attributions.samples, attributions.methods["integrated_gradients"].n_steps) == (4, 3)
    assert (drift.settings.limit, drift.method, mappings.coordinates) == (8, "input_x_gradient", 3)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"gradients": {"sample_per_epoch": 1}}, "option of WeightGradients 'sample_per_epoch'.*'samples_per_epoch'"),
        ({"drift": {"limits": 8}}, "option of ImportanceDrift 'limits'.*Did you mean 'limit'"),
        ({"mappings": {"surrogate": ()}}, "option of ProbeMappings 'surrogate'.*Did you mean 'surrogates'"),
        ({"attributions": {"sampels": 8}}, "option of ProbeAttributions 'sampels'.*Did you mean 'samples'"),
        ({"attributions": {"steps": 8}, "method": "integrated_gradients"}, "'steps'.*Did you mean 'n_steps'"),
        ({"attributions": {"log_dir": "elsewhere"}}, "option of ProbeAttributions 'log_dir'"),
        ({"attributions": {"samples": 8}, "method": None}, "method=None: there is no gallery"),
        ({"drift": 8}, "drift=8: expected a dict of options of ImportanceDrift"),
        ({"on_flag": "shout"}, "on_flag='shout': expected 'warn', 'stop', 'raise' or a function"),
        ({"on_drift": "shout"}, "on_drift='shout': expected 'warn', 'stop', 'raise' or a function"),
    ],
)
def test_an_option_that_none_has_is_refused_at_construction(tmp_path, data, options, text):
    """With the nearest name."""
    with pytest.raises(kx.InvalidInput, match=text):
        kx.Explain(tmp_path, data, **options)
