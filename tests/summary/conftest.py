"""One record of every kind."""

import numpy as np
import pytest

from keras_xai.probe import Probe
from tests.summary.epoch_records import epoch_of_records


@pytest.fixture
def records():
    return epoch_of_records


@pytest.fixture
def probe():
    x = np.random.default_rng(0).random((3, 8, 8, 1)).astype(np.float32)
    return Probe(x, [0, 1, 2], class_names=["zero", "<b>one</b>", "two"])
