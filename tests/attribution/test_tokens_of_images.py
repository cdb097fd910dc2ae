"""Maps of transformers: tokens on the grid of their patches, what is no patch left out."""

import warnings

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution.attributor import Attributor
from keras_xai.attribution.token_grid import grid_of
from keras_xai.model.layers import layer_path
from tests.frameworks import array as to_numpy

layers, ops = keras.layers, keras.ops
WIDTH = 8


class WithTokens(layers.Layer):
    """Puts tokens of its own in front of a sequence, or behind it, and adds positions."""

    def __init__(self, count, behind=False, **keywords):
        super().__init__(**keywords)
        self.count, self.behind = count, behind

    def build(self, shape):
        self.tokens = self.add_weight(shape=(1, self.count, WIDTH), initializer="random_normal")
        self.positions = self.add_weight(shape=(1, shape[1] + self.count, WIDTH), initializer="random_normal")

    def call(self, x):
        tokens = ops.broadcast_to(self.tokens, (ops.shape(x)[0], self.count, WIDTH))
        return ops.concatenate([x, tokens] if self.behind else [tokens, x], axis=1) + self.positions


class Block(layers.Layer):
    """Attention and a dense layer, each behind a normalization and beside what it changes."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.first, self.attend = layers.LayerNormalization(name="first"), layers.MultiHeadAttention(2, 4)
        self.second, self.dense = layers.LayerNormalization(name="second"), layers.Dense(WIDTH, activation="gelu")

    def call(self, x):
        normal = self.first(x)
        x = x + self.attend(normal, normal)
        return x + self.dense(self.second(x))


class Patches(layers.Layer):
    """The patches of an image as they are, without a convolution."""

    def call(self, x):
        patches = ops.image.extract_patches(x, 4)
        return ops.reshape(patches, (ops.shape(x)[0], patches.shape[1] * patches.shape[2], patches.shape[3]))


def transformer(
    special=1, behind=False, shape=(8, 16, 3), convolves=True, classes="token", blocks=2, head="glorot_uniform"
):
    keras.utils.set_random_seed(0)
    x = keras.Input(shape)
    if convolves:
        h = layers.Conv2D(WIDTH, 4, strides=4, name="patch")(x)
        h = layers.Reshape((h.shape[1] * h.shape[2], WIDTH))(h)
    else:
        h = layers.Dense(WIDTH)(Patches()(x))
    if special:
        h = WithTokens(special, behind)(h)
    h = Block(name="block")(h)
    h = layers.LayerNormalization(name="final")(h)
    h = h[:, -1 if behind else 0] if classes == "token" else layers.GlobalAveragePooling1D()(h)
    return keras.Model(x, layers.Dense(3, kernel_initializer=head, name="head")(h))


class Subclassed(keras.Model):
    """A transformer without a graph of layers, whose class token is a weight of the model's own."""

    def __init__(self):
        super().__init__()
        self.patch, self.blocks = layers.Conv2D(WIDTH, 4, strides=4), [Block()]
        self.token = self.add_weight(shape=(1, 1, WIDTH), initializer="random_normal")
        self.head = layers.Dense(3)

    def call(self, x):
        h = ops.reshape(self.patch(x), (ops.shape(x)[0], -1, WIDTH))
        h = ops.concatenate([ops.broadcast_to(self.token, (ops.shape(h)[0], 1, WIDTH)), h], axis=1)
        for block in self.blocks:
            h = block(h)
        return self.head(h[:, 0])


def subclassed():
    keras.utils.set_random_seed(0)
    model = Subclassed()
    model(np.zeros((1, 8, 16, 3), np.float32))
    return model


def nested():
    return keras.Sequential([keras.Input((8, 16, 3)), layers.Rescaling(0.5), transformer()])


def images(*shape):
    return np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)


def placed(model, x, **options):
    """A HiResCAM, and where it was read off."""
    attributor = Attributor(model, x, "hires_cam", target=1, options=options)
    values = attributor().values
    (placement,) = attributor._engine._placements.values()
    return values, placement


CASES = {
    "class token": (transformer, "block/first", range(1, 9)),
    "registers in front": (lambda: transformer(special=4), "block/first", range(4, 12)),
    "class token behind": (lambda: transformer(behind=True), "block/first", range(8)),
    "mean of the patches": (lambda: transformer(special=0, classes="mean"), "final", range(8)),
    "registers beside a mean": (lambda: transformer(special=2, classes="mean"), "final", range(2, 10)),
    "no convolution": (lambda: transformer(convolves=False), "block/first", range(1, 9)),
    "a head of zeros": (lambda: transformer(head="zeros"), "block/first", range(1, 9)),
    "subclassed": (subclassed, "first", range(1, 9)),
    "nested": (nested, "block/first", range(1, 9)),
}


QUICK = ("class token", "subclassed")  # the rest with `-m full`


@pytest.mark.every_backend
@pytest.mark.parametrize("case", [pytest.param(c, marks=[] if c in QUICK else [pytest.mark.full]) for c in CASES])
def test_the_patches_are_found_and_laid_on_their_grid(case):
    """Of a non-square image; the layer is the last one of which more than one patch leads to the scores."""
    make, path, tokens = CASES[case]
    model = make()
    values, placement = placed(model, images(8, 16, 3))
    assert values.shape == (2, 2, 4)
    assert layer_path(placement.layer, model).endswith(path)
    assert placement.tokens == tuple(tokens)
    assert values.any() == (case != "a head of zeros")


def test_a_mean_of_normalized_patches_has_a_closed_form():
    """HiResCAM of the last layer is each patch's own part of the logit, and all parts sum to it less its bias."""
    model, x = transformer(special=0, classes="mean"), images(8, 16, 3)
    values, _ = placed(model, x)
    tokens = to_numpy(keras.Model(model.input, model.get_layer("final").output)(x))
    kernel, bias = (to_numpy(w) for w in model.get_layer("head").weights)
    np.testing.assert_allclose(values, (tokens @ kernel[:, 1] / 8).reshape(2, 2, 4), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(values.sum((1, 2)), to_numpy(model(x))[:, 1] - bias[1], rtol=1e-4, atol=1e-5)


@pytest.mark.full
def test_a_layer_that_is_named_gives_its_tokens_on_the_grid():
    """The values of the class token are left out; Score-CAM covers the image by them."""
    model, x = transformer(), images(8, 16, 3)
    values, placement = placed(model, x, layer="block")
    everything, _ = placed(model, x, layer="block", grid=(9,), special_tokens=())
    assert placement.grid == (2, 4)
    np.testing.assert_array_equal(values.reshape(2, 8), everything[:, 1:])
    assert kx.attribute(model, x, "score_cam", target=1, layer="block").values.shape == (2, 2, 4)


def windowed(attends=True):
    """Tokens in the order of windows, which are taken out of the image one after the other."""
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 3))
    h = ops.reshape(layers.Conv2D(WIDTH, 2, strides=2, name="patch")(x), (-1, 2, 2, 2, 2, WIDTH))
    h = ops.reshape(ops.transpose(h, (0, 1, 3, 2, 4, 5)), (-1, 16, WIDTH))
    h = layers.LayerNormalization(name="windows")(h)
    if attends:
        h = Block(name="block")(h)
    return keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling1D()(h)))


@pytest.mark.full
def test_tokens_in_another_order_are_asked_for():
    """Never laid row by row, never a map of the patch convolution instead; what the user says holds."""
    x = images(8, 8, 3)
    with pytest.raises(
        kx.InvalidInput, match=r"'block' gives 16 tokens .* grid=\(rows, columns\) .* special_tokens=\(0,\)"
    ):
        kx.attribute(windowed(), x, "grad_cam", target=0)
    values, placement = placed(windowed(), x, grid=(4, 4))
    assert (values.shape, placement.grid) == ((2, 4, 4), (4, 4))
    with pytest.warns(UserWarning, match="The map is of layer 'patch', the last one with the image's axes"):
        kx.attribute(windowed(attends=False), x, "grad_cam", target=0)


def test_options_that_do_not_fit_are_refused_in_words():
    """With the numbers of tokens and places; and where there is no image, what they are about."""
    model, x = transformer(), images(8, 16, 3)
    with pytest.raises(kx.InvalidInput, match=r"9 tokens, 8 without special_tokens: grid=\(3, 3\) has 9 places"):
        kx.attribute(model, x, "grad_cam", target=0, grid=(3, 3), special_tokens=(0,))
    with pytest.raises(kx.InvalidInput, match="special_tokens holds 9, layer 'block/first' gives 9 tokens"):
        kx.attribute(model, x, "grad_cam", target=0, special_tokens=(9,))
    series = keras.Sequential([keras.Input((6, 2)), layers.Conv1D(2, 2), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(kx.InvalidInput, match="are about tokens of an image"):
        kx.attribute(series, images(6, 2), "grad_cam", target=0, grid=(2, 3))


def test_a_text_has_a_map_over_its_tokens():
    """The class token is a token of the text and keeps its place; behind the last attention it alone leads to the score."""
    keras.utils.set_random_seed(0)
    x = keras.Input((6,), dtype="int32")
    h = layers.Embedding(9, WIDTH)(x)
    h = Block(name="block")(h)
    model = keras.Model(x, layers.Dense(3)(layers.LayerNormalization()(h)[:, 0]))
    values, placement = placed(model, np.array([[1, 2, 3, 4, 5, 6], [1, 7, 8, 2, 2, 3]]))
    assert (values.shape, layer_path(placement.layer, model)) == ((2, 6), "block/first")


@pytest.mark.full
def test_steps_that_one_step_is_read_from_are_told_apart_before():
    """Of two recurrent layers, of which the last step of the second is read, the map is of the first."""
    keras.utils.set_random_seed(0)
    x = keras.Input((7, 2))
    h = layers.GRU(3, return_sequences=True, name="first")(x)
    model = keras.Model(x, layers.Dense(2)(layers.GRU(3, return_sequences=True, name="second")(h)[:, -1]))
    values, placement = placed(model, images(7, 2))
    assert (values.shape, placement.layer.name) == ((2, 7), "first")


def test_the_grid_follows_from_the_image_only_where_one_fits():
    """Whole patches before cut ones; merged patches; no grid of another form than the one in front."""
    assert grid_of(64, (32, 32), None) == (8, 8)
    assert grid_of(49, (30, 30), None) == (7, 7)
    assert grid_of(16, (16, 16), (8, 8)) == (4, 4)
    assert grid_of(36, (16, 16), (8, 8)) is None
    assert grid_of(17, (16, 16), None) is None
    assert grid_of(8, (4, 8, 16), (1, 2, 4)) == (1, 2, 4)


def test_a_layer_that_a_class_token_alone_leads_from_is_told():
    """The map is zero everywhere, whatever the weights are."""
    with pytest.warns(UserWarning, match="At layer 'final' .* the map is zero everywhere"):
        values = kx.attribute(transformer(), images(8, 16, 3), "hires_cam", layer="final", target=1).values
    assert not values.any()


@pytest.mark.full
def test_that_is_told_once_and_where_it_is_so():
    """Grad-CAM looks at such a map in several ways; Score-CAM asks for no gradient; of a mean all patches lead to the score."""
    model, x = transformer(), images(8, 16, 3)
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        kx.attribute(model, x, "grad_cam", layer="final", target=1)
    assert [str(message.message)[:16] for message in messages] == ["At layer 'final'"]
    assert kx.attribute(model, x, "score_cam", layer="final", target=1).values.any()
    assert kx.attribute(transformer(classes="mean"), x, "grad_cam", layer="final", target=1).values.any()
