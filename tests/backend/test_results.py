"""The result of a traced function: facts stay, tensors are filled in."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from keras_xai.backend.results import Template


class Part(NamedTuple):
    values: list[Any]
    name: str


def test_a_template_is_filled_in_the_order_of_its_tensors():
    """Lists, tuples, named tuples and dicts keep their types; everything else is a fact."""
    a, b, c = np.zeros(1), np.ones(2), np.ones(3)
    template = Template(
        {"part": Part([a, 7, b], "x"), "pair": (c, None), "facts": ("y", [1])}, lambda v: isinstance(v, np.ndarray)
    )
    tensors = template.forget()
    assert [len(tensor) for tensor in tensors] == [1, 2, 3]
    assert template.tensors == []
    assert template.facts() == {"part": Part([None, 7, None], "x"), "pair": (None, None), "facts": ("y", [1])}
    for fed in ("abc", "def"):
        first, second, third = fed
        assert template.filled(fed) == {
            "part": Part([first, 7, second], "x"),
            "pair": (third, None),
            "facts": ("y", [1]),
        }
    assert isinstance(template.filled("abc")["part"], Part)


def test_a_tensor_alone_and_no_tensor_at_all():
    """Both are results."""
    is_tensor = lambda value: isinstance(value, np.ndarray)  # noqa: E731
    assert Template(np.zeros(2), is_tensor).filled(["t"]) == "t"
    assert Template("fact", is_tensor).filled([]) == "fact"
