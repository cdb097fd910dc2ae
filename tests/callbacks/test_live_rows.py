"""Every source of live rows: what is taken, what is refused, and what is said of a change."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.live_rows import LiveRows

X = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
PROBE = kx.Probe(X, Y)


class Batches(keras.utils.PyDataset):
    """Batches of 32; `between` is what happens to (x, y) at each epoch's end."""

    def __init__(self, between=None):
        super().__init__()
        self.data, self._between, self._epoch = (X, Y), between, 0

    def __len__(self):
        return -(-len(X) // 32)

    def __getitem__(self, i):
        return tuple(a[i * 32 : i * 32 + 32] for a in self.data)

    def on_epoch_end(self):
        self._epoch += 1
        if self._between is not None:
            self.data = self._between(np.random.default_rng(self._epoch), X, Y)


def map_batches(source, function):
    """A data set of a function of each batch."""

    class Mapped(keras.utils.PyDataset):
        def __len__(self):
            return len(source)

        def __getitem__(self, i):
            return function(*source[i])

    return Mapped()


def needs_tensorflow(*values, **options):
    """The values of a parametrised test that has data of TensorFlow's."""
    return pytest.param(*values, marks=pytest.mark.tensorflow, **options)


def dataset():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y))


@pytest.mark.parametrize(
    "source",
    [
        lambda: (X, Y),
        lambda: kx.Probe(X, Y),
        lambda: lambda: (X, Y),
        lambda: Batches(),
        needs_tensorflow(lambda: dataset().batch(32), id="tf.data"),
        needs_tensorflow(
            lambda: dataset().shuffle(600, seed=1, reshuffle_each_iteration=False).batch(32).prefetch(2),
            id="tf.data, shuffled once",
        ),
    ],
    ids=["arrays", "probe", "callable", "PyDataset", None, None],
)
def test_at_most_512_rows_of_every_source_the_same_at_each_read(source):
    """In the source's own order, and repeatable."""
    live = LiveRows(source(), PROBE)
    first = live.check()
    assert first.size == 512
    assert live.repeats
    for _ in range(4):
        np.testing.assert_array_equal(live.read().inputs[0], first.inputs[0])
        assert not live.changed
    assert np.isin(first.inputs[0], X).all()


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "chain",
    [
        lambda d: d.shuffle(64).batch(16),
        lambda d: d.batch(16).shuffle(4, seed=3).prefetch(2),
        lambda d: d.shuffle(600).map(lambda x, y: (2 * x, y)).cache().batch(8),
        lambda d: type(d).zip(d.shuffle(600), d).map(lambda a, b: a).batch(8),
    ],
)
def test_a_data_set_that_shuffles_is_refused_before_it_is_read(chain):
    """Wherever the shuffle stands in the chain; reading it would move its generator."""
    import tensorflow as tf

    read = []
    counted = dataset().map(lambda x, y: (tf.py_function(lambda v: read.append(1) or v, [x], tf.float32), y))
    with pytest.raises(kx.InvalidInput, match="reshuffle_each_iteration=False"):
        LiveRows(chain(counted), PROBE)
    assert not read


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (lambda: 7, "live is a int"),
        (lambda: X, "live is a ndarray"),
        (lambda: iter([(X, Y)]), "read only once"),
        (lambda: (X, Y, Y), "3 entries"),
        needs_tensorflow(lambda: dataset(), "single samples"),
        needs_tensorflow(lambda: dataset().map(lambda x, y: x).batch(2), "expected batches"),
        (lambda: (X[:0], Y[:0]), r"shape \(0, 4\)"),
        needs_tensorflow(lambda: dataset().take(0).batch(2), "no batch"),
        (lambda: lambda: (X, None), "without labels"),
        (lambda: lambda: (X[:, :2], Y), r"\[\(2,\)\]"),
        (lambda: (np.where(X > 2, np.nan, X), Y), "NaN"),
        (lambda: (X, Y[:3]), r"y has shape \(3,\)"),
    ],
)
def test_what_cannot_work_is_refused_with_words(source, words):
    """What came and what is expected, at the latest before training."""
    with pytest.raises(kx.InvalidInput, match=words):
        LiveRows(source(), PROBE).check()


def test_inputs_by_name_come_in_the_probes_order():
    """A dict in another order is the same dict; other names are an error."""
    probe = kx.Probe({"a": X[:, :2], "b": X[:, 2:]}, Y)
    live = LiveRows(lambda: ({"b": X[:, 2:], "a": X[:, :2]}, Y), probe)
    live.check()
    np.testing.assert_array_equal(live.read().inputs[0], X[:512, :2])
    with pytest.raises(kx.InvalidInput, match="'c'"):
        LiveRows(lambda: ({"a": X[:, :2], "c": X[:, 2:]}, Y), probe).check()


def test_the_labels_of_the_output_that_is_explained_are_taken():
    """Of several heads, by name."""
    probe = kx.Probe(X, Y, output="head")
    batches = Batches()
    batches.data = (X, Y, X)
    of_heads = map_batches(batches, lambda x, y, other: (x, {"head": y, "other": other}))
    live = LiveRows(of_heads, probe)
    np.testing.assert_array_equal(live.check().y, Y[:512])
    with pytest.raises(kx.InvalidInput, match=r"'head'.*Probe"):
        LiveRows((X, {"head": Y, "other": X}), PROBE).check()


def test_a_change_of_rows_or_labels_is_seen_for_three_reads():
    """As far back as a move over two epochs reaches, and named once: how many rows, which columns, how many labels."""
    x, y = X.copy(), Y.copy()
    live = LiveRows((x, y), PROBE)
    live.check()
    assert not (live.read(), live.changed)[1]
    x[3, 1] += 1
    seen = [(live.read(), live.changed, live.difference)[1:] for _ in range(4)]
    assert [changed for changed, _ in seen] == [True, True, True, False]
    assert [difference is not None for _, difference in seen] == [True, False, False, False]
    assert seen[0][1] == ((1, 0, 512), (("column 1", 1 / 512),))
    y[:2] = 1 - y[:2]
    assert (live.read(), live.changed)[1]
    assert live.difference == ((0, 2, 512), (("labels", 2 / 512),))


def test_a_change_at_the_very_first_epoch_is_seen():
    """What is read before training is the past of the first epoch: a resumed run needs it."""
    x = X.copy()
    live = LiveRows((x, Y), PROBE)
    live.check()
    x[:, 0] = 0
    live.read()
    assert live.changed


def test_a_change_between_two_trainings_is_seen():
    """Resumed from the digests of before: what an unbroken run sees."""
    x, y = np.zeros((64, 3), np.float32), np.arange(64) % 2
    rows = LiveRows((x, y), kx.Probe(x, y))
    rows.check()
    digests = []
    for _ in range(2):
        rows.read()
        digests.append(rows.digest)
    x += 1
    again = LiveRows((x, y), kx.Probe(x, y))
    again.check()
    again.resume(list(enumerate(digests)), repeats=True)
    for k, seen in enumerate((True, True, True, False)):
        again.read()
        assert again.changed == seen
        assert (again.difference is not None) == (k == 0)
        if k == 0:  # how many differ is not known: the rows of before are not kept
            assert again.difference.changed == (-1, 0, 64)


def test_rows_redrawn_between_epochs_are_known_after_three():
    """Two reads before training agree, so nothing is known then; a change that is the rule is no news."""
    source = Batches(lambda r, x, y: (x + r.normal(size=x.shape).astype(np.float32), y))
    live = LiveRows(source, PROBE)
    live.check()
    repeats = []
    for _ in range(5):
        source.on_epoch_end()
        live.read()
        repeats.append(live.repeats)
        assert live.difference is None
    assert repeats == [True, True, False, False, False]
    assert not live.changed


def test_rows_that_are_shuffled_between_epochs_are_no_change_where_reads_of_one_epoch_repeat():
    """With updates inside an epoch: a change inside one is certain, a difference to the epoch before is not."""
    r = np.random.default_rng(0)
    x, y = X.copy(), Y.copy()
    live = LiveRows((x, y), PROBE)
    live.check()
    differences = []
    for epoch in range(3):
        x[:] = x[r.permutation(len(x))]
        for _ in range(4):
            live.read(epoch)
            differences.append(live.difference)
    assert not any(differences)
    assert not live.repeats
    y[:4] = 1 - y[:4]
    live.read(2)
    assert live.difference.changed.labels == 4

    fixed = LiveRows((X.copy(), y), PROBE)
    rows = fixed.check()
    fixed.read(0)
    y[:6] = 1 - y[:6]
    fixed.read(0)
    assert (fixed.difference.changed.rows, fixed.difference.changed.labels) == (0, 6)
    assert rows.size == 512


def test_one_change_in_the_first_epochs_is_told_once_the_source_is_known_to_repeat():
    """A read that repeats says that the one before it was news; labels are told also where rows are drawn anew."""
    x, y = X.copy(), Y.copy()
    live = LiveRows((x, y), PROBE)
    live.check()
    x[:, 2] += 1
    assert [(live.read(), live.difference is not None)[1] for _ in range(3)] == [False, True, False]
    noise = np.random.default_rng(0)
    noisy = LiveRows(lambda: (x + noise.normal(size=x.shape), y), PROBE)
    noisy.check()
    assert not noisy.repeats
    assert (noisy.read(), noisy.difference)[1] is None
    y[:5] = 1 - y[:5]
    assert (noisy.read(), noisy.difference)[1] == ((0, 5, 512), (("labels", 5 / 512),))


@pytest.mark.parametrize("kind", ["image", "series", "tokens", "strings", "two inputs"])
def test_what_differs_is_named_in_the_probes_features(kind):
    """Cells, channels, the words that came in, columns of texts, inputs by their key."""
    r = np.random.default_rng(0)
    y = np.zeros(20, int)
    if kind == "image":
        x, put, expected = r.random((20, 32, 32, 3)), (slice(0, 7), 0, 5, 1), "block (0,2)"
    elif kind == "series":
        x, put, expected = r.random((20, 6, 3)), (slice(0, 7), 2, 1), "channel 1"
    elif kind == "tokens":
        x, put, expected = r.integers(1, 9, (20, 6)), (np.arange(7), r.integers(0, 6, 7)), "dull"
    elif kind == "strings":
        x, put, expected = np.asarray([["a", "b"]] * 20, object), (slice(0, 7), 1), "column 1"
    else:
        x, put, expected = {"a": r.random((20, 2)), "b": r.random((20, 2))}, (slice(0, 7), 0), "b: column 0"
    words = {9: "dull"} if kind == "tokens" else None
    named = None if kind in ("strings", "two inputs") else kind
    live = LiveRows(lambda: (x, y), kx.Probe(x, y, kind=named, vocabulary=words))
    live.check()
    live.read()
    x = {name: array.copy() for name, array in x.items()} if isinstance(x, dict) else x.copy()
    (x["b"] if isinstance(x, dict) else x)[put] = "c" if kind == "strings" else 9
    live.read()
    assert live.difference == ((7, 0, 20), ((expected, 7 / 20),))


def test_an_order_redrawn_between_epochs_is_refused_after_three():
    """A PyDataset that shuffles in on_epoch_end gives other labels at each epoch, though two reads in a row agree."""

    def shuffled(r, x, y):
        order = r.permutation(len(x))
        return x[order], y[order]

    source = Batches(shuffled)
    live = LiveRows(source, PROBE)
    live.check()
    for _ in range(2):
        source.on_epoch_end()
        live.read()
    source.on_epoch_end()
    with pytest.raises(kx.InvalidInput, match="each of its first 3 epochs"):
        live.read()


def test_another_number_of_rows_is_an_error():
    """Rows are compared one by one."""
    x, y = [X], [Y]
    live = LiveRows(lambda: (x[0], y[0]), PROBE)
    live.check()
    x[0], y[0] = X[:100], Y[:100]
    with pytest.raises(kx.InvalidInput, match=r"\(100, 4\).*\(512, 4\)"):
        live.read()
