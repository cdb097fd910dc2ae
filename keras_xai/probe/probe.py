"""`Probe`: a fixed set of samples, with names, labels and the question that is asked about them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from keras_xai.errors import InvalidInput
from keras_xai.frames import Names, as_arrays, warn_of_conversion
from keras_xai.labels import coded, guess_classes, of_output
from keras_xai.outputs.dense import Dense
from keras_xai.outputs.spec import OutputSpec, output_name
from keras_xai.outputs.words import explained_words
from keras_xai.probe.batches import first_samples
from keras_xai.probe.checks import check_arrays, check_class_names, check_labels, check_rows, check_target
from keras_xai.probe.chunks import update_digest
from keras_xai.probe.features import FeatureMap, is_columns, tokens_to_score, unique_words
from keras_xai.probe.gallery import balanced_rows, rows_of_baseline
from keras_xai.probe.kinds import guess_kind
from keras_xai.probe.names import Groups, Shape, resolve_groups, resolve_names, resolve_segments, unique_names
from keras_xai.probe.region import Mask, check_region, resolve_region, rows_of_region
from keras_xai.probe.slices import Slices, check_slices, rows_of_slices
from keras_xai.probe.source import source_words
from keras_xai.spatial import SPATIAL_KINDS, SpatialShape, kind_of_input
from keras_xai.tree import leaves, map_leaves

Arrays = Any  # an array, a list of arrays (several inputs) or a dict of arrays
Classes = NDArray[np.int64] | None
POSITION_AXES = {"image": 2, "volume": 3}  # of what the positions of a dense output lie in; of other kinds 1
UNDECIDED: Literal["undecided"] = "undecided"  # no model has said yet whether labels are classes


class Probe:
    """A fixed set of samples that is explained again every epoch; not a trained linear readout.

    It holds the samples, their labels and names, and the question that is asked about them. It does not change once it is made.

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
        output: which output of several, by name or index; a description of `keras_xai.outputs`, where the model says something
            at every pixel, step or box, with one label for each in `y`; or a callable(model, x) -> scores (B, K).
        kind: "table", "image", "series", "tokens" or "volume"; guessed where the shape leaves no doubt: (B, F) is a table,
            (B, H, W, 1..4) an image, (B, D, H, W, C) a volume, or a video whose frames lie along D. Else it is "" until the
            model is there, which says it: a recurrent layer or Conv1D reads a series, an `Embedding` tokens, a Conv3D a
            volume. Asked for where that leaves a doubt, too.
        feature_names: one a column (tables), a channel (series) or a position (tokens); of several inputs one for each in
            order, or as many as one of them has. Default the columns of a frame, the keys of a dict of columns.
        class_names: one a class, in order; default what strings and categories of `y` say.
        vocabulary: the word of each token id, a sequence or a dict from id to word.
        baseline: what "nothing" looks like, one sample or (B, ...); default the mean row of a table, else zeros.
        background: rows to compare with, for methods that average over a distribution.
        groups: what is scored as one: a dict from a group's name to its columns (names or indices) for a table, an
            integer map (H, W) for images, (D, H, W) for volumes. Tokens are scored by word, those that the probe does not
            hold as "other"; "position", or `feature_names`, scores them by their position.
        slices: parts of the rows to be looked at by themselves, {"hospital": hospital, "sex": sex}: of each the value (B,) of
            every row, strings, whole numbers, truth values or categories of a frame, at most 64 different ones. They are not
            fed to the model. Accuracy, confidence and importance are recorded for each value.
        region: where images should be looked at: a mask (B, H, W), or (H, W) for all, true inside; or boxes (B, 4) as (top,
            left, bottom, right) in pixels, without the last row and column. Of volumes a mask (B, D, H, W) or (D, H, W), or
            boxes (B, 6) as (front, top, left, back, bottom, right). What share of the attribution lies inside is recorded. A
            row of which no pixel is inside says nothing.
        store: "inputs" writes the gallery samples into the log directory, "none" nothing of them.

    Raises:
        InvalidInput: lengths that differ, NaN and missing values, dates, labels out of range, names that do not fit, masks of
            another shape: with name and shape.

    Attributes:
        size: the number of samples B.
        shapes: of one sample, one an input; `shape` is the first.
        keys: names of the inputs, None where they have none.
        hash: 16 hexadecimal digits; two probes of one hash give the same explanations.
        slices: of each slice by name (labels, codes): its values as text, and (B,) the number of each row's; {} without.
        region: (B, H, W) or (B, D, H, W) true inside; None without, and as long as no model has said that these are images.
        rows: (B,) of a gallery the rows of the probe that it was chosen from, which has `whole_size` rows; None of a probe
            that was chosen from no other, and in older files.
        decided_classes: (B,) the true classes as a model decided them, `UNDECIDED` before.
        split_from_frame: a frame was split into its columns, which `fit` takes otherwise.
        source: the class of the object that the samples came in, as "pandas.DataFrame"; "" of a probe that is read back.

    Example:
        >>> import numpy as np
        >>> probe = Probe(np.zeros((4, 2), "float32"), [0, 1, 0, 1], feature_names=["age", "dose"])
        >>> probe.kind, probe.size, probe.features
        ('table', 4, ('age', 'dose'))
        >>> Probe({"age": np.zeros(4), "dose": np.ones(4)}, ["no", "yes", "no", "yes"]).class_names
        ('no', 'yes')
    """

    x: Arrays
    y: NDArray[Any] | None
    size: int
    shapes: tuple[Shape, ...]
    keys: tuple[str, ...] | None
    kind: str
    target: NDArray[np.int64] | str | None
    output: str | int | Callable[..., Any] | OutputSpec | None
    class_names: tuple[str, ...] | None
    vocabulary: Sequence[str] | Mapping[int, str] | None
    baseline: Any
    background: Any
    store: str
    slices: Slices
    split_from_frame: bool
    rows: NDArray[np.int64] | None
    whole_size: int
    source: str
    decided_classes: Classes | Literal["undecided"]
    _written_words: str  # of a probe that is read back: `explained` as it was
    # As the user gave them; what they come to depends on the kind.
    _requested_names: Names
    _frame_names: Sequence[Names]
    _requested_groups: Any
    _requested_region: NDArray[Any] | None
    # What follows of all that, and of the kind.
    feature_names: Names
    groups: Groups | NDArray[np.int64] | None
    _scored_tokens: Sequence[NDArray[np.int64] | None] | None
    region: Mask | None
    hash: str

    def __init__(
        self,
        x: Arrays,
        y: Any = None,
        *,
        target: Any = None,
        output: str | int | Callable[..., Any] | OutputSpec | None = None,
        kind: str | None = None,
        feature_names: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        vocabulary: Sequence[str] | Mapping[int, str] | None = None,
        baseline: Any = None,
        background: Any = None,
        groups: Mapping[str, Sequence[str | int]] | NDArray[np.integer[Any]] | Literal["position"] | None = None,
        slices: Mapping[str, Any] | None = None,
        region: Any = None,
        store: str = "inputs",
    ) -> None:
        if isinstance(x, tuple):
            if len(x) != 2 or y is not None:
                raise InvalidInput(
                    f"A tuple is read as (x, y); got {len(x)} entries{' and a y' if y is not None else ''}."
                )
            x, y = x
        source = source_words(x)
        samples = as_arrays(x)
        warn_of_conversion(samples, stacklevel=2)
        x = check_arrays(samples.arrays)
        arrays = leaves(x)
        size = len(arrays[0])
        kind = guess_kind(arrays, kind, from_frame=any(samples.names))
        if isinstance(output, Dense) and not output.has_labels:
            y = None  # of boxes, which the loss matches with the model's
        labels = None if y is None else of_output(y, output_name(output), size)
        by_position = isinstance(output, Dense)
        codes, label_names = (None, None) if y is None else coded(labels, class_names, by_position=by_position)
        names = label_names if class_names is None else class_names
        if store not in ("inputs", "none"):
            raise InvalidInput(f"store={store!r}: expected 'inputs' or 'none'.")
        self._set(
            x=x,
            y=None if codes is None else check_labels(codes, size),
            size=size,
            shapes=tuple(array.shape[1:] for array in arrays),
            keys=tuple(x) if isinstance(x, dict) else None,
            kind=kind,
            target=None if target is None else check_target(target, size),
            output=output,
            class_names=None if names is None else tuple(map(str, names)),
            vocabulary=vocabulary,
            baseline=check_rows(baseline, "baseline"),
            background=check_rows(background, "background"),
            store=store,
            slices=check_slices(slices, size),
            split_from_frame=samples.split_from_frame,
            rows=None,
            whole_size=size,
            source=source,
            decided_classes=UNDECIDED,
            _written_words="",
            _requested_names=None if feature_names is None else unique_names(feature_names),
            _frame_names=samples.names,
            _requested_groups=groups,
            _requested_region=check_region(region),
        )
        self._resolve()

    # How it is made, in every way: all fields are set and checked once, and never again.

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"A Probe does not change: make another one with another {name}.")

    def _set(self, **fields: Any) -> None:
        """Set fields of a probe that is being made, and check that they go together."""
        self.__dict__.update(fields)
        if self.x is not None:
            shapes = tuple(array.shape[1:] for array in self.inputs)
            if shapes != self.shapes or any(len(array) != self.size for array in self.inputs):
                raise InvalidInput(f"x has samples of shapes {shapes}, expected {self.size} of {self.shapes}.")
        if self.y is not None and len(self.y) != self.size:
            raise InvalidInput(f"y has {len(self.y)} labels, x has {self.size} samples.")
        check_class_names(self.class_names, self.classes)

    def _resolve(self) -> None:
        """Set all that depends on the kind."""
        names = resolve_names(
            self._requested_names,
            self._frame_names,
            self.shapes,
            self.kind,
            is_columns=self.is_columns,
            x_shape=self.inputs[0].shape,
        )
        self.__dict__["feature_names"] = names
        requested = self._requested_groups
        by_position = isinstance(requested, str) and requested == "position" and self.kind == "tokens"
        groups = None
        if self.kind and requested is not None and not by_position:
            groups = self._resolve_groups(requested)
        self.__dict__["groups"] = groups
        scored_tokens = None
        if self.kind == "tokens" and not by_position and not names and groups is None:
            scored_tokens = tokens_to_score(self.inputs, unique_words(self.vocabulary))
        self.__dict__["_scored_tokens"] = scored_tokens
        region = None
        if self.kind and self._requested_region is not None:
            positions = self.spatial.positions if self.kind in SPATIAL_KINDS else ()
            region = resolve_region(self._requested_region, self.kind, positions, self.size)
        self.__dict__["region"] = region
        self.__dict__["hash"] = self._digest()

    def _resolve_groups(self, requested: Any) -> Groups | NDArray[np.int64]:
        if self.kind in SPATIAL_KINDS:
            return resolve_segments(requested, self.kind, self.spatial.positions)
        if isinstance(requested, Mapping) and len(self.shapes) > 1 and not self.is_columns:
            raise InvalidInput(f"groups names columns of one table, x has {len(self.shapes)} inputs of other shapes.")
        if self.is_columns:
            keys = self.feature_names or self.keys or ()
            names = keys if len(keys) == len(self.shapes) else [f"column {k}" for k in range(len(self.shapes))]
            return resolve_groups(requested, names, len(self.shapes))
        return resolve_groups(requested, self.feature_names or (), int(np.prod(self.shape)))

    def _digest(self) -> str:
        """Hash everything that the explanations depend on."""
        output = str(self.output) if isinstance(self.output, OutputSpec) else self.output
        output = "callable" if callable(output) else output
        digest = hashlib.sha256(repr((self.kind, self.features, output)).encode())
        target = [] if self.target is None else [np.asarray(self.target)]
        labels = [] if self.y is None else [self.y]
        for array in (*self.inputs, *labels, *target, *_baseline_arrays(self.baseline, len(self.inputs))):
            digest.update(repr((array.shape, str(array.dtype))).encode())
            update_digest(digest, array)
        # What a probe may have since later versions stands behind the rest: without it the hash is what it was.
        for name, (words, codes) in self.slices.items():
            digest.update(repr(("slice", name, words)).encode(errors="surrogatepass"))
            update_digest(digest, codes)
        region = self._requested_region if self.region is None else self.region
        if region is not None:
            digest.update(repr(("region", region.shape)).encode())
            update_digest(digest, region)
        return digest.hexdigest()[:16]

    def _with(self, **fields: Any) -> Probe:
        """Return a probe with other fields, checked; what depends on the kind is kept."""
        other = object.__new__(Probe)
        computed = ("feature_map", "_by_kind")
        other.__dict__.update({name: value for name, value in self.__dict__.items() if name not in computed})
        other._set(**fields)
        return other

    @classmethod
    def read_back(
        cls, *, x: Arrays | None, shapes: tuple[Shape, ...], feature_names: Names, groups: Any, hash: str, **fields: Any
    ) -> Probe:
        """Return a probe as it was written: names, groups and hash as they were then, samples where they were stored."""
        probe = object.__new__(cls)
        if x is not None:
            shapes = tuple(array.shape[1:] for array in leaves(x))
        probe.__dict__.update(feature_names=feature_names, groups=groups, hash=hash)
        probe._set(
            x=x,
            shapes=shapes,
            target=None,
            baseline=None,
            background=None,
            split_from_frame=False,
            source="",
            _requested_names=feature_names,
            _frame_names=[None] * len(shapes),
            _requested_groups=groups,
            _requested_region=None,
            slices={},  # the record of slices holds what they say
            region=None,
            _scored_tokens=None,  # the importance says which words were scored
            **fields,
        )
        return probe

    @classmethod
    def of(cls, probe: Any) -> Probe:
        """Return a probe from a probe, or from what makes one: an array, or a tuple (x, y)."""
        return probe if isinstance(probe, cls) else cls(probe)

    @classmethod
    def from_dataset(cls, dataset: Iterable[Any], size: int = 128, **keywords: Any) -> Probe:
        """Make a probe of the first samples of an iterable of batches (x, y), as a `tf.data.Dataset` or `PyDataset`.

        A `DataLoader` of torch's is read in the order of its data set, also where it shuffles, and draws nothing.

        Args:
            dataset: batches (x, y); x an array, a tuple or a dict of arrays, y too (with `output`). Single samples are stacked.
            size: samples to take.
            **keywords: as `Probe` takes them.

        Raises:
            InvalidInput: the data set is empty, its batches are not (x, y), or their arrays differ in length.

        Example:
            >>> batches = [(np.zeros((32, 4), "float32"), np.zeros(32, "int32"))] * 3
            >>> Probe.from_dataset(batches, 64).size
            64
        """
        x, y = first_samples(dataset, size, output_name(keywords.get("output")))
        probe = cls(x, y, **keywords)
        probe.__dict__["source"] = f"{source_words(dataset)}, its first {probe.size}"
        return probe

    # The same samples, as a model takes them.

    def of_kind(self, kind: str) -> Probe:
        """Return the same probe, known to be of this kind; itself where its kind is known.

        Raises:
            InvalidInput: names or groups that such samples cannot have.
        """
        if self.kind:
            return self
        if kind not in self._by_kind:
            other = self._with(kind=kind)
            other._resolve()
            self._by_kind[kind] = other
        return self._by_kind[kind]

    @cached_property
    def _by_kind(self) -> dict[str, Probe]:
        """Probes whose kind a model said: all callbacks of a model share one."""
        return {}

    def with_inputs(self, names: Sequence[str], part: Callable[[Any, str], Any]) -> Probe:
        """Return the same samples in the inputs that a model names: some of a dict, or columns of a table by themselves.

        Args:
            names: of the inputs.
            part: (value, name) -> the part of x, a baseline or a background that is for one input.
        """
        x = {name: part(self.x, name) for name in names}
        requested_names: Names = None
        frame_names: Sequence[Names] = [None] * len(names)
        if self.keys is not None and self.feature_names is not None:
            of_inputs = [self.feature_map.given_names(self.keys.index(name)) or () for name in names]
            requested_names, frame_names = tuple(itertools.chain(*of_inputs)), self._frame_names

        def split(value: Any) -> Any:
            return None if value is None else {name: part(value, name) for name in names}

        other = self._with(
            x=x,
            shapes=tuple(array.shape[1:] for array in x.values()),
            keys=tuple(names),
            _requested_names=requested_names,
            baseline=split(self.baseline),
            background=split(self.background),
            _frame_names=frame_names,
        )
        other._resolve()
        return other

    def with_classes(self, classes: Classes) -> Probe:
        """Return the same probe with its true classes (B,) decided; None where labels are no classes."""
        return self._with(decided_classes=classes)

    def gallery(self, count: int) -> Probe:
        """Return a class-balanced selection to look at: the first rows of each class, the rest from the largest classes.

        Its features and its hash are those of the whole probe.

        Args:
            count: samples to choose; at most all.
        """
        return self.of_rows(balanced_rows(self.classes_to_balance, self.size, count))

    def of_rows(self, rows: NDArray[np.int64]) -> Probe:
        """Return some rows as a probe, whose features and hash are those of the whole one.

        Args:
            rows: (n) row numbers, in the order in which they are wanted.
        """
        classes = self.decided_classes
        target = self.target
        return self._with(
            x=map_leaves(lambda array: array[rows], self.x),
            size=len(rows),
            rows=rows if self.rows is None else self.rows[rows],
            whole_size=self.whole_size,
            y=None if self.y is None else self.y[rows],
            decided_classes=classes if classes is None or isinstance(classes, str) else classes[rows],
            target=target[rows] if isinstance(target, np.ndarray) and target.ndim else target,
            baseline=rows_of_baseline(self.baseline, self.x, rows),
            slices=rows_of_slices(self.slices, rows),
            output=self._output_of_rows(rows),
            region=None if self.region is None else self.region[rows],
            _requested_region=rows_of_region(self._requested_region, rows, self.size, self.shapes),
        )

    def with_samples(self, x: Arrays, rows: NDArray[np.int64], y: NDArray[Any] | None, classes: Classes) -> Probe:
        """Return other rows of the same probe, as they were written.

        Args:
            x: (n, ...) their values; images may be smaller than those of the probe.
            rows: (n) their numbers in the whole probe.
            y: (n, ...) their labels; None without.
            classes: (n) their true classes; None where labels are no classes.
        """
        shapes = tuple(array.shape[1:] for array in leaves(x))
        return self._with(
            x=x, shapes=shapes, size=len(rows), rows=rows, y=y, decided_classes=classes, groups=None, region=None
        )

    @property
    def classes_to_balance(self) -> Classes:
        """Return (B,) the class of each row; of a dense output whether its class is among the row's labels."""
        if not isinstance(self.output, Dense) or self.classes is not None:
            return self.classes
        target = self.output.target
        if self.y is None or not isinstance(target, int) or self.y.dtype.kind not in "iu":
            return None
        return (self.y.reshape(self.size, -1) == target).any(1).astype(np.int64)

    @property
    def explained(self) -> str:
        """The score that is explained as a clause, where it is another one than a class of the sample, else ""."""
        return self._written_words or explained_words(self.output, has_labels=self.y is not None, kind=self.kind)

    def _output_of_rows(self, rows: NDArray[np.int64]) -> Any:
        """Return what is explained of some of the samples."""
        if not isinstance(self.output, Dense):
            return self.output
        return self.output.of_rows(rows, POSITION_AXES.get(self.kind, 1))

    # What it holds.

    @property
    def inputs(self) -> list[NDArray[Any]]:
        """The arrays (B, ...) in order, whatever holds them."""
        return leaves(self.x)

    @property
    def shape(self) -> Shape:
        """The shape of one sample of the first input."""
        return self.shapes[0]

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        shape = f"{len(self.shapes)} columns" if self.is_columns else str(self.shape)
        return f"Probe({self.size} samples, {self.kind or 'kind open'} {shape})"

    @property
    def classes(self) -> Classes:
        """(B,) the true class where the labels are classes, else None.

        Whether they are is decided by the model's output and its loss. As long as no model was there it is a guess:
        integers, whole floats of few values, the signs −1 and +1, one-hot rows.
        """
        if not isinstance(self.decided_classes, str):
            return self.decided_classes
        return None if isinstance(self.output, Dense) else guess_classes(self.y)

    @property
    def spatial_input(self) -> int:
        """The number of the first input that is an image, of a probe of volumes the first volume; 0 where none is."""
        kinds = [kind_of_input(self.kind, shape, self.shapes) for shape in self.shapes]
        return kinds.index(self.kind) if self.kind in SPATIAL_KINDS and self.kind in kinds else 0

    @property
    def image_shape(self) -> Shape:
        """The shape of one sample of that input."""
        return self.shapes[self.spatial_input]

    @property
    def spatial(self) -> SpatialShape:
        """The spatial shape of that input, of a probe of images or volumes."""
        return SpatialShape.of_kind(self.kind, self.image_shape)

    @property
    def is_columns(self) -> bool:
        """True where it is one table whose columns come as an input each, (B,) or (B, 1)."""
        return is_columns(self.kind, self.shapes, self.keys)

    # What is scored.

    @cached_property
    def feature_map(self) -> FeatureMap:
        """The features in detail: which entries each is made of, how they are named and summed."""
        return FeatureMap(
            kind=self.kind,
            shapes=self.shapes,
            keys=self.keys,
            feature_names=self.feature_names,
            groups=self.groups,
            scored_tokens=self._scored_tokens,
            word_names=unique_words(self.vocabulary) if self.kind == "tokens" else {},
        )

    @property
    def features(self) -> tuple[str, ...]:
        """(F) the names of what is scored: columns or their groups, image cells, channels of a series, words."""
        return self.feature_map.names

    @property
    def feature_count(self) -> int:
        """F, without making the names."""
        return self.feature_map.count

    def pooled(
        self, values: Arrays, each: Callable[[Any], Any] = np.asarray, samples: Sequence[NDArray[Any]] | None = None
    ) -> NDArray[np.float64]:
        """Sum attributions or gradients, in the shape of `x`, over the entries of each feature.

        Args:
            values: (B, ...) an input, in the structure of `x`.
            each: applied before they are summed, as `np.abs`.
            samples: (B, ...) an input, what the values are of, where these are not the probe's own.

        Returns:
            (B, F) float64, in the order of `features`.
        """
        if samples is None and self.feature_map.by_word:
            samples = self.inputs
        return self.feature_map.pool(values, each, samples)


def _baseline_arrays(baseline: Any, inputs: int) -> list[NDArray[Any]]:
    """Return a baseline's arrays; none where it cannot be arrays, which is an error when it is used."""
    if baseline is None:
        return []
    if isinstance(baseline, Mapping):
        parts = list(baseline.values())
    elif isinstance(baseline, (list, tuple)) and inputs > 1:
        parts = list(baseline)
    else:
        parts = [baseline]
    try:
        return [np.asarray(part) for part in parts]
    except ValueError:
        return []
