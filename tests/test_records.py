"""Values with names, and figures of a layer and of the whole against the entries themselves."""

import numpy as np
import pytest

from keras_xai.records import STATISTICS, Alert, FeatureMove, Flag, Gradients


def told(gradients, weights, updates, names):
    """A record of one recorded call, statistics straight from the entries."""
    rows = {
        "rms": [np.sqrt((g**2).mean()) for g in gradients],
        "mean": [g.mean() for g in gradients],
        "std": [g.std() for g in gradients],
        "max": [np.abs(g).max() for g in gradients],
        "zero_fraction": [(g == 0).mean() for g in gradients],
        "nonfinite": [0.0 for _ in gradients],
        "update_ratio": [np.linalg.norm(u) / np.linalg.norm(w) for u, w in zip(updates, weights, strict=True)],
        "weight_norm": [np.linalg.norm(w) for w in weights],
    }
    statistics = {name: np.asarray(values, np.float32) for name, values in rows.items()}
    histogram = np.ones((len(gradients), 2), np.float32)
    sizes = tuple(g.size for g in gradients)
    return Gradients(0, names, statistics, histogram, np.array([1, 2, 4], np.float32), 1, sizes=sizes)


def test_a_layer_is_its_variables_taken_together():
    """Each statistic of the merged record equals that of the entries put together."""
    r = np.random.default_rng(0)
    gradients = [r.normal(size=12), np.where(r.random(4) < 0.5, 0, r.normal(size=4)), r.normal(size=6)]
    weights, updates = [r.normal(size=g.size) for g in gradients], [0.01 * r.normal(size=g.size) for g in gradients]
    record = told(gradients, weights, updates, ("net/dense/kernel", "net/dense/bias", "net/out/kernel"))
    for merged, groups in ((record.by_layer(), [(0, 1), (2,)]), (record.overall(), [(0, 1, 2)])):
        together = [
            [np.concatenate([part[v] for v in group]) for group in groups] for part in (gradients, weights, updates)
        ]
        expected = told(*together, merged.names)
        for name, values in expected.statistics.items():
            np.testing.assert_allclose(merged.statistics[name], values, rtol=1e-5, err_msg=name)
        assert merged.sizes == expected.sizes
        np.testing.assert_array_equal(merged.histogram[:, 0], [len(group) for group in groups])
    assert record.by_layer().names == ("net/dense", "net/out")
    assert record.overall().names == ("all",)


def test_what_was_not_captured_is_left_out_of_its_layer():
    """A variable without a gradient does not dilute the others; a layer of such alone is NaN."""
    r = np.random.default_rng(1)
    gradients = [r.normal(size=4), r.normal(size=2)]
    record = told(gradients, gradients, gradients, ("a/kernel", "a/bias"))
    for values in record.statistics.values():
        values[1] = np.nan
    assert record.by_layer().statistics["rms"][0] == pytest.approx(record.statistics["rms"][0])
    for values in record.statistics.values():
        values[0] = np.nan
    assert np.isnan(record.by_layer().statistics["rms"][0])


def test_a_record_without_sizes_says_so():
    """It cannot be merged."""
    record = told([np.ones(2)], [np.ones(2)], [np.ones(2)], ("a/kernel",))
    with pytest.raises(ValueError, match="no sizes"):
        Gradients(0, record.names, record.statistics, record.histogram, record.bin_edges, 1).by_layer()


def test_a_move_has_names_and_is_a_tuple_still():
    """What unpacks and indexes does so as before; a record that is made of plain tuples has the names, too."""
    alert = Alert(9, "clean", "reliance moved", False, (("age", 0.1, 0.5, 1, 9.0),), 9.0, 6.0)
    assert alert.features == (FeatureMove(name="age", before=0.1, after=0.5, direction=1, z=9.0),)
    name, before, after, direction, z = alert.features[0]
    assert (name, before, after, direction, z) == (alert.features[0].name, 0.1, 0.5, 1, alert.features[0][4])
    assert "age (10.00% → 50.00%, z +9.0)" in str(alert)


def test_a_flag_has_names_and_is_a_tuple_still():
    """The same for what stands at a record."""
    statistics = {name: np.ones(1, np.float32) for name in STATISTICS}
    histogram, edges = np.ones((1, 1), np.float32), np.array([1, 2], np.float32)
    record = Gradients(3, ("a/kernel",), statistics, histogram, edges, 1, flags=(("a/kernel", "dead", 1),))
    assert record.flags == (Flag(name="a/kernel", kind="dead", since=1),)
    assert (record.flags[0].name, record.flags[0][:2]) == ("a/kernel", ("a/kernel", "dead"))
