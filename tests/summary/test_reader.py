"""What is written is read: whole files, cut files, damaged files, resumed runs."""

import warnings

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.errors import InvalidInput
from keras_xai.records import RELIANCE_FIGURES, Attribution, Epoch
from keras_xai.summary.writer import Writer
from tests.summary.runs import write

pytestmark = pytest.mark.oldest


def test_every_record_comes_back_as_it_was_written(tmp_path, records, probe):
    """Each kind of record, through a real event file."""
    write(tmp_path / "run1" / "keras_xai", records, range(3), probe=probe)
    run = kx.load(tmp_path)["run1"]
    gradients, attribution, shares, live, reliance, alert, shortcut, differing, _ = records(1)
    assert run.epochs == [0, 1, 2]
    assert (run.history[1].wall_time, run.history[1].cost_seconds, run.history[1].notes) == (1e9 + 1, 0.25, ("a note",))
    assert np.isnan(run.history[1].logs["loss"])
    back = run.weight_gradients[1]
    assert (back.names, back.steps, back.flags, back.missing) == (gradients.names, 3, gradients.flags, "")
    assert (back.sizes, back.thresholds) == ((8, 2), {"vanishing": 1e-9})
    assert run.weight_gradients[2].missing == "the model was compiled with run_eagerly"
    for name, values in gradients.statistics.items():
        np.testing.assert_array_equal(back.statistics[name], values)
    np.testing.assert_array_equal(back.histogram, gradients.histogram)
    np.testing.assert_array_equal(run.importance.share[1], shares.share)
    assert (run.importance.score[1], run.importance.limit, run.importance.names) == (2.5, 6.0, ("a", "b"))
    assert (run.importance_live.names, run.importance_live.score.tolist()) == (("a",), [0.5, 0.5, 0.5])
    back = run.shares("live")[1]
    assert (back.method, back.digest, run.shares("clean")[1].digest) == (live.method, live.digest, None)
    assert run.data_score is None
    np.testing.assert_array_equal(run.reliance[1].features, reliance.features)
    for name in RELIANCE_FIGURES:
        np.testing.assert_array_equal(getattr(run.reliance[1], name), getattr(reliance, name))
        np.testing.assert_array_equal(
            getattr(run.gap, name)[1], [getattr(reliance, name)[1], np.nan, getattr(reliance, name)[0]]
        )
    assert (run.reliance[1].strata, run.gap.live_rows[1], run.gap.probe_rows[1], run.gap.limit) == (2, 512, 128, 4.25)
    of_epoch = [record for record in run.alerts if record.epoch == 1]
    assert [str(record) for record in of_epoch] == [str(record) for record in (alert, shortcut, differing)]
    assert of_epoch[0].features == alert.features
    found = run.attributions("saliency")[1]
    assert found.values.shape == (3, 8, 8)
    np.testing.assert_allclose(found.values, attribution.values, atol=np.ptp(attribution.values) / 255)
    np.testing.assert_array_equal(found.prediction, [0, 2, 2])
    np.testing.assert_array_equal(found.outputs, attribution.outputs)
    assert found.baseline_score is None
    assert found.completeness_error is None
    np.testing.assert_array_equal(run.probe.y, probe.y)
    assert run.probe.class_names == probe.class_names
    np.testing.assert_allclose(run.probe.x, probe.x, atol=1 / 255)
    assert run.probe.hash == probe.hash


def test_a_file_cut_anywhere_is_read_up_to_what_is_whole(tmp_path, records, probe):
    """Cut after any byte: never an error, and the epochs before the cut are all there."""
    path = write(tmp_path / "keras_xai", records, range(4), probe=probe)
    whole, cuts = path.read_bytes(), []
    for cut in range(0, len(whole), 97):
        path.write_bytes(whole[:cut])
        run = kx.load(tmp_path).get(".")
        cuts.append(len(run.epochs))
        assert run.epochs == list(range(cuts[-1]))
    assert cuts == sorted(cuts)
    assert cuts[-1] >= 3


def test_a_flipped_byte_costs_what_it_hits_and_breaks_nothing(tmp_path, records):
    """What comes before the damage is read, and what comes after wherever it can be found; check sums guard it all."""
    path = write(tmp_path / "keras_xai", records, range(4))
    whole = path.read_bytes()
    for at in range(0, len(whole), 211):
        path.write_bytes(whole[:at])
        before = kx.load(tmp_path)["."].epochs
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = kx.load(tmp_path)["."]
            assert set(before) <= set(run.epochs) <= set(range(4))
            for share in run.shares("clean"):
                np.testing.assert_array_equal(share.share, records(share.epoch)[2].share)


def test_a_resumed_run_replaces_the_epochs_it_repeats(tmp_path, records):
    """The second file starts at epoch 2: what the first said of 2 and 3 is gone, 0 and 1 stay."""
    write(tmp_path / "keras_xai", records, range(4))
    write(tmp_path / "keras_xai", records, [2], start=2)
    run = kx.load(tmp_path)["."]
    assert run.epochs == [0, 1, 2]
    assert len(run.weight_gradients) == 3


def test_runs_are_named_as_the_user_named_them(tmp_path, records):
    """Keys are log directories relative to the argument; a later training keeps the name of its own."""
    for directory in ("a/keras_xai", "a/keras_xai-2", "b/c/keras_xai"):
        write(tmp_path / directory, records, [0])
    assert sorted(kx.load(tmp_path)) == ["a", "a/keras_xai-2", "b/c"]
    assert sorted(kx.load(tmp_path / "a")) == [".", "keras_xai-2"]
    assert sorted(kx.load(tmp_path / "a" / "keras_xai")) == ["."]


def test_a_newer_record_is_passed_over_and_said(tmp_path, records, monkeypatch):
    """A tag of a later schema is a warning, the rest is read."""
    monkeypatch.setattr("keras_xai.summary.tag_constants.SCHEMA", 2)
    write(tmp_path / "keras_xai", records, [0])
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="schema version 2"):
        assert kx.load(tmp_path)["."].history == []


def test_a_directory_that_is_not_there_is_an_error_in_words(tmp_path):
    """`load` says what it was given."""
    with pytest.raises(InvalidInput, match="no directory"):
        kx.load(tmp_path / "nothing")


def test_the_file_carries_the_check_sums_that_tensorboard_checks(tmp_path, records):
    """TensorBoard's own record reader, which checks every CRC, reads as many records as were written."""
    from tensorboard.compat.tensorflow_stub import errors, pywrap_tensorflow

    path = write(tmp_path / "keras_xai", records, range(2))
    reader, count = pywrap_tensorflow.PyRecordReader_New(str(path)), 0
    while True:
        try:
            reader.GetNext()
        except errors.OutOfRangeError:
            break
        count += 1
    assert count == 2 + 2 * len(records(0))  # version, START, then one event a record


def attributed(epoch, quadrature_error):
    """Two samples of a table."""
    ones = np.ones(2, np.float32)
    return Attribution(
        "integrated_gradients",
        np.ones((2, 3), np.float32),
        target=np.array([0, 1]),
        score=ones,
        baseline_score=ones,
        prediction=np.array([0, 1]),
        completeness_error=ones,
        space="logit",
        outputs=np.full((2, 2), 0.5, np.float32),
        epoch=epoch,
        kind="table",
        quadrature_error=quadrature_error,
    )


@pytest.mark.parametrize("measured", [[True, True], [False, False], [False, True]], ids=["new", "old", "continued"])
def test_the_quadrature_error_is_there_where_it_was_written_from_the_start(tmp_path, measured):
    """Older files hold none, and what a later version adds to such a one is not taken for an output."""
    error = np.array([0.25, 0.5], np.float32)
    writer = Writer(tmp_path / "keras_xai", start=0)
    for epoch, has_one in enumerate(measured):
        writer.write([attributed(epoch, error if has_one else None), Epoch(epoch, 1e9, 1.0, 0.1, 1e-3, {})])
    writer.close()
    found = kx.load(tmp_path)["."].attributions("integrated_gradients")
    assert [a.outputs.tolist() for a in found] == [[[0.5, 0.5]] * 2] * 2
    if all(measured):
        assert [a.quadrature_error.tolist() for a in found] == [[0.25, 0.5]] * 2
    else:
        assert [a.quadrature_error for a in found] == [None, None]
