"""One record of a made-up network, whose numbers can be told apart."""

from __future__ import annotations

import numpy as np

from keras_xai.records import Decision, Features, Mappings, Result, Surrogate

LAYERS = ("stem/conv", "head/hidden", "logits")


def mappings_of(epoch: int, size: int = 12, classes: int = 3, *, labels: bool = True) -> Mappings:
    r = np.random.default_rng(epoch)
    count = len(LAYERS)

    def each(*shape: int) -> np.ndarray:
        return r.random((count, *shape)).astype(np.float32)

    label = np.arange(size) % classes
    logits = r.normal(size=(size, classes)).astype(np.float16)
    prediction = logits.astype(np.float64).argmax(1)
    linear = Surrogate(("age", "dose"), tuple(range(classes)), r.normal(size=(2, classes)).astype("f4"), 0.75, 0.5)
    svm = Surrogate(("age", "dose"), tuple(range(classes)), r.normal(size=(2, classes)).astype("f4"), 0.5)
    return Mappings(
        epoch=epoch,
        features=Features(
            layers=LAYERS,
            width=np.array([4, 8, classes]),
            mean=each(),
            std=each(),
            saturation=np.array([0.5, np.nan, np.nan], np.float32),
            dead=np.array([0.25, 0, np.nan], np.float32),
            spread=each(),
            participation=1 + each(),
            cka_previous=each() if epoch else np.full(count, np.nan, np.float32),
            cka_first=each(),
            cka_layers=each(count),
            coordinates=r.normal(size=(count, size, 16)).astype(np.float16),
            scale=each(),
            captured=each(),
        ),
        decision=Decision(
            target="label" if labels else "prediction",
            readability=each(),
            standard_error=each(),
            chance=1 / 3,
            own_decision=each(),
            read_as=r.integers(0, classes, (count, size)),
            support=each(size).astype(np.float16) if labels else np.full((count, size), np.nan, np.float16),
            surrogates={"linear": linear} | ({"svm": svm} if epoch % 5 == 0 else {}),
        ),
        result=Result(
            answer="class",
            classes=classes,
            logits=logits,
            prediction=prediction,
            confidence=r.random(size).astype(np.float32) if labels else np.full(size, np.nan, np.float32),
            certainty=r.random(size).astype(np.float32),
            accuracy=float((prediction == label).mean()) if labels else float("nan"),
            confidence_gap=0.125,
            ece=0.25,
            ece_floor=0.0625,
            held_out_accuracy=0.5,
            correct=prediction == label if labels else None,
            label=label if labels else None,
            held_out=np.arange(size) >= 8,
        ),
        flags=(("stem/conv", "dead layer", 1),) if epoch else (),
        notes=(("head/hidden", "stable", 2),) if epoch > 2 else (),
        thresholds={"memorising": 0.1},
    )
