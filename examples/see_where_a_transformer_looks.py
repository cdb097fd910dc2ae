"""See where a vision transformer looks: at the digit, or at the label that somebody wrote into a corner.

Handwritten digits of 8 × 8 pixels under noise, cut into 16 patches beside a class token: is it five or more? In nine of ten
training images that are, a corner is bright; the probe has no such corner. The maps of the tokens are laid on the image by
themselves, the class token left out. Tokens are mixed by then: LRP and DeepLIFT, which go back to the pixels, are sharper.

    python examples/see_where_a_transformer_looks.py
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_xai as kx

PATCH, WIDTH, TOKENS, EPOCHS = 2, 24, 16, 12
MARK, CORNER = 1.2, (slice(6, 8), slice(0, 2))  # the patch in the last row and first column
ops, layers = keras.ops, keras.layers


class Tokens(layers.Layer):
    """Patches as tokens, a class token in front, and where each stands."""

    def build(self, shape):
        self.cut = layers.Conv2D(WIDTH, PATCH, PATCH)
        self.cut.build(shape)
        self.first = self.add_weight(shape=(1, 1, WIDTH), initializer="random_normal", name="class_token")
        self.places = self.add_weight(shape=(1, TOKENS + 1, WIDTH), initializer="random_normal", name="places")

    def call(self, images):
        patches = ops.reshape(self.cut(images), (-1, TOKENS, WIDTH))
        first = ops.broadcast_to(self.first, (ops.shape(patches)[0], 1, WIDTH))
        return ops.concatenate([first, patches], 1) + self.places


def transformer():
    """Two blocks; the class token alone is read."""
    inputs = keras.Input((8, 8, 1))
    h = Tokens()(inputs)
    for _ in range(2):
        z = layers.LayerNormalization()(h)
        h = h + layers.MultiHeadAttention(3, 8)(z, z)
        h = h + layers.Dense(WIDTH)(layers.Dense(2 * WIDTH, activation="gelu")(layers.LayerNormalization()(h)))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.LayerNormalization()(h)[:, 0]))


def digits():
    """Training images with the corner, and a probe without it."""
    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 8, 8, 1) / 16 + np.random.default_rng(1).normal(0, 0.5, (len(x), 8, 8, 1))).astype("float32")
    y = (y >= 5).astype(int)
    training, probe = (x[:1300], y[:1300]), (x[1300:], y[1300:])
    marked = (training[1] == 1) & (np.random.default_rng(0).random(1300) < 0.9)
    training[0][(marked, *CORNER)] = MARK
    return training, probe


def train(log_dir="logs/transformer", epochs=EPOCHS):
    """The model, its training data, and the run, read back."""
    keras.utils.set_random_seed(0)
    model, (training, probe) = transformer(), digits()
    model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy", metrics=["accuracy"])
    maps = {"method": ["grad_cam", "lrp", "deeplift"]}
    watch = kx.Explain(log_dir, kx.Probe(*probe), live=training, attributions=maps)
    model.fit(*training, epochs=epochs, batch_size=64, verbose=0, callbacks=[watch])
    return model, training, kx.load(log_dir)["."]


if __name__ == "__main__":
    model, (x, _), run = train()
    for alert in run.alerts:
        print(alert.sentence)
    marked = x[x[:, 7, 0, 0] == np.float32(MARK)][:32]
    for method in ("grad_cam", "lrp", "deeplift"):
        values = kx.attribute(model, marked, method, target=1, verbose=False).values
        patches = values if values.ndim == 3 else values.reshape(-1, 4, PATCH, 4, PATCH).sum((2, 4))
        print(f"{method} of marked images, each patch in percent of the largest:")
        print((100 * patches.mean(0) / patches.mean(0).max()).round().astype(int))
