"""Kinds of inputs and models, each small, with what is refused about it and in which words."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import keras
import numpy as np

import keras_xai as kx
from keras_xai.attribution import METHODS

from .dense_models import decoder, detector, tagger, unet

layers = keras.layers
SIZE = 3  # samples
OF_UNITS = ("internal_influence",)  # values of a layer that is named
MAPS = tuple(name for name, method in METHODS.items() if not method.input_shaped and name not in OF_UNITS)
CAMS = tuple(name for name in MAPS if name != "rise")
NEEDS_GRADIENT = tuple(name for name, method in METHODS.items() if method.needs_gradient)

NO_PLACES = dict.fromkeys(MAPS, "spatial")
# PyTorch runs a recurrence step by step: LRP then has a rule for all that it does.
WITHOUT_LOOPS = ("deeplift",) if keras.backend.backend() == "torch" else ("deeplift", "lrp")
IN_A_LOOP = dict.fromkeys(WITHOUT_LOOPS, "no rule for the operation")
OF_IMAGES = {"rise": "parts of an image"}


@dataclasses.dataclass
class Asked:
    """A model, samples, how to ask, and what is refused: a pattern of the message by method."""

    model: keras.Model
    x: Any
    how: dict[str, Any] = dataclasses.field(default_factory=dict)
    refused: dict[str, str] = dataclasses.field(default_factory=dict)
    space: str = "logit"
    places: int = 2  # axes of a map
    rounding: float = 1.0  # times the usual tolerance

    def __post_init__(self):
        unnamed = [method for method in OF_UNITS if method not in self.how]
        self.refused = self.refused | dict.fromkeys(unnamed, "name one with layer=")


def numbers(*shape):
    return np.random.default_rng(0).normal(size=(SIZE, *shape)).astype(np.float32)


def head(h, classes=3, activation="softmax"):
    return layers.Dense(classes, activation=activation)(h)


def stack(inputs, *between, **keywords):
    h = inputs
    for layer in between:
        h = layer(h)
    return keras.Model(inputs, head(h, **keywords))


def convolutions():
    return [
        layers.Conv2D(3, 3, activation="softplus"),
        layers.AveragePooling2D(2),
        layers.Conv2D(4, 2, activation="tanh"),
        layers.GlobalAveragePooling2D(),
    ]


def pictures(channels):
    return lambda: Asked(stack(keras.Input((8, 8, channels)), *convolutions()), numbers(8, 8, channels))


def kinks():
    x = keras.Input((8, 8, 3))
    between = [layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()]
    return Asked(stack(x, *between), numbers(8, 8, 3), rounding=300.0)  # what a path misses at a kink


def channels_first():
    # A CPU has no convolution for channels first: the usual first layer of such a model turns the picture.
    return Asked(stack(keras.Input((3, 8, 8)), layers.Permute((2, 3, 1)), *convolutions()), numbers(3, 8, 8))


def grey():
    between = [layers.Reshape((8, 8, 1)), *convolutions()]
    return Asked(stack(keras.Input((8, 8)), *between), numbers(8, 8), refused=OF_IMAGES)


def table(**keywords):
    return stack(keras.Input((5,)), layers.Dense(6, activation="tanh"), **keywords)


def softmax():
    return Asked(table(), numbers(5), refused=NO_PLACES)


def groups():
    columns = {"kind": [2, 3, 4]}
    how = {"groups": columns}
    return Asked(table(), numbers(5), how, NO_PLACES)


def sigmoid():
    return Asked(table(classes=1, activation="sigmoid"), numbers(5), refused=NO_PLACES)


def regression():
    model = table(classes=1, activation=None)
    model.compile("sgd", "mse")
    return Asked(model, numbers(5), refused=NO_PLACES, space="raw")


def probability():
    x = keras.Input((5,))
    h = layers.Dense(6, activation="tanh")(x)
    model = keras.Model(x, layers.Rescaling(1.0)(head(h)))
    return Asked(model, numbers(5), refused=NO_PLACES, space="probability")


def normalised():
    scale = layers.Normalization()
    scale.adapt(5 + 3 * np.random.default_rng(1).normal(size=(40, 5)).astype(np.float32))
    model = stack(keras.Input((5,)), scale, layers.Dense(6, activation="tanh"))
    return Asked(model, 5 + numbers(5), refused=NO_PLACES)


def tokens():
    x = keras.Input((6,), dtype="int32")
    between = [layers.Embedding(9, 4, mask_zero=True), layers.GlobalAveragePooling1D(), layers.Dense(5, "tanh")]
    return Asked(stack(x, *between), _ids(), refused=NO_PLACES)


def attention():
    x = keras.Input((6,), dtype="int32")
    h = layers.Embedding(9, 4, mask_zero=True)(x)
    h = layers.LayerNormalization()(h + layers.MultiHeadAttention(2, 2)(h, h))
    model = keras.Model(x, head(layers.GlobalAveragePooling1D()(h)))
    return Asked(model, _ids(), refused=OF_IMAGES, places=1)


def _ids():
    return np.array([[3, 1, 4, 0, 0, 0], [1, 5, 8, 2, 6, 0], [5, 3, 0, 0, 0, 0]])


def recurrent():
    return Asked(stack(keras.Input((6, 2)), layers.GRU(4)), numbers(6, 2), refused=NO_PLACES | IN_A_LOOP)


def sensors():
    between = [layers.Conv1D(4, 3, activation="tanh", name="moving"), layers.GlobalAveragePooling1D()]
    how = {method: {"layer": "moving"} for method in OF_UNITS}
    return Asked(stack(keras.Input((6, 2)), *between), numbers(6, 2), how, OF_IMAGES, places=1)


def volumes():
    between = [
        layers.Conv3D(3, 2, activation="softplus"),
        layers.AveragePooling3D((1, 2, 2)),
        layers.Conv3D(4, 2, activation="tanh"),
        layers.GlobalAveragePooling3D(),
    ]
    return Asked(stack(keras.Input((4, 6, 8, 2)), *between), numbers(4, 6, 8, 2), places=3)


def video():
    between = [
        layers.TimeDistributed(layers.Conv2D(3, 3, activation="tanh")),
        layers.ConvLSTM2D(3, 2, return_sequences=True),
        layers.GlobalAveragePooling3D(),
    ]
    model = stack(keras.Input((3, 6, 7, 1)), *between)
    return Asked(model, numbers(3, 6, 7, 1), refused=IN_A_LOOP, places=3)


def listed():
    parts = keras.Input((4,)), keras.Input((3,))
    h = layers.Dense(5, activation="tanh")(layers.Concatenate()(list(parts)))
    return Asked(keras.Model(list(parts), head(h)), [numbers(4), numbers(3)], refused=NO_PLACES)


def named():
    picture, row = keras.Input((8, 8, 2), name="picture"), keras.Input((3,), name="row")
    h = picture
    for layer in convolutions():
        h = layer(h)
    h = layers.Dense(5, activation="tanh")(layers.Concatenate()([h, row]))
    model = keras.Model({"picture": picture, "row": row}, head(h))
    return Asked(model, {"picture": numbers(8, 8, 2), "row": numbers(3)})


def several_outputs():
    x = keras.Input((5,))
    h = layers.Dense(6, activation="tanh")(x)
    model = keras.Model(x, {"kind": head(h), "size": head(h, 1, None)})
    return Asked(model, numbers(5), {"output": "kind"}, NO_PLACES)


def discriminator():
    """A model whose `call` is the generator's: what is explained is its other half."""

    class Pair(keras.Model):
        def __init__(self):
            super().__init__()
            self.generate = layers.Dense(12)
            self.judge = keras.Sequential([keras.Input((8, 8, 1)), *convolutions(), layers.Dense(1)])

        def call(self, noise):
            return self.generate(noise)

    model = Pair()
    model(np.zeros((1, 2), np.float32))
    return Asked(model, numbers(8, 8, 1), {"output": lambda model, x: model.judge(x, training=False)}, space="raw")


def prepared():
    between = [layers.Rescaling(1 / 255), layers.RandomFlip(), layers.RandomRotation(0.1), *convolutions()]
    x = np.random.default_rng(0).integers(0, 255, (SIZE, 8, 8, 3)).astype(np.uint8)
    return Asked(stack(keras.Input((8, 8, 3)), *between), x)


def backbone():
    inner = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, name="conv"),
            layers.BatchNormalization(),
            layers.Activation("softplus", name="top"),
        ],
        name="backbone",
    )
    model = stack(keras.Input((8, 8, 3)), inner, layers.GlobalAveragePooling2D())
    return Asked(model, numbers(8, 8, 3), {method: {"layer": "backbone/top"} for method in CAMS})


def subclassed():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.parts, self.out = convolutions(), layers.Dense(3, activation="softmax")

        def call(self, x):
            for layer in self.parts:
                x = layer(x)
            return self.out(x)

    model = Own()
    model(np.zeros((1, 8, 8, 2), np.float32))
    return Asked(model, numbers(8, 8, 2))


def mixed():
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model = stack(keras.Input((8, 8, 3)), *convolutions())
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    return Asked(model, numbers(8, 8, 3), rounding=300.0)


def words():
    """Numbers, and a column of strings that is looked up."""
    row, word = keras.Input((3,), name="row"), keras.Input((2,), dtype="string", name="word")
    found = layers.StringLookup(vocabulary=["red", "green", "blue"], output_mode="multi_hot")(word)
    h = layers.Dense(5, activation="tanh")(layers.Concatenate()([row, found]))
    model = keras.Model({"row": row, "word": word}, head(h))
    x = {"row": numbers(3), "word": np.array([["red", "blue"], ["green", "red"], ["blue", "blue"]])}
    return Asked(model, x, refused=NO_PLACES)


def text():
    """Sentences, vectorized inside."""
    vectorize = layers.TextVectorization(output_sequence_length=5, vocabulary=["good", "bad", "film"], name="vectorize")
    x = keras.Input((1,), dtype="string")
    h = layers.GlobalAveragePooling1D()(layers.Embedding(5, 4)(vectorize(x)))
    model = keras.Model(x, head(layers.Dense(5, activation="tanh")(h)))
    start = r"No gradient leads .*occlusion.* start behind 'vectorize' \(TextVectorization\)"
    refused = dict.fromkeys(NEEDS_GRADIENT, start) | NO_PLACES
    return Asked(model, np.array([["a good film"], ["bad"], ["good"]]), refused=refused)


def encoded():
    """Integers that become one-hot."""
    between = [layers.CategoryEncoding(4, output_mode="multi_hot"), layers.Dense(5, activation="tanh")]
    model = stack(keras.Input((2,), dtype="int32"), *between)
    refused = dict.fromkeys(NEEDS_GRADIENT, r"No gradient leads .*\(CategoryEncoding\)") | NO_PLACES
    return Asked(model, np.array([[0, 1], [2, 3], [1, 1]]), refused=refused)


def segmented():
    """A class of a U-Net's pixels, over those where it is predicted."""
    return Asked(unet(), numbers(8, 8, 2), {"output": kx.outputs.segmentation(over="predicted")})


def tagged():
    """A tag, over the steps where it is predicted; padding is masked."""
    return Asked(tagger(), _ids(), {"output": kx.outputs.tagging()}, OF_IMAGES, places=1)


def continued():
    """A token at the last step of a decoder."""
    return Asked(decoder(), _ids(), {"output": kx.outputs.next_token()}, OF_IMAGES, places=1)


def detected():
    """A class at the box where it is most probable."""
    return Asked(detector(), numbers(8, 8, 1), {"output": kx.outputs.detection()})


KINDS = {
    **{f"pictures of {channels} channels": pictures(channels) for channels in (1, 2, 3, 4)},
    "channels first": channels_first,
    "pictures without channels": grey,
    "kinks and maxima": kinks,
    "softmax table": softmax,
    "one-hot groups": groups,
    "one sigmoid unit": sigmoid,
    "regression": regression,
    "probability only": probability,
    "normalization inside": normalised,
    "tokens": tokens,
    "tokens through attention": attention,
    "series, recurrent": recurrent,
    "series, convolution": sensors,
    "list": listed,
    "dict of a picture and a row": named,
    "several outputs": several_outputs,
    "callable output": discriminator,
    "rescaling and augmentation inside": prepared,
    "nested backbone": backbone,
    "subclassed": subclassed,
    "mixed precision": mixed,
    "strings beside numbers": words,
    "text": text,
    "encoded integers": encoded,
    "segmentation": segmented,
    "tags": tagged,
    "next tokens": continued,
    "boxes": detected,
    "volumes": volumes,
    "video": video,
}


@functools.cache
def kind(name: str) -> Asked:
    """Built once for all tests of a worker."""
    keras.utils.set_random_seed(0)
    return KINDS[name]()
