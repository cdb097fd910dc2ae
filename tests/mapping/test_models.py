"""Whatever the model: what can be followed is, with the numbers of the layers called by hand; the rest is named, with why."""

from __future__ import annotations

from dataclasses import dataclass, field

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_xai as kx
from keras_xai.backend import get_backend
from keras_xai.mapping.layers import left_out
from keras_xai.mapping.reading import Reader
from tests.frameworks import array, value_and_gradients

N = 24
R = np.random.default_rng(0)
X = R.normal(size=(N, 6)).astype("float32")
SERIES = R.normal(size=(N, 5, 4)).astype("float32")
IMAGES = R.random((N, 8, 8, 3)).astype("float32")
FILMS = R.random((N, 3, 6, 6, 1)).astype("float32")
TOKENS = R.integers(1, 20, (N, 6)).astype("int32")
WORDS = R.choice(["red", "green", "blue"], (N, 1)).astype(object)

CONSTANT = "does not depend on the samples"
INSIDE = "inside a loop or a branch"
UNSEEN = "no call of it is seen"
ELSEWHERE = "does not lead to the output"


@dataclass
class Case:
    """A model, samples for it, and what is expected of the mappings."""

    model: keras.Model
    x: object
    followed: tuple[str, ...] = ()  # before what the model says
    reasons: dict[str, str] = field(default_factory=dict)  # layers left out: a part of why
    output: object = None
    by_hand: dict[str, object] = field(
        default_factory=dict
    )  # what layers give, where they are not those of a functional model


CASES = {}
OF_TENSORFLOW = set()  # names of cases


def case(builder):
    CASES[builder.__name__] = builder
    return builder


def case_of_tensorflow(builder):
    """One with text, or with sparse tensors."""
    OF_TENSORFLOW.add(builder.__name__)
    return case(builder)


def marked(names, of_tensorflow):
    """Parameters; some for TensorFlow alone, which has such tensors."""
    return [pytest.param(name, marks=[pytest.mark.tensorflow] if name in of_tensorflow else []) for name in names]


def by_tensorflow(function):
    """A function of a tensor that gets TensorFlow first."""

    def called(z):
        import tensorflow

        return function(tensorflow, z)

    return called


TENSORS_OF_TENSORFLOW = {
    "text": by_tensorflow(lambda tf, z: tf.strings.as_string(z)),
    "a ragged tensor": by_tensorflow(lambda tf, z: tf.RaggedTensor.from_tensor(z)),
    "a sparse tensor": by_tensorflow(lambda tf, z: tf.sparse.from_dense(z)),
    "a shape that nobody knows": by_tensorflow(lambda tf, z: tf.py_function(lambda a: a, [z], tf.float32)),
    "a length that is found as it runs": by_tensorflow(
        lambda tf, z: tf.reshape(tf.boolean_mask(tf.reshape(z, [-1]), tf.reshape(z, [-1]) < 9), [N, -1, 4])
    ),
    "rows whose number is known as it runs": by_tensorflow(lambda tf, z: tf.boolean_mask(z * 2, tf.ones(N, "bool"))),
}


def sequential(shape, *stack, dtype=None, name=None):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *stack], name=name)


def probability(tensor):
    return layers.Dense(1, activation="sigmoid", name="out")(tensor)


# Models of which nothing lies before the output.


@case
def logistic_regression():
    return Case(sequential((6,), layers.Dense(1, activation="sigmoid")), X)


@case
def logits_and_a_softmax_of_its_own():
    return Case(sequential((6,), layers.Dense(3), layers.Softmax()), X)


@case
def a_nested_logistic_regression():
    return Case(sequential((6,), sequential((6,), layers.Dense(1, activation="sigmoid"))), X)


@case
def operations_without_layers():
    inputs = keras.Input((6,))
    return Case(keras.Model(inputs, ops.sigmoid(ops.sum(inputs, 1, keepdims=True))), X)


class Weights(keras.Model):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(6, 3))

    def call(self, x):
        return ops.softmax(x @ self.kernel)


@case
def weights_without_layers():
    model = Weights()
    model(X)
    return Case(model, X)


# Quantized layers, and weights of low rank.


def dense_stack():
    return sequential(
        (6,),
        layers.Dense(16, "relu", name="first"),
        layers.Dense(8, "relu", name="second"),
        layers.Dense(1, activation="sigmoid", name="out"),
    )


def quantized(mode):
    model = dense_stack()
    model.quantize(mode)
    return Case(model, X, ("first", "second"))


@case
def int8_with_lora():
    expected = quantized("int8")
    for layer in expected.model.layers:
        layer.enable_lora(2)
    return expected


@case
def int4():
    return quantized("int4")


@case
def float8():
    return quantized("float8")


@case
def lora():
    model = dense_stack()
    model.get_layer("first").enable_lora(2)
    return Case(model, X, ("first", "second"))


@case
def an_int8_embedding():
    model = sequential(
        (6,),
        layers.Embedding(20, 8, name="words"),
        layers.GlobalAveragePooling1D(name="bag"),
        layers.Dense(1, activation="sigmoid"),
        dtype="int32",
    )
    model.quantize("int8")
    return Case(model, TOKENS, ("words", "bag"))


# Layers that say the same of every sample.


class Token(layers.Layer):
    """A learned token: alone, repeated for each sample, or a table that is by chance as long as the batch."""

    def __init__(self, how, **options):
        super().__init__(**options)
        self.how = how

    def build(self, shape):
        self.token = self.add_weight(shape=(N, 8) if self.how == "table" else (1, 1, 8))

    def call(self, x):
        if self.how == "repeated":
            return ops.broadcast_to(self.token, (ops.shape(x)[0], 1, 8))
        if self.how == "like":
            return self.token * ops.ones_like(x)
        return self.token + 0.0 * ops.mean(x[:1], axis=1, keepdims=True) if self.how == "alone" else self.token * 1.0


@case
def a_vision_transformer_with_a_class_token():
    inputs = keras.Input((8, 8, 3))
    patches = layers.Reshape((4, 8), name="patches")(layers.Conv2D(8, 4, 4, name="conv")(inputs))
    token = Token("repeated", name="token")(patches)
    x = layers.Concatenate(axis=1, name="joined")([token, patches])
    x = x + Token("like", name="positions")(x)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    model = keras.Model(inputs, probability(x[:, 0]))
    return Case(model, IMAGES, ("conv", "joined", "attention"), {"token": CONSTANT, "positions": CONSTANT})


@case
def a_token_whose_batch_is_one():
    inputs = keras.Input((5, 8))
    x = inputs + Token("alone", name="token")(inputs)
    model = keras.Model(inputs, probability(layers.GlobalAveragePooling1D(name="mean")(x)))
    return Case(model, R.normal(size=(N, 5, 8)).astype("float32"), ("mean",), {"token": f"(1, 1, 8) for {N} samples"})


@case
def a_table_as_long_as_the_batch():
    inputs = keras.Input((6,))
    hidden = layers.Dense(8, name="hidden")(inputs)
    model = keras.Model(inputs, probability(hidden + ops.mean(Token("table", name="table")(hidden), 0)))
    return Case(model, X, ("hidden",), {"table": CONSTANT})


class Graph(keras.Model):
    """Node features by message passing, of which the samples are indices."""

    def __init__(self):
        super().__init__()
        self.nodes, self.ffn = layers.Embedding(20, 5, name="nodes"), layers.Dense(5, "relu", name="ffn")
        self.edges, self.out = R.integers(0, 20, (40, 2)), layers.Dense(3, name="out")

    def call(self, index):
        nodes = self.ffn(self.nodes(ops.arange(20)))
        sums = ops.segment_sum(ops.take(nodes, self.edges[:, 0], 0), self.edges[:, 1], 20)
        return self.out(ops.take(sums, index[:, 0], 0))


@case
def a_graph_that_samples_index():
    model, index = Graph(), R.integers(0, 20, (N, 1)).astype("int32")
    model(index)
    return Case(model, index, (), {"nodes": CONSTANT, "ffn": CONSTANT})


# Layers whose rows are not the samples.


@case
def patches_as_samples():
    inputs = keras.Input((3, 6, 6, 1))
    x = layers.Lambda(lambda z: ops.reshape(z, (-1, 6, 6, 1)), output_shape=(6, 6, 1), name="apart")(inputs)
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Conv2D(4, 3, activation="relu", name="conv")(x))
    x = layers.Lambda(lambda z: ops.reshape(z, (-1, 3, 4)), output_shape=(3, 4), name="together")(x)
    model = keras.Model(inputs, probability(layers.GlobalAveragePooling1D(name="mean")(x)))
    wrong = {"apart": "(72, 6, 6, 1)", "conv": "(72, 4, 4, 4)", "pool": "(72, 4)"}
    return Case(model, FILMS, ("together", "mean"), {k: f"{v} for {N} samples" for k, v in wrong.items()})


class Odd(layers.Layer):
    """Gives whatever a function makes of its input."""

    def __init__(self, function, **options):
        super().__init__(**options)
        self.function = function

    def call(self, x):
        return self.function(x)


class Around(keras.Model):
    """Two layers, between them one whose output is used as much as it can be."""

    def __init__(self, function):
        super().__init__()
        self.first, self.odd = layers.Dense(8, "relu", name="first"), Odd(function, name="odd")
        self.second, self.out = (
            layers.Dense(6, "relu", name="second"),
            layers.Dense(3, activation="softmax", name="out"),
        )

    def call(self, x):
        hidden = self.first(x)
        return self.out(
            self.second(hidden + sum(0.0 * ops.sum(ops.cast(t, "float32")) for t in floats(self.odd(hidden))))
        )


def floats(values):
    """The dense floating tensors of a structure."""
    tensors = [value for value in keras.tree.flatten(values) if ops.is_tensor(value)]
    dense = [tensor for tensor in tensors if type(tensor).__name__ not in ("RaggedTensor", "SparseTensor")]
    return [tensor for tensor in dense if "float" in keras.backend.standardize_dtype(tensor.dtype)]


ODD = {
    "booleans": (lambda z: z > 0, "yes or no"),
    "integers": (lambda z: ops.cast(z, "int32"), "integers"),
    "text": (TENSORS_OF_TENSORFLOW["text"], "text"),
    "complex numbers": (lambda z: ops.cast(z, "complex64"), "complex"),
    "a ragged tensor": (TENSORS_OF_TENSORFLOW["a ragged tensor"], "RaggedTensor"),
    "a sparse tensor": (TENSORS_OF_TENSORFLOW["a sparse tensor"], "SparseTensor"),
    "nothing": (lambda z: None, "gives nothing"),
    "a number of Python": (lambda z: 3.0, "no dense tensor (float)"),
    "a constant of NumPy": (lambda z: np.ones((N, 2), "float32"), "no dense tensor (ndarray)"),
    "a scalar": (ops.mean, f"shape () for {N} samples"),
    "no units": (lambda z: z[:, :0], f"({N}, 0) and is empty"),
    "no steps": (lambda z: ops.reshape(z[:, :0], (N, 3, 0)), f"({N}, 3, 0) and is empty"),
    "half of the batch": (lambda z: z[::2], f"(12, 8) for {N} samples"),
    "more rows": (lambda z: ops.reshape(z, (-1, 2)), f"(96, 2) for {N} samples"),
    "time first": (lambda z: ops.transpose(ops.reshape(z, (-1, 2, 4)), (1, 0, 2)), f"(2, {N}, 4) for {N} samples"),
    "a shape that nobody knows": (TENSORS_OF_TENSORFLOW["a shape that nobody knows"], "not known in advance"),
    "rows that are counted as it runs": (
        by_tensorflow(lambda tf, z: tf.boolean_mask(z, z[:, 0] > 0)),
        f"rows for {N} samples",
    ),
    "a length that is found as it runs": (
        TENSORS_OF_TENSORFLOW["a length that is found as it runs"],
        f"({N}, ?, 4), of which a part",
    ),
}
COUNTED = "rows that are counted as it runs"


@pytest.mark.parametrize("what", marked(ODD, {*TENSORS_OF_TENSORFLOW, COUNTED}))
def test_a_layer_that_gives_something_else_is_left_out_and_named(what):
    """The two beside it are followed."""
    function, reason = ODD[what]
    model = Around(function)
    model(X)
    hidden = model.first(X)
    check(
        Case(model, X, ("first", "second"), {"odd": reason}, by_hand={"first": hidden, "second": model.second(hidden)})
    )


READABLE = {
    "float16": (lambda z: ops.cast(z, "float16") * 2, lambda h: h * 2),
    "bfloat16": (lambda z: ops.cast(z, "bfloat16") * 2, lambda h: h * 2),
    "one number a sample": (lambda z: ops.mean(z, 1), lambda h: h.mean(1)),
    "a dictionary": (lambda z: {"a": z[:1], "b": z * 2}, lambda h: h * 2),
    "an auxiliary loss first": (lambda z: (ops.mean(z), z * 2), lambda h: h * 2),
    "rows whose number is known as it runs": (
        TENSORS_OF_TENSORFLOW["rows whose number is known as it runs"],
        lambda h: h * 2,
    ),
    "six axes of places": (lambda z: ops.reshape(z * 2, (-1, 2, 1, 2, 1, 2, 1)), lambda h: h * 2),
}


FLOAT64 = (lambda z: ops.cast(z, "float64") * 2, lambda h: h * 2)
# JAX has none, unless it is switched on.
WITH_FLOAT64 = pytest.param("float64", marks=[pytest.mark.tensorflow, pytest.mark.torch])


@pytest.mark.parametrize("what", [*marked(READABLE, TENSORS_OF_TENSORFLOW), WITH_FLOAT64])
def test_a_layer_that_gives_a_row_for_each_sample_is_followed(what):
    """In whatever precision and container: the first tensor that has one."""
    function, twin = FLOAT64 if what == "float64" else READABLE[what]
    model = Around(function)
    model(X)
    hidden = array(model.first(X))
    tolerance = 2e-2 if "float16" in what else 1e-5
    check(Case(model, X, ("first", "odd", "second"), by_hand={"odd": twin(hidden)}), tolerance)


# How layers are called.


class Keywords(layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.inner = layers.Dense(5, "relu")

    def call(self, *, query, value):
        return self.inner(query + value)


@case
def keywords_alone():
    inputs = keras.Input((6,))
    hidden = layers.Dense(6, name="hidden")(inputs)
    return Case(
        keras.Model(inputs, probability(Keywords(name="words")(query=hidden, value=inputs))), X, ("hidden", "words")
    )


class Called(keras.Model):
    """One layer that is called in a way of its own, one that never is."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.inner, self.aside = layers.Dense(4, name="inner"), layers.Dense(2, name="aside")
        self.out = layers.Dense(1, activation="sigmoid", name="out")
        self.inner.build((None, 4))
        self.aside.build((None, 4))

    def call(self, x, training=False):
        if self.how == "vectorized":
            return self.out(ops.vectorized_map(lambda row: ops.sum(self.inner(row), 0), x))
        if self.how == "loop":
            step = lambda t, z: (t + 1, z + self.inner(ops.take(x, t, axis=1)))  # noqa: E731
            return self.out(ops.while_loop(lambda t, _: t < 5, step, (0, ops.zeros_like(x[:, 0])))[1])
        if self.how == "branch":
            mean = lambda: ops.mean(self.inner(x), 1)  # noqa: E731
            return self.out(ops.cond(ops.mean(x) > 0, mean, mean))
        if self.how == "function":
            return self.out(by_tensorflow(lambda tf, x: tf.function(lambda z: ops.mean(self.inner(z), 1))(x))(x))
        return self.out(self.inner(x[:, 0]) + self.inner(x[:, 1]))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("vectorized", f"(5, 4) for {N} samples"),
        ("loop", INSIDE),
        ("branch", INSIDE),
        pytest.param("function", INSIDE, marks=pytest.mark.tensorflow),
        ("twice", None),
    ],
)
def test_a_layer_out_of_reach_is_left_out_and_named(how, reason):
    """In loops, branches and functions of their own; one that is not called at all.

    Where nothing is compiled a loop is a loop of Python's, whose first round is read, and a branch is nothing.
    """
    if reason == INSIDE and not get_backend().compiles():
        reason = None
    if how == "vectorized" and keras.backend.backend() == "jax":
        reason = INSIDE  # the rows are a trace of their own
    model = Called(how)
    model(SERIES)
    reasons = {"aside": UNSEEN} if reason is None else {"inner": reason, "aside": UNSEEN}
    reader = check(
        Case(
            model,
            SERIES,
            () if reason else ("inner",),
            reasons,
            by_hand={"inner": model.inner(SERIES if how == "branch" else SERIES[:, 0])},
        )
    )
    assert reader.facts.shared == ([] if reason or how == "branch" else ["inner"])


# Inputs of every kind, and layers that prepare them.


@case_of_tensorflow
def words_that_are_looked_up():
    inputs = keras.Input((1,), dtype="string")
    index = layers.StringLookup(vocabulary=["red", "green", "blue"], name="lookup")(inputs)
    hidden = layers.Dense(4, name="hidden")(layers.Flatten()(layers.Embedding(4, 3, name="words")(index)))
    return Case(keras.Model(inputs, probability(hidden)), WORDS, ("words", "hidden"), {"lookup": "integers"})


@case_of_tensorflow
def text():
    inputs = keras.Input((), dtype="string")
    split = layers.TextVectorization(output_sequence_length=3, vocabulary=["red", "green", "blue"], name="split")
    words = layers.Embedding(6, 3, mask_zero=True, name="words")
    model = keras.Model(inputs, probability(layers.GlobalAveragePooling1D(name="bag")(words(split(inputs)))))
    twin = {"words": words(split(WORDS[:, 0].tolist()))[:, 0]}  # the other steps are padding
    return Case(model, WORDS[:, 0], ("words", "bag"), {"split": "integers"}, by_hand=twin)


@case_of_tensorflow
def a_table_of_words_and_numbers():
    colour, numbers = keras.Input((1,), dtype="string", name="colour"), keras.Input((6,), name="numbers")
    wide = layers.StringLookup(vocabulary=["red", "green", "blue"], output_mode="one_hot", name="wide")(colour)
    deep = layers.Dense(4, "relu", name="deep")(layers.Normalization(mean=0.5, variance=2.0, name="scaled")(numbers))
    model = keras.Model(
        {"colour": colour, "numbers": numbers}, probability(layers.Concatenate(name="both")([wide, deep]))
    )
    return Case(model, {"colour": WORDS, "numbers": X}, ("scaled", "deep", "both"), {"wide": "integers"})


@case_of_tensorflow
def sparse_categories():
    inputs = keras.Input((1,), dtype="int32")
    encoded = layers.CategoryEncoding(20, output_mode="one_hot", sparse=True, name="encoded")(inputs)
    return Case(keras.Model(inputs, probability(encoded)), TOKENS[:, :1], (), {"encoded": "SparseTensor"})


@case
def augmented_images():
    stack = (
        layers.Rescaling(1 / 255, name="scaled"),
        layers.RandomFlip(),
        layers.RandomRotation(0.1),
        layers.RandomZoom(0.1),
    )
    model = sequential((8, 8, 3), *stack, layers.Flatten(), layers.Dense(1, activation="sigmoid"))
    return Case(model, 255 * IMAGES, ("scaled",))  # nothing is augmented in inference


@case
def films():
    stack = (
        layers.TimeDistributed(layers.Conv2D(4, 3, activation="relu"), name="each"),
        layers.ConvLSTM2D(3, 3, name="steps"),
    )
    model = sequential(
        (3, 6, 6, 1), *stack, layers.GlobalAveragePooling2D(name="mean"), layers.Dense(1, activation="sigmoid")
    )
    return Case(model, FILMS, ("each", "steps", "mean"))


@case
def volumes():
    stack = layers.Conv3D(4, 2, activation="relu", name="conv"), layers.MaxPooling3D(2, name="pool"), layers.Flatten()
    return Case(
        sequential((6, 6, 6, 2), *stack, layers.Dense(1)), R.random((N, 6, 6, 6, 2)).astype("float32"), ("conv", "pool")
    )


@case
def a_long_thin_film():
    model = sequential((6, 1, 1, 1, 40), layers.Dense(1200, "relu", name="wide"), layers.Flatten(), layers.Dense(1))
    return Case(model, R.normal(size=(N, 6, 1, 1, 1, 40)).astype("float32"), ("wide",))  # steps are never averaged down


# Several inputs, several outputs, one model in another.


@case
def one_of_two_outputs():
    inputs = keras.Input((6,))
    hidden = layers.Dense(5, "relu", name="hidden")(inputs)
    kind = probability(layers.Dense(4, "relu", name="kind")(hidden))
    size = layers.Dense(2, name="size")(layers.Dense(3, name="scale")(hidden))
    model = keras.Model(inputs, [kind, size])
    return Case(model, X, ("hidden", "kind"), {"scale": ELSEWHERE, "size": ELSEWHERE}, output="out")


@case
def a_siamese_pair():
    encoder = keras.Sequential([keras.Input((6,)), layers.Dense(4, "relu"), layers.Dense(3)], name="encoder")
    one, two = keras.Input((6,), name="one"), keras.Input((6,), name="two")
    distance = layers.Lambda(lambda z: ops.norm(z[0] - z[1], axis=1), output_shape=(), name="distance")
    model = keras.Model([one, two], probability(distance([encoder(one), encoder(two)])[:, None]))
    values = array(encoder(X))
    twin = {"encoder": values, "distance": np.linalg.norm(values - values[::-1], axis=1)}
    return Case(model, [X, X[::-1].copy()], ("encoder", "distance"), by_hand=twin)


class Parts(keras.Model):
    """An autoencoder that is never called as a whole."""

    def __init__(self):
        super().__init__()
        self.encoder = sequential((6,), layers.Dense(4, "relu"), layers.Dense(2), name="encoder")
        self.decoder = sequential((2,), layers.Dense(6), name="decoder")


@case
def the_latent_of_an_autoencoder():
    return Case(Parts(), X, (), {"decoder": UNSEEN}, output=lambda model, x: model.encoder(x))


class Table(keras.Model):
    """Inputs in a dict, layers in a dict."""

    def __init__(self):
        super().__init__()
        self.parts = {"a": layers.Dense(3, name="a"), "b": layers.Dense(3, name="b")}
        self.hidden, self.out = layers.Dense(4, "relu", name="hidden"), layers.Dense(1, name="out")

    def call(self, table):
        return self.out(self.hidden(self.parts["a"](table["a"]) + self.parts["b"](table["b"])))


@case
def a_dict_of_inputs():
    model, table = Table(), {"a": X, "b": 2 * X}
    model(table)
    twin = {"a": model.parts["a"](X), "b": model.parts["b"](2 * X)}
    return Case(model, table, ("a", "b", "hidden"), by_hand=twin)


# Recurrence and attention.


@case
def a_recurrent_layer_with_its_states():
    inputs = keras.Input((5, 4))
    _, hidden, cell = layers.LSTM(4, return_state=True, name="steps")(inputs)
    model = keras.Model(inputs, probability(layers.Concatenate(name="states")([hidden, cell])))
    return Case(model, SERIES, ("steps", "states"), by_hand={"steps": model.get_layer("steps")(SERIES)[1]})


@case
def both_directions_apart():
    inputs = keras.Input((5, 4))
    forth, back = layers.Bidirectional(layers.GRU(3), merge_mode=None, name="both")(inputs)
    model = keras.Model(inputs, probability(layers.Concatenate(name="joined")([forth, back])))
    return Case(model, SERIES, ("both", "joined"), by_hand={"both": model.get_layer("both")(SERIES)[0]})


@case
def stacked_cells():
    model = sequential((5, 4), layers.RNN([layers.LSTMCell(3), layers.GRUCell(4)], name="cells"), layers.Dense(1))
    return Case(model, SERIES, ("cells",))


@case
def attention_with_its_scores():
    inputs = keras.Input((5, 4))
    x = layers.GroupQueryAttention(2, 4, 2, name="grouped")(inputs, inputs)
    x, _ = layers.MultiHeadAttention(2, 2, name="heads")(x, x, return_attention_scores=True)
    x = layers.EinsumDense("abc,cd->abd", (5, 3), activation="relu", name="einsum")(x)
    model = keras.Model(inputs, probability(layers.GlobalMaxPooling1D(name="largest")(x)))
    values = model.get_layer("grouped")(SERIES, SERIES)
    twin = {"heads": model.get_layer("heads")(values, values)}
    return Case(model, SERIES, ("grouped", "heads", "einsum", "largest"), by_hand=twin)


# The laws.


def flat(x):
    return list(x.values()) if isinstance(x, dict) else list(x) if isinstance(x, list) else [x]


def values_by_hand(expected, path):
    """Of a layer: as the case has them, or from a functional model that is cut behind it."""
    if path in expected.by_hand:
        return array(expected.by_hand[path]).astype(np.float64)
    if not getattr(expected.model, "inputs", None):
        return None
    cut = keras.Model(expected.model.inputs, expected.model.get_layer(path).output)
    # A single array is fed as it is; text as Keras takes it.
    feed = keras.tree.map_structure(lambda x: ops.convert_to_tensor(x.tolist() if x.dtype == object else x), expected.x)
    return array(cut(feed, training=False)).astype(np.float64)


def check(expected, tolerance=1e-5):
    """Which layers are followed and why others are not; each layer's geometry against its values by hand."""
    reader = Reader(expected.model, flat(expected.x), expected.x, expected.output, None)
    reading = reader.read()
    *followed, last = [layer.name for layer in reader.layers]
    assert tuple(followed) == expected.followed
    assert last in ("logits", "output")
    assert set(reader.facts.reasons) == set(expected.reasons)
    for path, words in expected.reasons.items():
        assert words in reader.facts.reasons[path]
    for path, matrix in zip(followed, reading.matrices[:-1], strict=True):
        values = values_by_hand(expected, path)
        if values is None:
            continue
        rows = (values.mean(1) if values.ndim == 3 else values).reshape(N, -1)
        centred = rows - rows.mean(0)
        gram = matrix.values if matrix.gram else matrix.values.astype(np.float64) @ matrix.values.T
        expected_gram = centred @ centred.T
        np.testing.assert_allclose(gram, expected_gram, atol=tolerance * max(1.0, np.abs(expected_gram).max()))
        assert matrix.mean == pytest.approx(values.mean(), rel=tolerance, abs=tolerance)
    return reader


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.every_backend
@pytest.mark.parametrize("name", marked(CASES, OF_TENSORFLOW))
def test_what_can_be_followed_is_and_the_rest_is_named(name):
    """Whatever the model."""
    check(CASES[name]())


# Through `fit`.


def fitted(log_dir, model, probe, *, y=None, epochs=2, **options):
    model.compile("sgd", "mse")
    callback = kx.ProbeMappings(log_dir, probe, on_error="raise", **options)
    model.fit(probe.x, np.zeros(N) if y is None else y, epochs=epochs, batch_size=8, verbose=0, callbacks=[callback])
    return kx.load(log_dir)["."]


FEW = pytest.mark.filterwarnings("ignore:The probe has 24 rows")


@FEW
@pytest.mark.parametrize("name", ["logistic_regression", "a_vision_transformer_with_a_class_token", "films"])
def test_a_fit_starts_and_says_once_what_it_leaves_out(tmp_path, name):
    """One sentence in the first record; every epoch is recorded; the tab's figure and page can be made of it."""
    expected = CASES[name]()
    run = fitted(tmp_path, expected.model, kx.Probe(expected.x))
    assert [record.epoch for record in run.mappings] == [0, 1]
    assert run.mappings[-1].features.layers[:-1] == expected.followed
    notes = [(record.epoch, note) for record in run.history for note in record.notes if "mappings" in note]
    if name == "films":
        assert notes == []
    else:
        ((epoch, note),) = notes
        assert epoch == 0
        assert ("output alone" in note) == (not expected.followed)
        for path in expected.reasons:
            assert repr(path) in note
    assert run.figure("mappings").data
    kx.report(tmp_path, tmp_path / "page.html")


@FEW
def test_the_output_alone_is_what_the_model_says(tmp_path):
    """Logits of a logistic regression, and a linear surrogate that explains all of it."""
    model = CASES["logistic_regression"]().model
    run = fitted(tmp_path, model, kx.Probe(X))
    record = run.mappings[-1]
    kernel, bias = (np.asarray(v, np.float64) for v in model.layers[0].get_weights())
    np.testing.assert_allclose(record.result.logits, X @ kernel + bias, rtol=1e-2, atol=1e-3)
    assert record.features.layers == ("logits",)
    assert record.features.cka_layers.tolist() == [[pytest.approx(1, abs=1e-4)]]
    assert record.decision.surrogates["linear"].r2 > 0.99


@FEW
def test_films_are_pooled_to_cells_for_the_surrogates(tmp_path):
    """Mean over channels of 3 × 6 × 6 cells: as many as there are places."""
    run = fitted(tmp_path, CASES["films"]().model, kx.Probe(FILMS), epochs=1)
    features = run.mappings[0].decision.surrogates["linear"].features
    assert len(features) == 3 * 6 * 6
    assert features[:2] == ("cell (0,0,0)", "cell (0,0,1)")


@FEW
@pytest.mark.tensorflow  # elsewhere Keras builds a model by calling it
def test_parts_that_are_trained_by_a_step_of_their_own_are_followed_from_the_first_epoch(tmp_path):
    """The model is never built as a whole."""

    class Trained(Parts):
        def train_step(self, data):
            x = data[0]
            loss = lambda: ops.mean(ops.square(x - self.decoder(self.encoder(x))))  # noqa: E731
            value, gradients = value_and_gradients(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": value}

    run = fitted(tmp_path / "parts", Trained(), kx.Probe(X, output=lambda model, x: model.encoder(x)))
    assert len(run.mappings) == 2
    with pytest.raises(kx.InvalidInput, match="does not call it as a whole"):
        fitted(tmp_path / "whole", Trained(), kx.Probe(X))


@FEW
@pytest.mark.parametrize(
    ("name", "path", "words"),
    [
        ("a_vision_transformer_with_a_class_token", "token", "cannot be read: it does not depend on the samples"),
        ("a_token_whose_batch_is_one", "token", r"cannot be read: its output has the shape \(1, 1, 8\) for 24 samples"),
        ("patches_as_samples", "conv", r"cannot be read: its output has the shape \(72, 4, 4, 4\)"),
        pytest.param(
            "words_that_are_looked_up",
            "lookup",
            "cannot be read: it gives integers",
            marks=pytest.mark.tensorflow,
        ),
        pytest.param(
            "sparse_categories",
            "encoded",
            r"cannot be read: it gives no dense tensor \(SparseTensor\)",
            marks=pytest.mark.tensorflow,
        ),
        ("one_of_two_outputs", "scale", "takes no part in what the model says: it does not lead"),
        ("the_latent_of_an_autoencoder", "decoder", "takes no part in what the model says: no call of it is seen"),
    ],
)
def test_a_layer_that_was_named_and_cannot_be_read_is_an_error_in_words(name, path, words):
    """With what to do."""
    expected = CASES[name]()
    reader = Reader(expected.model, flat(expected.x), expected.x, expected.output, [path])
    with pytest.raises(kx.InvalidInput, match=f"Layer '{path}' {words}.*; name another one in layers=") as caught:
        reader.read()
    assert "\n" not in str(caught.value)


@pytest.mark.tensorflow  # elsewhere the number of rows is part of a trace
def test_a_layer_whose_rows_are_counted_and_change_ends_the_mappings_in_words():
    """In several chunks; named, at once; by the rule, when it had as many as samples before."""
    import tensorflow as tf

    threshold = tf.Variable(-1e9)
    model = Around(lambda z: tf.boolean_mask(2 * z, z[:, 0] > threshold))
    model(X)
    reader = Reader(model, [X], X, None, None)
    reader.runner.chunk = 9
    reader.read()
    assert [layer.name for layer in reader.layers] == ["first", "odd", "second", "logits"]
    threshold.assign(1e9)
    with pytest.raises(kx.InvalidInput, match="Layer 'odd' cannot be read: it gives 0 rows for 9 samples"):
        reader.read()
    named = Reader(model, [X], X, None, ["odd"])
    with pytest.raises(kx.InvalidInput, match=f"it gives 0 rows for {N} samples"):
        named.read()
    fresh = Reader(model, [X], X, None, None)
    fresh.read()
    assert [layer.name for layer in fresh.layers] == ["first", "second", "logits"]


OUTPUTS = {
    "text": (TENSORS_OF_TENSORFLOW["text"], "is a tensor of string"),
    "complex numbers": (lambda z: ops.cast(z, "complex64"), "is a tensor of complex64"),
    "a ragged tensor": (TENSORS_OF_TENSORFLOW["a ragged tensor"], "is a RaggedTensor of float32"),
    "a sparse tensor": (TENSORS_OF_TENSORFLOW["a sparse tensor"], "is a SparseTensor of float32"),
    "nothing": (lambda z: None, "is a NoneType"),
    "a scalar": (ops.mean, r"has shape \(\)"),
    "one row": (lambda z: z[:1], rf"has shape \(1, 3\) for {N} samples"),
    "more rows": (lambda z: ops.reshape(z, (-1, 1)), rf"has shape \(72, 1\) for {N} samples"),
    "no columns": (lambda z: z[:, :0], rf"has shape \({N}, 0\)"),
    "a shape that nobody knows": (TENSORS_OF_TENSORFLOW["a shape that nobody knows"], "has a shape that is not known"),
    COUNTED: (by_tensorflow(lambda tf, z: tf.boolean_mask(z, z[:, 0] > 9)), f"has 0 rows for {N} samples"),
    "maps": (lambda z: ops.reshape(z, (-1, 3, 1, 1)), rf"has shape \({N}, 3, 1, 1\)"),
}


@FEW
@pytest.mark.parametrize("what", marked(OUTPUTS, {*TENSORS_OF_TENSORFLOW, COUNTED}))
def test_an_output_that_is_no_scores_is_an_error_in_words(tmp_path, what):
    """Nothing can be recorded of it; the words name what came and what is expected."""
    function, words = OUTPUTS[what]
    hidden = layers.Dense(3, name="hidden")
    model = sequential((6,), hidden)
    probe = kx.Probe(X, output=lambda model, x: function(model(x)))
    with pytest.raises(kx.InvalidInput, match=f"The output {words}.*expected"):
        fitted(tmp_path, model, probe, y=np.zeros((N, 3)), epochs=1)


@FEW
def test_a_model_of_one_batch_size_is_read_in_such_batches():
    """A stateful layer takes as many samples as it was built for: the probe's 24 in batches of 9, like one without state."""
    readings = []
    for batch, stateful in ((9, True), (None, False)):
        keras.utils.set_random_seed(0)
        inputs = keras.Input(batch_shape=(batch, 5, 4))
        model = keras.Model(inputs, probability(layers.GRU(3, stateful=stateful)(inputs)))
        readings.append(Reader(model, [SERIES], SERIES, None, None).read())
    np.testing.assert_allclose(readings[0].outputs, readings[1].outputs, atol=1e-6)


@FEW
def test_a_fault_in_reading_the_layers_leaves_the_output(tmp_path, monkeypatch):
    """One that nobody foresaw, of ours: the reason is in words, the output is recorded; "raise" shows it as it is."""
    from keras_xai.mapping import reading

    def failing(activation, weight, mask, function, channels_first):
        if activation.shape[-1] > 1:
            raise TypeError("an internal error")
        return pooled(activation, weight, mask, function, channels_first)

    pooled = reading.pool_activation
    monkeypatch.setattr(reading, "pool_activation", failing)
    model, probe = dense_stack(), kx.Probe(X)
    model.compile("sgd", "mse")
    log_dir = tmp_path / "warn"
    model.fit(X, np.zeros(N), epochs=1, verbose=0, callbacks=[kx.ProbeMappings(log_dir, probe)])
    run = kx.load(log_dir)["."]
    assert run.mappings[0].features.layers == ("logits",)
    (note,) = [note for note in run.history[0].notes if "mappings" in note]
    assert "'first', 'second', 'out' (its output could not be made a row of features" in note
    assert "internal" not in note
    with pytest.raises(kx.InvalidInput, match="Layer 'first' cannot be read: its output could not be made"):
        model.fit(X, np.zeros(N), verbose=0, callbacks=[kx.ProbeMappings(tmp_path / "a", probe, layers=["first"])])
    with pytest.raises(TypeError, match="an internal error"):
        fitted(tmp_path / "b", model, probe)


def test_layers_with_one_reason_are_named_together():
    """And nothing is said where nothing is left out."""
    assert left_out({}, 2) == ""
    assert left_out({"a": "it is odd", "b": "it is even", "c": "it is odd"}, 2) == (
        "The mappings leave out 'a', 'c' (it is odd); 'b' (it is even)."
    )
