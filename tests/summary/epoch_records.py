"""One record of every kind, as an epoch writes them."""

import numpy as np

from keras_xai.records import RELIANCE_FIGURES, STATISTICS, Alert, Attribution, Epoch, Gradients, Reliance, Shares


def epoch_of_records(epoch: int) -> list:
    r = np.random.default_rng(epoch)
    return [
        Gradients(
            epoch,
            ("dense/kernel", "dense/bias"),
            {s: r.random(2).astype(np.float32) for s in STATISTICS},
            r.integers(0, 9, (2, 4)).astype(np.float32),
            np.array([0.25, 0.5, 1, 2, 4], np.float32),
            steps=3,
            flags=(("dense/bias", "dead", 1),) if epoch else (),
            sizes=(8, 2),
            thresholds={"vanishing": 1e-9},
            missing="the model was compiled with run_eagerly" if epoch == 2 else "",
        ),
        Attribution(
            "saliency",
            r.normal(size=(3, 8, 8)).astype(np.float32),
            target=np.array([0, 1, 2]),
            score=r.normal(size=3).astype(np.float32),
            baseline_score=None,
            prediction=np.array([0, 2, 2]),
            completeness_error=None,
            space="logit",
            outputs=r.random((3, 3)).astype(np.float32),
            epoch=epoch,
            kind="image",
        ),
        Shares(
            epoch, "clean", ("a", "b"), np.array([0.25, 0.75], np.float32), 1.5 + epoch, 6.0, np.array([1, -1], np.int8)
        ),
        Shares(epoch, "live", ("a",), np.ones(1, np.float32), 0.5, 6.0, None, 8, "saliency", (2**24 - 1, epoch)),
        Reliance(
            epoch,
            ("a", "b", "c"),
            np.array([2, 0]),
            **{name: r.random(2).astype(np.float32) for name in RELIANCE_FIGURES},
            strata=2,
            live_rows=512,
            probe_rows=128,
        ),
        Alert(epoch, "live", "data changed", True, (("b", 0.5, 0.75, 1, 7.25),), 7.25, 6.0),
        Alert(
            epoch,
            "gap",
            "training-only shortcut",
            False,
            (("c", 0.0, 0.1, 1, 9.5),),
            9.5,
            4.25,
            epoch,
            rows=(("c", 7, 1.0, 0.5, 2.0),),
            sentence="c speaks",
        ),
        Alert(epoch, "gap", "rows differ", False, (("a", 0.0, 0.1, 1, 5.5),), 5.5, 4.25, epoch, sentence="a differs"),
        Epoch(
            epoch, 1e9 + epoch, 2.0, 0.25, 1e-3, {"loss": float("nan")}, {"importance_drift": 0.25}, ("a note",), 0.125
        ),
    ]
