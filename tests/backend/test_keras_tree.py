"""The stand-ins for functions of newer versions of Keras give what those give."""

from __future__ import annotations

from collections import OrderedDict

import keras
import pytest

from keras_xai.backend.keras_tree import flatten_with_path

pytestmark = pytest.mark.oldest

STRUCTURES = [
    1,
    [1, 2],
    {"b": 1, "a": (2, 3)},
    OrderedDict([("b", [1, {"z": 2, "y": 3}]), ("a", 4)]),
    [{"q": {"b": 1}}, (2,), []],
]


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_paths_lead_to_the_leaves(structure):
    """In the order of `keras.tree.flatten`, and as Keras' own where it has one."""
    pairs = flatten_with_path(structure)
    assert [leaf for _, leaf in pairs] == keras.tree.flatten(structure)
    for path, leaf in pairs:
        value = structure
        for key in path:
            value = value[key]
        assert value is leaf
    if hasattr(keras.tree, "flatten_with_path"):
        assert pairs == keras.tree.flatten_with_path(structure)
