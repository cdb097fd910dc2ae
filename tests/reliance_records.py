"""A run with a shortcut that was in the training rows from the start, written record by record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_xai.probe import Probe
from keras_xai.records import Alert, Attribution, Epoch, Reliance, Shares
from keras_xai.summary.writer import Writer

LIMIT = 4.25
ALARM_EPOCH, SHIFT_EPOCH = 3, 5  # of the shortcut, and of the feature whose rows merely differ
LABELS = np.array([0, 1, 0, 1, 0, 1, 0, 1])
SENTENCE = (
    "In the training rows {} speaks for the label; in the probe it does not (share of the evidence: 38 %, probe 1.0 %)"
)
SHIFT_SENTENCE = "the training rows themselves differ from the probe in {} (by +0.8 sd), and the model uses it"


class ShortcutRun:
    """Writes a run of twelve epochs: the guilty feature says 38 % of the evidence in the training rows, 1 % in the probe.

    The z of the guilty feature is 3 + 2 · epoch, over its limit from epoch 1 on; that of the shifted feature is 5 from epoch 3
    on. All others say the same on both sides, with z of 1; at epoch 0 nothing was compared.
    """

    def __init__(self, directory: Path, kind: str = "table", *, shift: bool = True) -> None:
        generator = np.random.default_rng(0)
        if kind == "table":
            names = ["age", "dose", "weight & height", "<b>site</b>", "%{y}", "leak", "bmi", "pulse", "sodium", "urea"]
            self.probe = Probe(generator.normal(size=(8, 10)).astype("f4"), LABELS, feature_names=names)
            self.guilty, self.shifted = 5, 0
        elif kind == "image":
            self.probe = Probe(generator.random((8, 6, 4, 1), "f4"), LABELS)
            self.guilty, self.shifted = 0, 23
        else:
            words = ["", "good", "bad", "film", "watermark", "plot"]
            x = generator.integers(1, 6, (8, 7))
            self.probe = Probe(x, LABELS, kind="tokens", vocabulary=words)
            self.guilty, self.shifted = self.probe.features.index("watermark"), 0
        self.kind, self.shift = kind, shift
        self.names = self.probe.features
        self.writer = Writer(directory / "keras_xai")
        self.writer.write([self.probe])

    def shares(self) -> tuple[Any, Any]:
        """The mean signed shares of the features: in the training rows, and in the probe."""
        count = len(self.names)
        base = 0.12 * np.cos(np.arange(count) * 1.7) / (1 + np.arange(count) / 4)
        live, probe = base.copy(), base.copy()
        live[self.guilty], probe[self.guilty] = 0.38, 0.01
        live[self.shifted], probe[self.shifted] = 0.10, 0.04
        return live, probe

    def reliance(self, epoch: int) -> Reliance:
        count = len(self.names)
        live, probe = self.shares()
        z = np.ones(count)
        z[self.guilty], z[self.shifted] = 3 + 2 * epoch, 5 if epoch >= 3 else 1
        unknown = np.full(count, np.nan)
        strata = 2 if epoch else 0
        compared = [z, live - probe, live, probe] if strata else [unknown] * 4
        unsigned = np.full(count, 1 / count)
        errors = np.full(count, 0.01)
        blind = "" if epoch else "too few rows of each class"
        return Reliance(
            epoch, self.names, np.arange(count), *compared, unsigned, unsigned, errors, errors, strata, 256, 128, blind
        )

    def alerts(self, epoch: int) -> list[Alert]:
        live, probe = self.shares()
        alerts = []
        for at, feature, verdict, sentence in (
            (ALARM_EPOCH, self.guilty, "training-only shortcut", SENTENCE),
            (SHIFT_EPOCH, self.shifted, "rows differ", SHIFT_SENTENCE),
        ):
            if epoch != at or (verdict == "rows differ" and not self.shift):
                continue
            z = float(self.reliance(epoch).z[feature])
            moved = ((self.names[feature], float(probe[feature]), float(live[feature]), 1, z),)
            words = sentence.format(self.names[feature])
            value = 2.5 if self.kind == "table" else np.nan
            carriers = [(self.names[feature], 7 * i, LABELS[i], 0.9 - i / 10, value) for i in range(5)]
            rows = tuple(carriers) if verdict != "rows differ" else ()
            alerts.append(Alert(epoch, "gap", verdict, False, moved, z, LIMIT, rows=rows, sentence=words))
        return alerts

    def records(self, epoch: int) -> list[Any]:
        count = len(self.names)
        records: list[Any] = [self.reliance(epoch), *self.alerts(epoch)]
        score = 1 + epoch / 100 if epoch >= 3 else float("nan")
        for source in ("live", "clean"):
            weight = 1.0 + np.arange(count) % 4 + 0.1 * epoch * (np.arange(count) == self.guilty)
            share = (weight / weight.sum()).astype("f4")
            records.append(Shares(epoch, source, self.names, share, score, 6.0))
        outputs = np.where(LABELS[:, None] == np.arange(2), 0.9, 0.1).astype("f4")
        shape = self.probe.inputs[0].shape
        values = np.sin(np.arange(np.prod(shape)).reshape(shape)).astype("f4")
        # Two kinds of maps of class 0: the evidence of samples 0 and 4 lies in the first entry alone.
        values.reshape(8, -1)[[0, 4]] *= 0.01
        values.reshape(8, -1)[[0, 4], 0] = 5
        maps = values.sum(-1) if self.kind == "image" else values
        score_of_label = outputs[np.arange(8), LABELS]
        records.append(
            Attribution(
                "saliency", maps, LABELS, score_of_label, None, LABELS, None, "logit", outputs, epoch, self.kind
            )
        )
        logs = {"loss": 2.0 / (1 + epoch), "val_loss": 1.0, "val_accuracy": 0.7}
        records.append(Epoch(epoch, 1.7e9 + 10 * epoch, 10.0, 0.2, 1e-3, logs))
        return records

    def write(self, *epochs: int) -> ShortcutRun:
        for epoch in epochs or range(12):
            self.writer.write(self.records(epoch))
        self.writer.close()
        return self
