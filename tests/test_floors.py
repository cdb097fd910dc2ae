"""The import law: imports run down only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "keras_xai"

EVERYWHERE = {
    "array_like",
    "errors",
    "image",
    "calibration",
    "printed",
    "sparse",
    "spatial",
    "tree",
    "updates",
}  # rooms that every other may import

# A room, and the rooms of ours that it may import; itself and those of EVERYWHERE it may always.
LAW = {
    "array_like": set(),
    "sparse": set(),
    "printed": set(),
    "calibration": set(),
    "tree": set(),
    "updates": set(),
    "image": set(),
    "spatial": set(),
    "errors": {"records", "training_records"},
    "outputs": set(),
    "gradient_flags": set(),
    "alert_words": set(),
    "drawable": set(),
    "records": {"alert_words", "drawable", "gradient_flags"},
    "events": {"records"},
    "slice_accuracy": {"records"},
    "loop_params": set(),
    "running": {"loop_params"},
    "frames": set(),
    "labels": {"frames"},
    "probe": {"frames", "labels", "outputs"},
    "provenance": set(),
    "training_records": set(),
    "concept_records": set(),
    "digests": set(),
    "row_records": {"digests"},
    "recorded": {"concept_records", "records", "row_records", "probe", "provenance", "training_records"},
    "training_words": {"recorded", "training_records"},
    "judgement": {"alert_words", "events", "recorded", "records", "training_words"},
    "drift": {"events", "records", "probe", "slice_accuracy"},
    "summary": {
        "concept_records",
        "events",
        "records",
        "probe",
        "provenance",
        "digests",
        "row_records",
        "training_records",
    },
    "remote": {"summary"},
    "analysis": {
        "concept_records",
        "alert_words",
        "events",
        "gradient_flags",
        "judgement",
        "recorded",
        "records",
        "probe",
        "slice_accuracy",
        "training_words",
    },
    "figures": {
        "analysis",
        "concept_records",
        "events",
        "judgement",
        "recorded",
        "records",
        "row_records",
        "probe",
        "slice_accuracy",
    },
    "backend": {"records", "digests", "probe"},
    "flag_tracker": {"records"},
    "gradients": {"backend", "flag_tracker", "gradient_flags", "loop_params", "running", "probe", "records"},
    "model": {"backend", "frames", "outputs", "probe", "records"},
    "attribution": {"backend", "frames", "model", "outputs", "probe", "records"},
    "mapping": {"backend", "flag_tracker", "model", "outputs", "probe", "records"},
    "training_checks": {"backend", "flag_tracker", "mapping", "model", "probe", "records", "training_records"},
    "training_rows": {"backend", "model", "digests", "row_records", "tracin"},
    "callbacks": {
        "concept_records",
        "digests",
        "row_records",
        "slice_accuracy",
        "training_checks",
        "training_records",
        "training_rows",
        "gradients",
        "attribution",
        "mapping",
        "model",
        "tracin",
        "backend",
        "drift",
        "events",
        "summary",
        "loop_params",
        "running",
        "outputs",
        "probe",
        "frames",
        "labels",
        "provenance",
        "records",
        "remote",
    },
    "tracin": {"backend", "frames", "labels", "model", "outputs", "probe", "records"},
    "cards": {"analysis", "events", "judgement", "probe", "recorded", "records", "tracin"},
    "plot": {"analysis", "figures", "probe", "records", "tracin"},
    "run": {"analysis", "cards", "summary", "figures", "records", "remote", "probe"},
    "plugin": {
        "analysis",
        "events",
        "remote",
        "run",
        "summary",
        "figures",
        "judgement",
        "records",
        "probe",
        "provenance",
    },
    "page": {
        "analysis",
        "run",
        "events",
        "figures",
        "judgement",
        "provenance",
        "recorded",
        "records",
        "remote",
        "summary",
        "training_words",
    },
    "demo": {"run", "records", ""},
    "cli": {"demo", "remote", "run", "page", "judgement", ""},
    "__init__": set(),
}

# A library, and the only rooms that may import it.
ONLY = {
    "tensorflow": {"backend"},
    "jax": {"backend"},
    "torch": {"backend"},
    "keras": {
        "backend",
        "loop_params",
        "running",
        "gradients",
        "model",
        "attribution",
        "mapping",
        "tracin",
        "training_checks",
        "training_rows",
        "callbacks",
        "demo",
        "cli",
    },
    "google": {"summary"},
    "google_crc32c": {"summary"},
    "fsspec": {"remote"},
    "werkzeug": {"plugin"},
    "plotly": {"run", "plot"},
    "jinja2": {"page"},
    "tensorboard": {"summary", "plugin"},
    "sklearn": {"analysis", "attribution", "mapping", "demo"},
    "narwhals": {"frames"},
    "scipy": {"attribution", "mapping", "demo", "drift", "training_checks"},
}

FILES = sorted(p for p in PACKAGE.rglob("*.py") if not p.name.endswith("_pb2.py"))


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, at whatever depth, except under TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    names = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "keras_xai" else set()
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_down_only(path):
    """A file imports only the rooms below its own, and no library that belongs to another room."""
    here = room(path)
    for name in imported(path):
        top, *rest = name.split(".")
        if top == "keras_xai" and rest:
            assert rest[0] in {here, *EVERYWHERE, *LAW[here]}, f"{path.name} ({here}) imports {name}"
        elif top in ONLY:
            assert here in ONLY[top], f"{path.name} ({here}) imports {name}"


def test_every_room_stands_in_the_law():
    """A new room is a decision: it is entered here."""
    assert {room(path) for path in FILES} <= set(LAW)
