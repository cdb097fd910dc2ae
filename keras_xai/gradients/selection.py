"""The selection of the variables that are recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from keras_xai.errors import InvalidInput, unknown
from keras_xai.records import layer_of

Patterns = str | Iterable[str] | None


@dataclass(frozen=True)
class Selection:
    """The variables that some pattern of `include` matches (None: all) and none of `exclude` does.

    A pattern is a layer's path or name, or a variable's path, with the wildcards `*`, `?` and `[…]`: it matches where
    it equals any unbroken stretch of the parts of `variable.path`. So "backbone" takes a whole sub-model,
    "backbone/top_conv" a layer, "*/kernel" every kernel.
    """

    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, include: Patterns, exclude: Patterns) -> Selection:
        """Return the selection that the arguments of a callback describe.

        Raises:
            InvalidInput: something that is not text, or an empty `include`.
        """
        included, excluded = _patterns("include", include), _patterns("exclude", exclude)
        if included == ():
            raise InvalidInput("include=() selects nothing; leave it out to record every variable.")
        return cls(included, excluded or ())

    def __contains__(self, path: str) -> bool:
        stretches = _stretches(path)
        is_included = self.include is None or _any_matches(self.include, stretches)
        return is_included and not _any_matches(self.exclude, stretches)

    def check(self, paths: Sequence[str]) -> None:
        """Compare with the variables of a model.

        Args:
            paths: of the trainable variables.

        Raises:
            InvalidInput: a pattern matches none of them, or no variable is left.
        """
        stretches_of = [_stretches(path) for path in paths]
        for pattern in (*(self.include or ()), *self.exclude):
            if not any(_any_matches((pattern,), stretches) for stretches in stretches_of):
                layers = [layer_of(path) for path in paths]
                names = [layer.rpartition("/")[2] for layer in layers]
                raise unknown("trainable layer or variable", pattern, dict.fromkeys([*layers, *names, *paths]))
        if paths and not any(path in self for path in paths):
            raise InvalidInput(f"include={self.include} and exclude={self.exclude} leave no variable to record.")


def _patterns(argument: str, value: Patterns) -> tuple[str, ...] | None:
    if value is None:
        return None
    try:
        patterns = (value,) if isinstance(value, str) else tuple(value)
    except TypeError:
        patterns = (value,)  # type: ignore[assignment]
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern:
            raise InvalidInput(f"{argument}={value!r}: expected layer paths or patterns like 'backbone/*', as text.")
    return patterns


def _stretches(path: str) -> tuple[str, ...]:
    """Return every unbroken stretch of a path's parts: "a", "a/b", "b" of "a/b"."""
    parts = path.split("/")
    return tuple("/".join(parts[a:b]) for a in range(len(parts)) for b in range(a + 1, len(parts) + 1))


def _any_matches(patterns: Iterable[str], stretches: Iterable[str]) -> bool:
    stretches = tuple(stretches)
    return any(fnmatchcase(stretch, pattern) for pattern in patterns for stretch in stretches)
