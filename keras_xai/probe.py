"""The fixed samples that are explained again every epoch: what they are, what they are called, what is asked of them."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from keras_xai.errors import InvalidInput, listed, unknown
from keras_xai.frames import Names, as_arrays, native
from keras_xai.image import SCORED_CELLS, channel_axis, is_channels_first, pixels
from keras_xai.labels import coded, of_output
from keras_xai.tree import leaves, like, map_leaves

KINDS = ("table", "image", "series", "tokens")
WORDS = 500  # of a vocabulary that are all scored; of a larger one those that the probe holds
OTHER = "other"  # all features together that are not scored by themselves
PART = 2**24  # bytes of rows, as float64, that are worked on at a time: of a large probe no second copy is made
Arrays = Any  # an array, a list of arrays (several inputs) or a dict of arrays


class Probe:
    """A fixed set of samples with their labels, names and the question that is asked about them.

    Args:
        x: array (B, ...), or a list or dict of such for a model with several inputs; a frame (pandas, polars, ...), whose
            columns keep their names. Columns (B,) or (B, 1) by name are one table. Arrays are kept by reference, not to be
            written into while they are watched. A tuple (x, y) is accepted wherever a probe is. 128 samples or more make a
            drift score that can be believed.
        y: (B, ...) labels as `fit` takes them: classes as integers, floats, −1 and +1 or one-hot rows, labels of 0 and 1, or
            numbers; the model's output and its loss say which. Strings and categories are classes with names, see
            `keras_xai.labels.coded`. Of several outputs a dict or list, with `output`.
        target: the class or column to explain: an integer or a name, (B,) integers, or "sum" of several labels or numbers;
            default the true class, or, without labels, the class predicted at the first epoch. Several numbers need one.
        output: which output of several, by name or index, or a callable(model, x) -> scores (B, K).
        kind: "table", "image", "series" or "tokens"; guessed where the shape leaves no doubt: (B, F) is a table,
            (B, H, W, 1..4) an image. Else it is "" until the model is there, which says it: a recurrent layer or Conv1D
            reads a series, an `Embedding` tokens. Asked for where that leaves a doubt, too.
        feature_names: one a column (tables), a channel (series) or a position (tokens); of several inputs one for each in
            order, or as many as one of them has. Default the columns of a frame, the keys of a dict of columns.
        class_names: one a class, in order; default what strings and categories of `y` say.
        vocabulary: the word of each token id, a sequence or a dict from id to word.
        baseline: what "nothing" looks like, one sample or (B, ...); default the mean row of a table, else zeros.
        background: rows to compare with, for methods that average over a distribution.
        groups: what is scored as one: a dict from a group's name to its columns (names or indices) for a table, an
            integer map (H, W) for images. Tokens are scored by word, those that the probe does not hold as "other";
            "position", or `feature_names`, scores them by their place.
        store: "inputs" writes the gallery samples into the log directory, "none" nothing of them.

    Raises:
        InvalidInput: lengths that differ, NaN and missing values, dates, labels out of range, names that do not fit: with
            name and shape.

    Example:
        >>> import numpy as np
        >>> probe = Probe(np.zeros((4, 2), "float32"), [0, 1, 0, 1], feature_names=["age", "dose"])
        >>> probe.kind, probe.size, probe.features
        ('table', 4, ('age', 'dose'))
        >>> Probe({"age": np.zeros(4), "dose": np.ones(4)}, ["no", "yes", "no", "yes"]).class_names
        ('no', 'yes')
    """

    def __init__(
        self,
        x: Arrays,
        y: Any = None,
        *,
        target: Any = None,
        output: str | int | Callable[..., Any] | None = None,
        kind: str | None = None,
        feature_names: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        vocabulary: Sequence[str] | Mapping[int, str] | None = None,
        baseline: Any = None,
        background: Any = None,
        groups: Mapping[str, Sequence[str | int]] | NDArray[np.integer[Any]] | Literal["position"] | None = None,
        store: str = "inputs",
    ) -> None:
        if isinstance(x, tuple):
            if len(x) != 2 or y is not None:
                raise InvalidInput(
                    f"A tuple is read as (x, y); got {len(x)} entries{' and a y' if y is not None else ''}."
                )
            x, y = x
        samples = as_arrays(x)
        self.x = _checked(samples.arrays)
        self.size = _size(self.x)
        self.shapes: tuple[tuple[int, ...], ...] = tuple(array.shape[1:] for array in self.inputs)
        self.shape: tuple[int, ...] = self.shapes[0]
        self.keys: tuple[str, ...] | None = tuple(self.x) if isinstance(self.x, dict) else None
        self.kind = _kind(self.inputs, kind, framed=any(samples.names))
        codes, names = (None, None) if y is None else coded(of_output(y, output, self.size), class_names)
        self.y = None if codes is None else self._labels(codes)
        self.target = None if target is None else self._target(target)
        self.output = output
        class_names = names if class_names is None else class_names
        self.class_names = None if class_names is None else tuple(map(str, class_names))
        self.vocabulary = vocabulary
        self.baseline = None if baseline is None else _like_samples(baseline, "baseline")
        self.background = None if background is None else _like_samples(background, "background")
        if store not in ("inputs", "none"):
            raise InvalidInput(f"store={store!r}: expected 'inputs' or 'none'.")
        self.store = store
        self._asked_names = None if feature_names is None else _unlike(feature_names)
        self._frame_names: list[Names] = samples.names
        self.taken_apart = samples.taken_apart  # a frame, into its columns: `fit` got them otherwise
        self._asked_groups = groups
        self._settled: dict[str, Probe] = {}  # by kind, where a model had to say it
        self._true_classes: NDArray[np.int64] | Literal["open"] | None = "open"
        self._check_classes()
        self._settle()

    def _settle(self) -> None:
        """All that depends on the kind."""
        self.feature_names: Names = self._feature_names()
        self.groups: dict[str, list[int]] | NDArray[np.int64] | None = None
        by_position = isinstance(self._asked_groups, str) and self._asked_groups == "position" and self.kind == "tokens"
        if self.kind and self._asked_groups is not None and not by_position:
            self.groups = self._groups(self._asked_groups)
        named = by_position or self.feature_names or self.groups is not None
        self._words = None if named else self._scored_words()
        self.hash = self._hash()

    def of_kind(self, kind: str) -> Probe:
        """The same probe, known to be of this kind; itself where its kind is known.

        Raises:
            InvalidInput: names or groups that such samples cannot have.
        """
        if self.kind:
            return self
        if kind not in self._settled:
            clone = self._copy()
            clone.kind = kind
            clone._settle()
            self._settled[kind] = clone
        return self._settled[kind]

    def with_inputs(self, names: Sequence[str], part: Callable[[Any, str], Any]) -> Probe:
        """The same samples in the inputs that a model names: some of a dict, or columns of a table by themselves.

        Args:
            names: of the inputs.
            part: of x, a baseline or a background: that of one input.
        """
        clone = self._copy()
        clone.x = {name: part(self.x, name) for name in names}
        clone.shapes, clone.keys = tuple(array.shape[1:] for array in clone.x.values()), tuple(names)
        clone.shape = clone.shapes[0]
        for attribute in ("baseline", "background"):
            rows = getattr(self, attribute)
            setattr(clone, attribute, None if rows is None else {name: part(rows, name) for name in names})
        if self.keys is None or self.feature_names is None:
            clone._asked_names, clone._frame_names = None, [None] * len(names)
        else:
            each = [self._given(self.keys.index(name)) or () for name in names]
            clone._asked_names = tuple(itertools.chain(*each))
        clone._settle()
        return clone

    def _copy(self) -> Probe:
        clone = object.__new__(Probe)
        clone.__dict__ |= self.__dict__
        clone._settled = {}
        return clone

    @classmethod
    def of(cls, probe: Any) -> Probe:
        """A probe from a probe, or from what makes one: an array, or a tuple (x, y)."""
        return probe if isinstance(probe, cls) else cls(probe)

    @classmethod
    def from_dataset(cls, dataset: Iterable[Any], size: int = 128, **keywords: Any) -> Probe:
        """The first `size` samples of an iterable of batches (x, y), such as a `tf.data.Dataset` or `PyDataset`.

        x may be an array, a tuple or a dict of arrays, y too (with `output`). Single samples are stacked.

        Raises:
            InvalidInput: the data set is empty, its batches are not (x, y), or their arrays differ in length.
        """
        batches: list[tuple[Any, Any]] = []
        seen = 0
        items = (dataset[i] for i in range(len(dataset))) if hasattr(dataset, "__getitem__") else iter(dataset)  # type: ignore[arg-type]
        for batch in items:
            if not isinstance(batch, (tuple, list)) or len(batch) < 2:
                raise InvalidInput(
                    f"Expected batches (x, y), got {type(batch).__name__}; map the data set to (x, y) first."
                )
            batches.append((_batch(batch[0]), _batch(of_output(batch[1], keywords.get("output")))))
            seen += _rows_of_batch(*batches[-1]) or 1
            if seen >= size:
                break
        if not batches:
            raise InvalidInput("The data set gave no batch to make a probe of.")
        first_x, _ = batches[0]
        join = np.concatenate if _rows_of_batch(*batches[0]) is not None else np.stack
        # By key, not by order: batches of dicts may name their inputs in any.
        by_key = [x if isinstance(x, dict) else dict(enumerate(leaves(x))) for x, _ in batches]
        joined = [join([batch[key] for batch in by_key])[:size] for key in by_key[0]]
        return cls(like(first_x, joined), join([y for _, y in batches])[:size], **keywords)

    # What it holds.

    @property
    def inputs(self) -> list[NDArray[Any]]:
        """The arrays in order, whatever holds them."""
        return leaves(self.x)

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        shape = f"{len(self.shapes)} columns" if self.is_columns else str(self.shape)
        return f"Probe({self.size} samples, {self.kind or 'kind open'} {shape})"

    @property
    def classes(self) -> NDArray[np.int64] | None:
        """(B,) the true class where the labels are classes.

        Which they are is decided by the model's output and its loss. As long as no model was there it is a guess: integers, whole
        floats of few values, the signs −1 and +1, one-hot rows.
        """
        return guessed_classes(self.y) if isinstance(self._true_classes, str) else self._true_classes

    def with_classes(self, classes: NDArray[np.int64] | None) -> Probe:
        """The same probe with its true classes (B,) decided; None where labels are no classes."""
        clone = object.__new__(Probe)
        clone.__dict__ |= self.__dict__
        clone._true_classes = classes
        return clone

    # What it is pooled to before it is scored.

    @property
    def is_columns(self) -> bool:
        """Whether it is one table whose columns come as an input each, (B,) or (B, 1)."""
        several = self.keys is not None or len(self.shapes) > 1
        return several and self.kind in ("table", "") and all(shape in ((), (1,)) for shape in self.shapes)

    def as_table(self, values: Arrays) -> NDArray[Any]:
        """The columns of `is_columns`, in the structure of `x`, as one table (B, F)."""
        parts = values.values() if isinstance(values, Mapping) else values
        return np.concatenate([np.asarray(part).reshape(-1, 1) for part in parts], 1)

    @property
    def picture(self) -> tuple[int, ...]:
        """The shape of the (first) input that is an image; of the first input where none is."""
        return next((shape for shape in self.shapes if len(shape) >= 2), self.shape)

    @property
    def channels_first(self) -> bool:
        """Whether an image is (C, H, W)."""
        return self.kind == "image" and is_channels_first(self.picture)

    @property
    def pixels(self) -> tuple[int, int]:
        """(H, W) of an image."""
        return pixels(self.picture)

    @property
    def cell(self) -> int:
        """The side of one cell of an image in pixels."""
        return math.ceil(max(self.pixels) / SCORED_CELLS)

    @property
    def cells(self) -> tuple[int, int]:
        """(h, w) cells of an image, at most 16 a side."""
        return _cells(self.picture)[1]

    @property
    def features(self) -> tuple[str, ...]:
        """(F) the names of what is scored: columns or their groups, image cells, sensor channels, words."""
        if self._words is None:
            return self.own_features
        names: list[str] = []
        known = self.word_names
        for k, (prefix, words) in enumerate(zip(self._prefixes(), self._words, strict=True)):
            own = self._features_of(k)
            if words is not None:
                own = [*(known.get(token, f"token {token}") for token in words.tolist()), OTHER]
            names += [f"{prefix}{name}" for name in own]
        return tuple(names)

    @property
    def own_features(self) -> tuple[str, ...]:
        """The names of what entries of a sample are together, whatever they hold: `features`, but for tokens positions."""
        if self.is_columns:
            return tuple(self.groups) if isinstance(self.groups, dict) else self.column_names
        return tuple(f"{prefix}{name}" for k, prefix in enumerate(self._prefixes()) for name in self._features_of(k))

    def _prefixes(self) -> list[str]:
        several = len(self.shapes) > 1
        return [f"{key}: " for key in self.keys or range(len(self.shapes))] if several else [""]

    @property
    def feature_count(self) -> int:
        """F, without making their names."""
        if self.is_columns:
            return len(self.groups) if isinstance(self.groups, dict) else len(self.shapes)
        return sum(self._feature_counts())

    def _feature_counts(self) -> list[int]:
        """F of each input by itself."""
        words = self._words or [None] * len(self.shapes)
        counts = zip(self.shapes, words, strict=True)
        return [self._count_of(shape) if ids is None else len(ids) + 1 for shape, ids in counts]

    def of_inputs(self, inputs: Sequence[int]) -> NDArray[np.bool_]:
        """(F) which features are those of some inputs, wholly or in part."""
        if self.is_columns:
            members = self.groups.values() if isinstance(self.groups, dict) else [[k] for k in range(len(self.shapes))]
            return np.asarray([any(k in inputs for k in group) for group in members])
        return np.concatenate([np.full(count, k in inputs) for k, count in enumerate(self._feature_counts())])

    @property
    def scored_by_word(self) -> bool:
        """Whether tokens are scored by what they are, not by where they stand."""
        return self._words is not None

    def pooled(
        self, values: Arrays, each: Callable[[Any], Any] = np.asarray, samples: Sequence[NDArray[Any]] | None = None
    ) -> NDArray[np.float64]:
        """Attributions or gradients in the shape of `x`, summed over what belongs together: (B, F) in `features`.

        Args:
            values: (B, ...) an input.
            each: applied before they are summed, as `np.abs`.
            samples: (B, ...) an input, what the values are of, where these are not the probe's own.
        """
        if self.is_columns and not isinstance(values, np.ndarray):
            return self._grouped(np.asarray(each(self.as_table(values)), np.float64))
        pooled = []
        for k, array in enumerate(leaves(values)):
            words = self._words[k] if self._words is not None else None
            if words is not None:
                tokens = (self.inputs if samples is None else samples)[k]
                pooled.append(_by_word(np.asarray(each(array), np.float64), tokens, words))
                continue
            rows = [self._pooled(np.asarray(each(part), np.float64)) for part in parts_of(np.asarray(array))]
            pooled.append(np.concatenate(rows))
        return np.concatenate(pooled, 1)

    def owners(self) -> list[NDArray[np.int64]]:
        """Which of its input's `own_features` each entry of a sample goes to, an array an input; of columns one for all."""
        if self.is_columns:
            owners = np.arange(len(self.shapes))
            for feature, members in enumerate(self.groups.values() if isinstance(self.groups, dict) else ()):
                owners[members] = feature
            return [owners]
        return [self._owners(shape) for shape in self.shapes]

    @property
    def word_names(self) -> dict[int, str]:
        """The name of each token of the vocabulary; a number is added to what more than one is called."""
        if self.vocabulary is None:
            return {}
        words = self.vocabulary
        pairs = words.items() if isinstance(words, Mapping) else enumerate(words)
        names = {int(token): str(word) for token, word in pairs}
        counts = Counter(names.values())
        return {
            t: w if counts[w] == 1 and w not in ("", OTHER) else f"{w} (token {t})".strip() for t, w in names.items()
        }

    def _scored_words(self) -> list[NDArray[np.int64] | None] | None:
        """The tokens of each input that are scored by themselves; None for one of numbers, and where no input is of tokens."""
        if self.kind != "tokens":
            return None
        words = [
            np.unique(array).astype(np.int64) if array.dtype.kind in "iu" and array.ndim == 2 else None
            for array in self.inputs
        ]
        names = self.word_names
        if len(words) == 1 and words[0] is not None and len(names) <= WORDS:
            words[0] = np.union1d(words[0], np.asarray(list(names), np.int64))
        return words if any(ids is not None for ids in words) else None

    def feature_masks(self) -> list[list[NDArray[np.bool_]]]:
        """For each of `own_features` one mask an input, in the shape of a sample: the entries that it is made of."""
        shapes, masks = self.shapes, []
        if self.is_columns:
            members = self.groups.values() if isinstance(self.groups, dict) else [[k] for k in range(len(shapes))]
            return [[np.full(shape, k in group) for k, shape in enumerate(shapes)] for group in map(set, members)]
        for k, shape in enumerate(shapes):
            owners = self._owners(shape)
            for feature in range(owners.max() + 1):
                masks.append([owners == feature if j == k else np.zeros(s, bool) for j, s in enumerate(shapes)])
        return masks

    def _owners(self, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """Which feature of its input each entry of a sample goes to, as `_pooled` adds them up."""
        if self.kind == "image" and len(shape) >= 2:
            if isinstance(self.groups, np.ndarray):
                plane = np.unique(self.groups, return_inverse=True)[1].reshape(self.pixels)
            else:
                side, cells = _cells(shape)
                rows, columns = np.indices(pixels(shape)) // side
                plane = rows * cells[1] + columns
            beside = len(shape) == 3 and not is_channels_first(shape)
            return np.broadcast_to(plane[..., None] if beside else plane, shape)
        if self.kind == "series" and len(shape) == 2:
            return np.broadcast_to(np.arange(shape[1]), shape)
        owners = np.arange(math.prod(shape))
        if isinstance(self.groups, dict):
            for feature, members in enumerate(self.groups.values()):
                owners[members] = feature
        return owners.reshape(shape)

    def _pooled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        size, shape = len(values), values.shape[1:]
        if self.kind == "image" and len(shape) >= 2:
            flat = values if len(shape) == 2 else values.sum(channel_axis(shape))  # (B, H, W)
            if isinstance(self.groups, np.ndarray):
                segments = np.unique(self.groups)
                return np.stack([flat[:, self.groups == s].sum(1) for s in segments], 1)
            k, (h, w) = _cells(shape)
            flat = np.pad(flat, ((0, 0), (0, h * k - flat.shape[1]), (0, w * k - flat.shape[2])))
            return flat.reshape(size, h, k, w, k).sum((2, 4)).reshape(size, h * w)
        if self.kind == "series" and len(shape) == 2:
            return values.sum(1)  # one a sensor channel
        return self._grouped(values.reshape(size, -1))

    def _grouped(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """(B, F) columns, summed by the groups that the user names."""
        if isinstance(self.groups, dict):
            return np.stack([columns[:, members].sum(1) for members in self.groups.values()], 1)
        return columns

    def names_of(self, k: int) -> Sequence[str]:
        """The names of the columns, channels or positions of one input."""
        own = self._given(k)
        shape = self.shapes[k]
        if self.kind == "series" and len(shape) == 2:
            return own or [f"channel {c}" for c in range(shape[-1])]
        beside = self.kind == "series" and any(len(other) == 2 for other in self.shapes)
        word = "position" if self.kind in ("tokens", "series") and not beside else "column"
        return own or [f"{word} {i}" for i in range(math.prod(shape))]

    def _given(self, k: int) -> Names:
        """What of `feature_names` belongs to one input; None where it has no names."""
        names = self.feature_names
        if not names:
            return None
        counts = list(map(self._nameable, self.shapes))
        if len(names) == sum(counts):
            begin = sum(counts[:k])
            return names[begin : begin + counts[k]] or None
        return names if len(names) == counts[k] else None

    def _nameable(self, shape: tuple[int, ...]) -> int:
        """How many names an input takes."""
        if self.kind == "image" and len(shape) >= 2:
            return 0
        return shape[-1] if self.kind == "series" and len(shape) == 2 else math.prod(shape)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of `is_columns`, one an input."""
        names = self.feature_names or self.keys or ()
        return names if len(names) == len(self.shapes) else tuple(f"column {k}" for k in range(len(self.shapes)))

    def _features_of(self, k: int) -> Sequence[str]:
        shape = self.shapes[k]
        if self.kind == "image" and len(shape) >= 2:
            if isinstance(self.groups, np.ndarray):
                return [f"segment {s}" for s in np.unique(self.groups)]
            h, w = _cells(shape)[1]
            return [f"block ({r},{c})" for r in range(h) for c in range(w)]
        if isinstance(self.groups, dict) and not (self.kind == "series" and len(shape) == 2):
            return list(self.groups)
        return self.names_of(k)

    def _count_of(self, shape: tuple[int, ...]) -> int:
        """How many names `_features_of` gives."""
        if self.kind == "image" and len(shape) >= 2:
            return len(np.unique(self.groups)) if isinstance(self.groups, np.ndarray) else math.prod(_cells(shape)[1])
        if self.kind == "series" and len(shape) == 2:
            return shape[-1]
        return len(self.groups) if isinstance(self.groups, dict) else math.prod(shape)

    # The gallery.

    def gallery(self, count: int) -> Probe:
        """A class-balanced selection for looking at: the first rows of each class, the rest from the largest classes."""
        chosen = self.gallery_rows(count)
        take: Callable[[Any], Any] = lambda a: a if a is None else a[chosen]  # noqa: E731
        clone = self._copy()
        clone.x = map_leaves(take, self.x)
        clone.size = len(chosen)
        clone.y = take(self.y)
        clone._true_classes = self._true_classes if isinstance(self._true_classes, str) else take(self._true_classes)
        clone.target = take(self.target) if isinstance(self.target, np.ndarray) and self.target.ndim else self.target
        clone.baseline = self._rows_of_baseline(chosen)
        return clone

    def _rows_of_baseline(self, rows: NDArray[np.int64]) -> Any:
        """The baseline of some rows: one for each where there is one for each, else the same."""

        def taken(base: Any, array: NDArray[Any]) -> Any:
            return np.asarray(base)[rows] if np.shape(base) == array.shape else base

        if isinstance(self.baseline, Mapping):
            arrays = self.x if isinstance(self.x, dict) else {}
            return {k: taken(base, arrays[k]) if k in arrays else base for k, base in self.baseline.items()}
        if isinstance(self.baseline, (list, tuple)) and len(self.inputs) > 1:
            return [taken(base, array) for base, array in zip(self.baseline, self.inputs, strict=False)]
        return taken(self.baseline, self.inputs[0])

    def gallery_rows(self, count: int) -> NDArray[np.int64]:
        """The rows of `gallery`: as many of each class as go in evenly, in row order, the remainder from the largest."""
        count = min(count, self.size)
        classes = self.classes
        if classes is None:
            return np.arange(count)
        labels, sizes = np.unique(classes, return_counts=True)
        largest_first = np.argsort(-sizes, kind="stable")
        share = np.zeros(len(labels), np.int64)
        while share.sum() < count:
            # One more of every class that still has rows, the largest classes first when not all fit.
            open_classes = [k for k in largest_first if share[k] < sizes[k]]
            for k in open_classes[: count - share.sum()]:
                share[k] += 1
        rows = [np.flatnonzero(classes == label)[:n] for label, n in zip(labels, share, strict=True)]
        return np.concatenate(rows).astype(np.int64)

    # The wire's view.

    def description(self) -> dict[str, Any]:
        """What is known of the samples besides their values, as plain JSON."""
        stored = self.store == "inputs" and self.x is not None
        vocabulary = self.vocabulary
        words = {
            str(k): str(v)
            for k, v in (vocabulary.items() if isinstance(vocabulary, Mapping) else enumerate(vocabulary or ()))
        }
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "shapes": [list(shape) for shape in self.shapes],
            "size": self.size,
            "inputs": list(self.keys) if self.keys is not None else len(self.shapes),
            "labels": self.y.tolist() if stored and self.y is not None else None,
            **self._settled_classes(stored),
            "class_names": self.class_names,
            "output": getattr(self.output, "__name__", "callable") if callable(self.output) else self.output,
            "segments": self.groups.tolist() if isinstance(self.groups, np.ndarray) else None,
            "groups": {k: [int(i) for i in v] for k, v in self.groups.items()}
            if isinstance(self.groups, dict)
            else None,
            "vocabulary": words,
            "store": self.store,
            "hash": self.hash,
        }

    def _settled_classes(self, stored: bool) -> dict[str, Any]:
        if isinstance(self._true_classes, str):
            return {}
        return {"classes": self._true_classes.tolist() if stored and self._true_classes is not None else None}

    @classmethod
    def from_description(cls, x: Arrays | None, names: tuple[str, ...] | None, description: Mapping[str, Any]) -> Probe:
        """A probe as read back; without stored inputs `x` and `y` are None."""
        probe = object.__new__(cls)
        probe.x = x
        probe.kind = str(description["kind"])
        probe.shape = tuple(map(int, description["shape"]))
        written = [tuple(map(int, shape)) for shape in description.get("shapes") or [probe.shape]]
        probe.shapes = tuple(written if x is None else [array.shape[1:] for array in probe.inputs])
        inputs = tuple(x) if isinstance(x, dict) else description.get("inputs")
        probe.keys = tuple(map(str, inputs)) if isinstance(inputs, (list, tuple)) else None
        probe._asked_names, probe._frame_names = names, [None] * len(probe.shapes)
        probe._settled = {}
        probe.size = int(description["size"])
        probe.y = None if description.get("labels") is None else np.asarray(description["labels"])
        probe._true_classes = "open"
        if "classes" in description:
            classes = description["classes"]
            probe._true_classes = None if classes is None else np.asarray(classes, np.int64)
        probe.target = None
        probe.output = description.get("output")
        probe.class_names = (
            None if description.get("class_names") is None else tuple(map(str, description["class_names"]))
        )
        probe.feature_names = names
        probe._words = None  # which words were scored is told by the importance
        probe.vocabulary = {int(k): str(v) for k, v in description.get("vocabulary", {}).items()} or None
        probe.baseline = probe.background = None
        segments, groups = description.get("segments"), description.get("groups")
        probe.groups = np.asarray(segments) if segments is not None else dict(groups) if groups is not None else None
        probe._asked_groups = probe.groups
        probe.taken_apart = False
        probe.store = str(description.get("store", "inputs"))
        probe.hash = str(description.get("hash", ""))
        return probe

    # Checks.

    def _labels(self, y: Any) -> NDArray[Any]:
        labels = np.asarray(y)
        if labels.dtype == object or labels.dtype.kind in "US":
            raise InvalidInput(
                f"y has dtype {labels.dtype}: expected integer classes or floats; encode the names as integers."
            )
        if labels.ndim == 0 or len(labels) != self.size:
            raise InvalidInput(
                f"y has shape {labels.shape}, x has {self.size} samples: one label a sample is expected."
            )
        if np.issubdtype(labels.dtype, np.floating) and not np.isfinite(labels).all():
            raise InvalidInput(f"y of shape {labels.shape} contains NaN or infinite values.")
        return labels.astype(np.int64) if labels.dtype == bool else labels

    def _target(self, target: Any) -> NDArray[np.int64] | str:
        if isinstance(target, str):
            return target  # a name, or "sum": what it stands for is known with the model
        found = np.asarray(target)
        if not np.issubdtype(found.dtype, np.integer) or found.shape not in ((), (self.size,)):
            raise InvalidInput(
                f"target has shape {found.shape} and dtype {found.dtype}: expected one class, or one integer for each of the "
                f"{self.size} samples."
            )
        if found.size and found.min() < 0:
            raise InvalidInput(f"target holds the class {found.min()}: classes count from 0.")
        return found.astype(np.int64)

    def _feature_names(self) -> Names:
        """One for each column, channel or position of all inputs, as the user or the frames name them."""
        names = self._asked_names
        counts = list(map(self._nameable, self.shapes))
        if names is None:
            if not any(self._frame_names):
                return None
            named = zip(self._frame_names, counts, strict=True)
            return tuple(itertools.chain(*(own or [f"column {i}" for i in range(count)] for own, count in named)))
        if len(names) == sum(counts) or (not self.kind and len(names) == self.shape[-1]):
            return names
        if len(counts) > 1 and len(names) in counts and not self.is_columns:
            return names  # of one input among several
        if not any(counts):
            raise InvalidInput(
                f"feature_names has {len(names)} names, x of shape {self.inputs[0].shape} is an image: it is scored by cells; "
                f"name parts of it with groups= an integer map {self.pixels}."
            )
        shapes = " and ".join(str(array.shape) for array in self.inputs[:4]) + (" …" if len(counts) > 4 else "")
        raise InvalidInput(f"feature_names has {len(names)} names, x has {sum(counts)} features (shape {shapes}).")

    def _groups(self, groups: Any) -> dict[str, list[int]] | NDArray[np.int64]:
        if self.kind == "image":
            segments = np.asarray(groups)
            if segments.shape != self.pixels or not np.issubdtype(segments.dtype, np.integer):
                raise InvalidInput(
                    f"groups has shape {segments.shape} and dtype {segments.dtype}: for images of {self.pixels} an integer "
                    f"map of that shape is expected."
                )
            return segments.astype(np.int64)
        if not isinstance(groups, Mapping):
            raise InvalidInput(
                f"groups is a {type(groups).__name__}: expected a dict from a group's name to its columns."
            )
        if len(self.shapes) > 1 and not self.is_columns:
            raise InvalidInput(f"groups names columns of one table, x has {len(self.shapes)} inputs of other shapes.")
        count = len(self.shapes) if self.is_columns else math.prod(self.shape)
        names = list(self.column_names if self.is_columns else self.feature_names or ())
        found: dict[str, list[int]] = {}
        for group, members in groups.items():
            found[str(group)] = []
            for member in members:
                if isinstance(member, str) and member not in names:
                    raise unknown(
                        f"feature in group {group!r} named", member, names or [f"column {i}" for i in range(count)]
                    )
                column = names.index(member) if isinstance(member, str) else int(member)
                if not 0 <= column < count:
                    raise InvalidInput(f"groups[{group!r}] holds the column {column}, x has {count}.")
                found[str(group)].append(column)
        taken = [c for members in found.values() for c in members]
        if len(set(taken)) < len(taken):
            raise InvalidInput(
                f"groups: column {next(c for c in taken if taken.count(c) > 1)} is in more than one group."
            )
        for column in range(count):  # what no group names stands for itself
            if column not in taken:
                found[names[column] if names else f"column {column}"] = [column]
        return found

    def _check_classes(self) -> None:
        classes = self.classes
        if (
            self.class_names is not None
            and classes is not None
            and classes.size
            and classes.max() >= len(self.class_names)
        ):
            raise InvalidInput(f"y holds the class {classes.max()}, class_names has {len(self.class_names)} names.")

    def _hash(self) -> str:
        """Of everything that the explanations depend on; two probes with one hash give the same numbers."""
        digest = hashlib.sha256(
            repr((self.kind, self.features, self.output if not callable(self.output) else "callable")).encode()
        )
        for array in (
            *self.inputs,
            self.y,
            None if self.target is None else np.asarray(self.target),
            *_baseline_parts(self.baseline, len(self.inputs)),
        ):
            if array is not None:
                digest.update(repr((array.shape, str(array.dtype))).encode())
                update_digest(digest, array)
        return digest.hexdigest()[:16]


def _baseline_parts(baseline: Any, inputs: int) -> list[NDArray[Any]]:
    """A baseline's arrays, as far as they are arrays: what is none is told when it is used."""
    if baseline is None:
        return []
    several = isinstance(baseline, (list, tuple)) and inputs > 1
    parts = list(baseline.values()) if isinstance(baseline, Mapping) else list(baseline) if several else [baseline]
    try:
        return [np.asarray(part) for part in parts]
    except ValueError:
        return []


def parts_of(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The rows of an array in order, as views of as many as make up 16 MiB, in parts of one size or one less."""
    size = len(array)
    rows = max(1, PART // max(1, 8 * math.prod(array.shape[1:])))
    edges = np.linspace(0, size, max(1, -(-size // rows)) + 1).astype(int)
    return (array[begin:end] for begin, end in itertools.pairwise(edges))


def _by_word(values: NDArray[np.float64], tokens: NDArray[Any], words: NDArray[np.int64]) -> NDArray[np.float64]:
    """(B, W + 1) the sum of values (B, T) for each of the words (W, sorted), and of all other tokens."""
    size, columns = len(values), len(words) + 1
    place = np.minimum(np.searchsorted(words, tokens), len(words) - 1)
    place = np.where(words[place] == tokens, place, len(words))
    index = (np.arange(size)[:, None] * columns + place).ravel()
    summed = np.bincount(index, values.reshape(size, -1).ravel(), size * columns).astype(np.float64)
    return summed.reshape(size, columns)


def update_digest(digest: Any, array: NDArray[Any]) -> None:
    """Feed a digest of `hashlib` what an array holds, without a copy of all its bytes."""
    if array.dtype == object:
        digest.update(repr(array.tolist()).encode())
        return
    for part in parts_of(np.atleast_1d(array)):
        digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8))


def guessed_classes(y: NDArray[Any] | None) -> NDArray[np.int64] | None:
    """(B,) what labels (B, ...) look like as classes, None where they do not."""
    if y is None:
        return None
    if y.ndim == 2 and y.shape[1] > 1 and _one_hot(y):
        return y.argmax(1).astype(np.int64)
    if y.size != len(y) or y.dtype.kind not in "iuf":
        return None
    values = y.reshape(-1)
    different = np.unique(values)
    if np.isin(different, (-1, 1)).all() and different[0] == -1:
        return (values > 0).astype(np.int64)
    few = y.dtype.kind in "iu" or len(different) <= max(2, len(y) // 8)
    whole = bool((different == np.round(different)).all() and different[0] >= 0)
    return values.astype(np.int64) if few and whole else None


def _one_hot(y: NDArray[Any]) -> bool:
    return bool(((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all())


def _cells(shape: tuple[int, ...]) -> tuple[int, tuple[int, int]]:
    """The side of a cell of an image in pixels, and how many cells (h, w) there are."""
    height, width = pixels(shape)
    side = math.ceil(max(height, width) / SCORED_CELLS)
    return side, (math.ceil(height / side), math.ceil(width / side))


def _unlike(names: Sequence[str]) -> tuple[str, ...]:
    """Names of features, each once.

    Raises:
        InvalidInput: a name stands there twice.
    """
    names = tuple(map(str, names))
    if len(set(names)) < len(names):
        twice = sorted({n for n in names if names.count(n) > 1})
        raise InvalidInput(f"feature_names holds the same name more than once: {listed(twice)}.")
    return names


def _like_samples(values: Any, name: str) -> Any:
    """Baselines and background rows: frames as arrays, everything else as it is given."""
    frame = native(values)
    return values if frame is None or not hasattr(frame, "columns") else as_arrays(values, name).arrays


def _batch(part: Any) -> Any:
    """One batch of a data set, x or y: an array, a list or dict of such; single samples stay single."""
    if isinstance(part, Mapping):
        return {str(k): np.asarray(v) for k, v in part.items()}
    if isinstance(part, (list, tuple)) and part and all(hasattr(v, "shape") for v in part):
        return [np.asarray(v) for v in part]
    return np.asarray(part)


def _rows_of_batch(x: Any, y: Any) -> int | None:
    """How many samples a batch holds; None where it is no batch but a single sample.

    Raises:
        InvalidInput: arrays of different lengths, as single samples and batches without labels have.
    """
    parts = [*leaves(x), y]
    if any(part.ndim == 0 for part in parts):
        return None
    lengths = {len(part) for part in parts}
    if len(lengths) > 1:
        raise InvalidInput(
            f"A batch holds arrays of shape {' and '.join(str(part.shape) for part in parts)}: expected as many rows in each; "
            f"of single samples make batches first, as dataset.batch(32)."
        )
    return lengths.pop()


def _checked(arrays: Any) -> Any:
    """The arrays themselves.

    Raises:
        InvalidInput: no samples, NaN or infinite values.
    """
    if isinstance(arrays, dict):
        return {key: _array(array, f"x[{key!r}]") for key, array in arrays.items()}
    return (
        [_array(array, f"x[{k}]") for k, array in enumerate(arrays)]
        if isinstance(arrays, list)
        else _array(arrays, "x")
    )


def _array(array: NDArray[Any], name: str) -> NDArray[Any]:
    if array.ndim < 1 or array.shape[0] == 0:
        raise InvalidInput(f"{name} has shape {array.shape}: expected samples along the first axis, at least one.")
    if array.dtype.kind in "fc" and not all(np.isfinite(part).all() for part in parts_of(array)):
        bad = np.argwhere(~np.isfinite(array))[0]
        raise InvalidInput(
            f"{name} of shape {array.shape} contains NaN or infinite values, the first at {tuple(map(int, bad))}: fill or "
            f"drop them; an attribution of NaN means nothing."
        )
    return array


def _size(x: Any) -> int:
    parts = x if isinstance(x, dict) else dict(enumerate(x)) if isinstance(x, list) else {"": x}
    sizes = {k: len(v) for k, v in parts.items()}
    if len(set(sizes.values())) > 1:
        raise InvalidInput(f"The inputs of x differ in their number of samples: {sizes}.")
    return next(iter(sizes.values()))


def _kind(inputs: list[NDArray[Any]], kind: str | None, framed: bool = False) -> str:
    """The kind of samples; "" where it takes the model to say it.

    Raises:
        InvalidInput: an unknown kind, or arrays of five axes, which no model makes any of the kinds.
    """
    if kind is not None:
        if kind not in KINDS:
            raise unknown("kind of input", kind, KINDS)
        return kind
    if len(inputs) > 1:
        if any(array.ndim > 2 for array in inputs):
            return _kind([max(inputs, key=lambda a: a.ndim)], None)
        ids = not framed and all(array.dtype.kind in "iu" for array in inputs)
        return "" if ids and any(array[0].size > 1 for array in inputs) else "table"
    array = inputs[0]
    if array.ndim <= 2:
        ids = array.dtype.kind in "iu" and array[0].size > 1
        return "" if ids and not framed else "table"
    if array.ndim == 4 and (array.shape[-1] <= 4 or array.shape[1] <= 4):
        return "image"
    if array.ndim > 4:
        raise doubt(array)
    return ""


def doubt(array: NDArray[Any]) -> InvalidInput:
    """The error where neither the shape of samples nor the model says what they are."""
    return InvalidInput(
        f"x has shape {array.shape} and dtype {array.dtype}: that can be more than one thing; say which with kind= one of "
        f"{listed(KINDS)} (images without a channel axis: kind='image'; integer columns: 'table' or 'tokens')."
    )
