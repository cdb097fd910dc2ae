"""Small models with a dense output: a U-Net, a tagger, a decoder, a detector."""

import keras
import numpy as np

layers = keras.layers


def unet(classes=3, activation="softmax", size=8, channels=2):
    """Two levels, with the skip connection that makes it one."""
    inputs = keras.Input((size, size, channels))
    fine = layers.Conv2D(4, 3, padding="same", activation="softplus")(inputs)
    coarse = layers.Conv2D(5, 3, padding="same", activation="tanh")(layers.AveragePooling2D(2)(fine))
    merged = layers.Concatenate()([layers.UpSampling2D()(coarse), fine])
    hidden = layers.Conv2D(4, 3, padding="same", activation="softplus")(merged)
    return keras.Model(inputs, layers.Conv2D(classes, 1, activation=activation)(hidden))


def tagger(tags=3, words=9, steps=6):
    """Each tag by its word; padding is masked."""
    inputs = keras.Input((steps,), dtype="int32")
    embedded = layers.Embedding(words, 4, mask_zero=True)(inputs)
    hidden = layers.Dense(5, activation="tanh")(embedded)
    return keras.Model(inputs, layers.Dense(tags, activation="softmax")(hidden))


def decoder(words=9, steps=6):
    """What comes next, by causal attention."""
    inputs = keras.Input((steps,), dtype="int32")
    hidden = layers.Embedding(words, 4)(inputs)
    attended = layers.MultiHeadAttention(1, 4)(hidden, hidden, use_causal_mask=True)
    return keras.Model(inputs, layers.Dense(words)(layers.Add()([hidden, attended])))


def detector(classes=3, size=8):
    """Four boxes, each over a quarter of the image."""
    inputs = keras.Input((size, size, 1))
    hidden = layers.Conv2D(4, size // 2, strides=size // 2, activation="softplus")(inputs)
    boxes = layers.Reshape((-1, 4), name="boxes")(layers.Conv2D(4, 1)(hidden))
    scores = layers.Reshape((-1, classes))(layers.Conv2D(classes, 1)(hidden))
    return keras.Model(inputs, {"boxes": boxes, "classes": layers.Activation("sigmoid", name="classes")(scores)})


def blobs(count, size=8, classes=3, seed=0):
    """Noise with a square of one class in it, three images of four; their masks (B, H, W)."""
    r = np.random.default_rng(seed)
    x = 0.3 * r.normal(size=(count, size, size, 1))
    y = np.zeros((count, size, size), np.int64)
    for b in range(count):
        if b % 4:
            row, column = r.integers(0, size - 3, 2)
            y[b, row : row + 3, column : column + 3] = 1 + b % (classes - 1)
    return (x + y[..., None]).astype(np.float32), y


def sentences(count, words=9, steps=6, seed=0):
    """Tokens (B, T) of different lengths, 0 behind them."""
    r = np.random.default_rng(seed)
    lengths = r.integers(3, steps + 1, count)
    return np.where(np.arange(steps) < lengths[:, None], r.integers(1, words, (count, steps)), 0)
