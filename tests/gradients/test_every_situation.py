"""What must hold however a model is trained: the laws run over the table in situations.py."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.gradients.statistics import BIN_EDGES
from tests.frameworks import array
from tests.gradients import by_hand
from tests.gradients.situations import SITUATIONS, all_state, made

EPOCHS = 2


# Each is one that stays under another name or another number; all are run with `-m full`.
REPEATED = (
    "xla_several_steps",
    "embedding_xla",
    "mixed_bfloat16",
    "float64",
    "loss_scale_factor",
    "global_clipnorm",
    "clipvalue",
)


def parameter(name, everywhere):
    """A situation, and whether it is run on every backend; torch.compile takes half a minute for each fit."""
    if SITUATIONS[name].is_slow or name in REPEATED:
        return pytest.param(name, marks=pytest.mark.full)
    return pytest.param(name, marks=[pytest.mark.every_backend] if name in everywhere else [])


# On every backend: a plain training, steps that the loss scale skips, gradients that accumulate, state that layers move, and
# steps that JAX has a way of its own for.
EVERYWHERE = ("functional", "overflowing", "accumulation", "batch_normalization", "several_steps", "own_train_step")
PARAMETERS = [parameter(name, EVERYWHERE) for name in SITUATIONS]


def demanding():
    """The situations beside which everything runs at once; the tap alone runs in each."""
    quick = (
        "batch_normalization",
        "functional",
        "own_train_step",
        "mixed_float16",
        "accumulation",
        "xla",
    )
    others = [pytest.param(name, marks=pytest.mark.full) for name in SITUATIONS if name not in quick]
    return [*(parameter(name, ["batch_normalization"]) for name in quick if name in SITUATIONS), *others]


@pytest.fixture(scope="module", params=PARAMETERS)
def situation(request):
    return SITUATIONS[request.param]


def fitted(situation, callbacks, *, demanding=False):
    model = made(situation, demanding=demanding)
    model.fit(
        situation.x,
        situation.y,
        batch_size=situation.batch_size,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
        **situation.fit,
    )
    return model


@pytest.fixture(scope="module")
def recorded(situation, tmp_path_factory):
    """A model trained with every step recorded, and the records as read back from the file."""
    log_dir = tmp_path_factory.mktemp("recorded")
    model = fitted(situation, [kx.WeightGradients(log_dir, samples_per_epoch="all", on_error="raise")])
    return model, kx.load(log_dir)["."].weight_gradients


@pytest.fixture(scope="module")
def sampled(situation, tmp_path_factory):
    log_dir = tmp_path_factory.mktemp("sampled")
    return fitted(situation, [kx.WeightGradients(log_dir, on_error="raise")])


@pytest.fixture(scope="module")
def plain(situation):
    return fitted(situation, [])


@pytest.mark.oldest
def test_weights_are_bit_identical_with_and_without(recorded, sampled, plain):
    """Recording changes nothing in the training, whether all steps are recorded or some."""
    for model in (recorded[0], sampled):
        for watched, alone in zip(model.variables, plain.variables, strict=True):
            np.testing.assert_array_equal(array(watched), array(alone))
        for watched, alone in zip(model.optimizer.variables, plain.optimizer.variables, strict=True):
            np.testing.assert_array_equal(array(watched), array(alone))


@pytest.mark.filterwarnings("ignore:integrated_gradients")  # whose forward passes draw: values of a way miss their sum
@pytest.mark.parametrize("name", demanding())
def test_everything_beside_a_demanding_training_changes_no_bit(name, tmp_path):
    """Adam, metrics, and state in the forward pass where Keras does not see it; gradients, gallery, drift and mappings."""
    situation = SITUATIONS[name]
    kind = "tokens" if situation.x.dtype.kind == "i" else "table"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The probe has")
        probe = kx.Probe(situation.x[:24], situation.y[:24], kind=kind)
        ours = kx.Explain(
            tmp_path,
            probe,
            live=(situation.x, situation.y),
            mappings=True,
            instruments="critical_step",
            on_error="raise",
        )
    for part in ours.callbacks:
        vars(part).update({name: lambda record: None for name in ("on_flag", "on_drift") if hasattr(part, name)})
    watched = all_state(fitted(situation, [ours], demanding=True))
    alone = all_state(fitted(situation, [], demanding=True))
    assert len(watched) == len(alone)
    for mine, theirs in zip(watched, alone, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert kx.load(tmp_path)["."].epochs == [0, 1]


@pytest.mark.oldest
def test_statistics_equal_those_of_a_training_written_out_by_hand(situation, recorded):
    """Every statistic of every variable, against whole gradients replayed in eager mode."""
    model = made(situation)
    history = by_hand.train(model, situation.x, situation.y, batch_size=situation.batch_size, epochs=EPOCHS)
    for epoch, (record, expected) in enumerate(zip(recorded[1], history, strict=True)):
        assert record.epoch == epoch
        assert record.missing == ""
        assert record.names == tuple(v.path for v in recorded[0].trainable_variables)
        by_name = dict(zip([v.path for v in model.trainable_variables], expected.calls.values(), strict=True))
        assert record.steps == len(next(iter(by_name.values())))
        scale = max(by_hand.statistics(calls)["rms"] for calls in by_name.values())
        for v, calls in enumerate(by_name.values()):
            twin = by_hand.statistics(calls)
            got = {name: float(values[v]) for name, values in record.statistics.items()}
            assert got["nonfinite"] == twin["nonfinite"] == 0
            # A bias in front of a normalisation has a gradient of rounding errors alone: those are not compared.
            noise = 1e-6 * scale
            np.testing.assert_allclose(got["mean"], twin["mean"], atol=situation.rtol * twin["rms"] + noise)
            for name in ("rms", "std", "max"):
                np.testing.assert_allclose(got[name], twin[name], rtol=situation.rtol, atol=noise, err_msg=name)
            if twin["rms"] > noise:
                # In half precision rounding decides which of the smallest entries are zero.
                rounding = 5e-3 if situation.rtol > 1e-3 else 0
                np.testing.assert_allclose(got["zero_fraction"], twin["zero_fraction"], rtol=1e-6, atol=rounding)
                for name in ("weight_norm", "update_ratio"):
                    np.testing.assert_allclose(got[name], twin[name], rtol=situation.rtol, err_msg=name)


@pytest.mark.oldest
def test_histogram_counts_each_nonzero_entry_once(situation, recorded):
    """Octaves hold every finite entry that is not zero."""
    model, records = recorded
    for record in records:
        sizes = np.array([np.prod(v.shape) for v in model.trainable_variables])
        total = sizes * record.steps
        expected = total * (1 - record.statistics["zero_fraction"].astype(np.float64)) - record.statistics["nonfinite"]
        np.testing.assert_allclose(record.histogram.sum(1), expected, rtol=1e-5)
        lowest = BIN_EDGES[:-1][np.array([np.flatnonzero(row)[-1] for row in record.histogram])]
        assert (lowest <= record.statistics["max"]).all()
        assert (record.statistics["max"] < 2 * lowest).all()


@pytest.mark.oldest
def test_nothing_is_left_behind(recorded, plain):
    """The model has its own train function again, and the optimizers their own `apply`; no variable was added."""
    model = recorded[0]
    assert type(model.train_function) is type(plain.train_function)
    assert "train_step" not in vars(model)
    assert "apply" not in vars(model.optimizer)
    assert "apply" not in vars(keras.optimizers.Optimizer)
    assert len(model.variables) == len(plain.variables)
    assert len(model.optimizer.variables) == len(plain.optimizer.variables)
