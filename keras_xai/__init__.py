"""Keras callbacks that show, while a model trains, what it learns from.

```python
import keras_xai as kx

probe = kx.Probe(x_probe, y_probe)
model.fit(x, y, epochs=30, callbacks=[kx.Explain("logs/run1", probe)])
```

Public names are imported on first use (PEP 562): TensorBoard imports this package at every start, and
must not pay for keras, TensorFlow or plotly.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0.dev0"

_HOMES = {
    "Attribution": "records",
    "Probe": "probe",
    "Explain": "callbacks.explain",
    "WeightGradients": "callbacks.weight_gradients",
    "ProbeAttributions": "callbacks.probe_attributions",
    "ImportanceDrift": "callbacks.importance_drift",
    "ProbeMappings": "callbacks.probe_mappings",
    "TrainingChecks": "callbacks.training_checks",
    "TrainingRows": "callbacks.training_rows",
    "attribute": "attribution.attributor",
    "importance": "attribution.importance",
    "influence": "tracin.influence",
    "metrics": "attribution.metrics",
    "outputs": "outputs",
    "plot": "plot",
    "row_digest": "digests",
    "steps": "callbacks.schedule",
    "load": "run",
    "watch": "callbacks.loops.watch",
    "report": "page",
    "DriftAlarm": "errors",
    "GradientAlarm": "errors",
    "MappingAlarm": "errors",
    "TrainingAlarm": "errors",
    "InvalidInput": "errors",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    value = getattr(home, name, home)  # `metrics` is the module itself
    globals()[name] = value  # an imported submodule of the same name (`report`) must not shadow the public function
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
