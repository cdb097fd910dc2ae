"""The public face."""

import subprocess
import sys

import pytest

import keras_xai as kx


def test_every_public_name_resolves_and_nothing_else_does():
    """`__all__` is the whole face: each name is there, an unknown one says what there is."""
    assert kx.__all__ == sorted(kx.__all__)
    for name in kx.__all__:
        assert getattr(kx, name).__doc__, f"{name} has no docstring"
        assert name in dir(kx)
    with pytest.raises(AttributeError, match="Explain"):
        kx.Explane  # noqa: B018


HEAVY = ("keras", "tensorflow", "plotly")


def loaded_by(code: str, names: tuple[str, ...]) -> str:
    """Which of these modules are there after the code ran in a process of its own."""
    line = f"{code}; import sys; print([m for m in {names!r} if m in sys.modules])"
    return subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_loads_no_framework():
    """TensorBoard imports the package at every start: neither keras, nor TensorFlow, nor plotly may come with it."""
    assert loaded_by("import keras_xai", (*HEAVY, "numpy", "sklearn")) == "[]"


def test_reading_needs_no_framework(tmp_path):
    """`kx.load` works where only TensorBoard is installed."""
    assert loaded_by(f"import keras_xai as kx; kx.load({str(tmp_path)!r})", HEAVY) == "[]"
