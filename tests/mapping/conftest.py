"""One record of a made-up network, whose numbers can be told apart."""

from __future__ import annotations

import pytest

from tests.mapping.mapping_records import mappings_of


@pytest.fixture
def mappings():
    return mappings_of
