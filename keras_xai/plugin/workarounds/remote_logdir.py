"""Workaround: with TensorFlow installed, TensorBoard cannot read s3:// and other schemes that it reads without TensorFlow.

Upstream: TensorBoard reads files by TensorFlow where that is installed, and by file systems of its own (boto3, fsspec) where
it is not (`tensorboard/compat/__init__.py`). TensorFlow reads gs:// alone, other schemes by tensorflow-io; without that
`tensorboard --logdir s3://bucket/logs` ends with `UnimplementedError: Unsupported filename scheme 's3'` (2.21).

Here: where the log directory has such a scheme and tensorflow-io is not installed, what TensorBoard calls `tf` becomes the
stand-in that it has for a machine without TensorFlow. TensorFlow itself is left as it is.

Delete this file when TensorBoard falls back to its own file systems for schemes that TensorFlow does not know, in the oldest
TensorBoard that setup.cfg allows: then the test passes without it.
"""

from __future__ import annotations

import importlib.util
import re
from typing import Any

_OF_TENSORFLOW = ("gs", "ram", "file")


def read_without_tensorflow(flags: Any) -> None:
    """Let TensorBoard read the log directory by its own file systems, where TensorFlow cannot."""
    directory = str(getattr(flags, "logdir", "") or "")
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]+)://", directory)
    if scheme is None or scheme.group(1).lower() in _OF_TENSORFLOW:
        return
    from tensorboard import compat
    from tensorboard.compat import tensorflow_stub

    if compat.tf.__version__ != "stub" and importlib.util.find_spec("tensorflow_io") is None:
        vars(compat.tf).update(vars(tensorflow_stub))
