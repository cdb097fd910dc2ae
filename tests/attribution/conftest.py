"""Models that are built once for all the tests of a worker."""

import numpy as np
import pytest

from tests.attribution.models import MODELS, functional


@pytest.fixture(scope="session", params=MODELS)
def case(request):
    """(model, x): a built model and six samples."""
    model = MODELS[request.param]()
    shape = (6, 5) if request.param == "table" else (6, 8, 8, 2)
    return model, np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="session")
def cnn():
    return functional()


@pytest.fixture(scope="session")
def images():
    return np.random.default_rng(1).normal(size=(6, 8, 8, 2)).astype(np.float32)
