"""The line to write for an output that is no row of scores: which description of `kx.outputs` it asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

WORDS_OF_CLASSES = ("class", "cls", "logit")
WORDS_OF_BOXES = ("box", "bbox")


def hint_of_shape(shape: Sequence[int | None], inputs: Sequence[tuple[int, ...]]) -> str:
    """The description that an output (n, ...) asks for, as code and in words; "" where none does.

    Args:
        shape: of the output.
        inputs: (...) of a sample of each input.
    """
    axes = len(shape) - 1
    of_maps = any(len(sides) >= 3 for sides in inputs)
    if axes >= 3 or (axes == 2 and of_maps):
        return "kx.outputs.segmentation(target=…), which explains a class over a region of pixels"
    if axes == 2:
        return (
            "kx.outputs.tagging(target=…), which explains a tag over the steps that have it, or kx.outputs.next_token(…), a "
            "token at a step"
        )
    return ""


def hint_of_names(names: Iterable[str]) -> str:
    """The description that several outputs ask for by their names, as a clause; "" where none does."""
    lowered = [name.lower() for name in names]
    has_boxes = any(_holds_word(name, WORDS_OF_BOXES) for name in lowered)
    if has_boxes and any(is_name_of_classes(name) for name in lowered):
        return " Of a detector a class at a box is explained with output=kx.outputs.detection(target=…)."
    return ""


def is_name_of_classes(name: str) -> bool:
    """True for the name of an output that holds the classes of boxes."""
    last = name.lower().rpartition("/")[2]
    return _holds_word(last, WORDS_OF_CLASSES) and not _holds_word(last, WORDS_OF_BOXES)


def _holds_word(name: str, words: Sequence[str]) -> bool:
    return any(word in name for word in words)
