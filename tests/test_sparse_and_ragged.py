"""Sparse samples become dense, and the cost is said; rows of different lengths are refused with the line that pads them."""

import warnings

import keras
import numpy as np
import pandas
import pytest
import scipy.sparse

import keras_xai as kx
from keras_xai.sparse import MAX_DENSE_BYTES, dense_rows, is_sparse

generator = np.random.default_rng(0)
SPARSE = scipy.sparse.random(200, 30, 0.3, "csr", random_state=0, dtype=np.float32)
DENSE = SPARSE.toarray()
Y = (DENSE[:, 3] > 0).astype(int)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "bsr"])
def test_rows_of_a_sparse_matrix_are_those_of_the_dense_one(kind):
    """In every form of SciPy's, as a matrix and as an array; all rows, a stretch of them, and numbered ones."""
    for matrix in (SPARSE.asformat(kind), scipy.sparse.csr_array(SPARSE).asformat(kind)):
        assert is_sparse(matrix)
        for rows in (None, slice(3, 9), np.array([7, 0, 7])):
            np.testing.assert_array_equal(dense_rows(matrix, rows=rows), DENSE[slice(None) if rows is None else rows])


@pytest.mark.tensorflow
def test_sparse_tensors_of_tensorflow():
    """Of two axes and of three."""
    import tensorflow as tf

    for dense in (DENSE[:5], DENSE[:6].reshape(6, 10, 3)):
        np.testing.assert_array_equal(dense_rows(tf.sparse.from_dense(dense)), dense)


@pytest.mark.jax
@pytest.mark.every_backend
def test_sparse_arrays_of_jax():
    """Rows by their numbers, too."""
    from jax.experimental import sparse

    array = sparse.BCOO.fromdense(DENSE[:9])
    np.testing.assert_array_equal(dense_rows(array, rows=np.array([4, 1])), DENSE[[4, 1]])


def model_of(width=30):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((width,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy")
    return model


def test_a_sparse_table_is_explained_as_the_dense_one_and_the_cost_is_said_once():
    """By `attribute`, `importance` and a probe, whose hash is that of the dense one."""
    model = model_of()
    with pytest.warns(UserWarning, match=r"x is sparse: .*dense arrays, of 0\.0 MiB.*toarray") as record:
        a = kx.attribute(model, SPARSE, "saliency")
    assert len(record) == 1
    np.testing.assert_array_equal(a.values, kx.attribute(model, DENSE, "saliency").values)
    with pytest.warns(UserWarning, match="x is sparse"):
        probe = kx.Probe(SPARSE, Y)
    assert probe.hash == kx.Probe(DENSE, Y).hash
    with pytest.warns(UserWarning, match="x is sparse"):
        pair = kx.Probe.of((SPARSE, Y))
    assert pair.size == 200


@pytest.mark.filterwarnings("ignore:x is sparse")
def test_a_training_on_sparse_rows_is_watched(tmp_path):
    """The live rows too, which are drawn from the sparse matrix: no warning of them, and all numbers as for dense ones."""
    records = []
    for x in (SPARSE, DENSE):
        probe = kx.Probe(x[:150], Y[:150])
        directory = tmp_path / str(len(records))
        model_of().fit(
            x[150:], Y[150:], epochs=2, verbose=0, callbacks=[kx.Explain(directory, probe, live=(x[150:], Y[150:]))]
        )
        run = kx.load(directory)["."]
        assert not [note for note in run.notes if note.stopped]
        records.append(run)
    of_sparse, of_dense = records
    np.testing.assert_allclose(of_sparse.importance.share, of_dense.importance.share, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(of_sparse.importance_live.share, of_dense.importance_live.share, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(of_sparse.gap.z, of_dense.gap.z, rtol=1e-3, atol=1e-4)


def test_what_would_not_fit_into_memory_is_refused():
    """With its size, before anything is made."""
    rows = MAX_DENSE_BYTES // 4 // 100_000 + 1
    large = scipy.sparse.csr_array((rows, 100_000), dtype=np.float32)
    with pytest.raises(
        kx.InvalidInput, match=r"x is sparse, of shape .*: as a dense array it takes 2\.0 GiB.*x\[:1000\]"
    ):
        kx.Probe(large)


RAGGED = {
    "lists": lambda: kx.Probe([[1, 2, 3], [4, 5], [6]], kind="tokens"),
    "lists by name": lambda: kx.Probe({"ids": [[1, 2, 3], [4, 5]]}, kind="tokens"),
    "objects": lambda: kx.Probe(np.array([[1, 2, 3], [4, 5]], object), kind="tokens"),
    "arrays": lambda: kx.Probe([generator.normal(size=(steps, 2)) for steps in (5, 7, 9)], kind="series"),
    "attribute": lambda: kx.attribute(model_of(3), [[1.0, 2.0], [3.0]]),
    "batches": lambda: kx.Probe.from_dataset([(np.zeros((8, t, 2)), np.zeros(8)) for t in (5, 7)], 16, kind="series"),
    "samples": lambda: kx.Probe.from_dataset([(np.zeros((t, 2)), np.float32(0)) for t in (5, 7)], 2, kind="series"),
}


@pytest.mark.parametrize("make", RAGGED.values(), ids=RAGGED)
def test_rows_of_different_lengths_are_refused_with_the_line_that_pads_them(make):
    """In Keras' own words, which `fit` needs as well."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(kx.InvalidInput, match=r"keras\.utils\.pad_sequences\("):
            make()


UNEVEN = [[1, 2], [1]]
RAGGED_ARGUMENTS = {
    "region": (
        lambda: kx.Probe(np.zeros((2, 4, 4, 1)), region=UNEVEN),
        "region holds .*: one array is expected, a mask",
    ),
    "slices": (lambda: kx.Probe(np.zeros((2, 3)), slices={"site": UNEVEN}), r"slices\['site'\] .*: one value a row"),
    "target": (lambda: kx.Probe(np.zeros((2, 3)), target=UNEVEN), "target holds .*: one class is expected"),
    "class": (lambda: kx.outputs.segmentation(target=UNEVEN), "target holds .*: one class is expected"),
    "over": (lambda: kx.outputs.segmentation(over=UNEVEN), r"over holds .*: one mask is expected, \(H, W\)"),
    "step": (lambda: kx.outputs.tagging(step=UNEVEN), "step holds .*: one step is expected"),
    "box": (lambda: kx.outputs.detection(box=UNEVEN), "box holds .*: the number of a box is expected"),
    "labels": (lambda: kx.Probe(np.zeros((2, 2), int), UNEVEN), "y holds .*value=-1.*ignore_class=-1"),
    "tags": (
        lambda: kx.Probe(np.zeros((2, 2), int), [["O", "P"], ["O"]], output=kx.outputs.tagging()),
        "y holds .*encoded as integers first",
    ),
}


@pytest.mark.parametrize(("make", "words"), RAGGED_ARGUMENTS.values(), ids=RAGGED_ARGUMENTS)
def test_what_is_no_sample_is_not_padded_with_zeros(make, words):
    """Zero is a class, a step, the number of a box: each argument says what it takes."""
    with pytest.raises(kx.InvalidInput, match=words):
        make()


@pytest.mark.tensorflow
def test_ragged_tensors_and_live_batches_of_different_lengths():
    """A tensor pads itself; live rows come in one shape."""
    import tensorflow as tf

    with pytest.raises(kx.InvalidInput, match=r"x is a ragged tensor.*x\.to_tensor\(\)"):
        kx.Probe(tf.ragged.constant([[1, 2, 3], [4]]), kind="tokens")
    x = np.zeros((70, 5, 2), np.float32)
    probe = kx.Probe(x, np.arange(70) % 2, kind="series")
    batches = tf.data.Dataset.from_generator(
        lambda: ((np.zeros((8, steps, 2), np.float32), np.arange(8) % 2) for steps in (5, 7)),
        output_signature=(tf.TensorSpec((None, None, 2)), tf.TensorSpec((None,), tf.int64)),
    )
    model = keras.Sequential([keras.Input((None, 2)), keras.layers.GRU(2), keras.layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(kx.InvalidInput, match=r"live gives samples of shapes .*padded_batch"):
        model.fit(x, probe.y, verbose=0, callbacks=[kx.ImportanceDrift("unused", probe, live=batches)])


def test_sparse_columns_of_a_frame_are_refused_with_the_line_that_makes_them_dense():
    """All of them, and one beside plain ones."""
    frame = pandas.DataFrame({"plain": [1.0, 2.0], "sparse": pandas.arrays.SparseArray([0.0, 1.0])})
    for x in (frame, frame[["sparse"]], frame["sparse"]):
        with pytest.raises(kx.InvalidInput, match=r"sparse columns.*astype\(float\)"):
            kx.Probe(x)
    assert kx.Probe(frame.astype(float)).shape == (2,)
