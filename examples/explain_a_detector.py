"""Explain a detector: what in the image makes this box a square, or a cross?

A head gives each of 16 boxes a class and its corners. The class at the box where it is most probable is explained, before any
suppression of overlapping boxes. Nearly all of it lies on the shape itself.

    python examples/explain_a_detector.py
"""

import keras
import numpy as np

import keras_xai as kx

SIZE, CELL, EPOCHS = 16, 4, 12
SQUARE, CROSS = 1, 2  # class 0 is no shape


def images(count, seed):
    """Images, and the class and the corners of each cell's box: a square and a cross in two cells of each image."""
    r = np.random.default_rng(seed)
    x = r.normal(0, 0.3, (count, SIZE, SIZE, 1)).astype("float32")
    classes = np.zeros((count, SIZE // CELL, SIZE // CELL), "int64")
    for k in range(count):
        for shape, cell in zip((SQUARE, CROSS), r.choice(16, 2, replace=False), strict=True):
            row, column = divmod(int(cell), 4)
            classes[k, row, column] = shape
            top, left = row * CELL, column * CELL
            if shape == SQUARE:
                x[k, top : top + 3, left : left + 3] += 1
            else:
                x[k, top + 1, left : left + 3] += 1
                x[k, top : top + 3, left + 1] += 1
    corners = np.indices((4, 4)).transpose(1, 2, 0).reshape(16, 2) * CELL
    boxes = np.concatenate([corners, corners + 3], 1).astype("float32") / SIZE
    return x, {"classes": classes.reshape(count, 16), "boxes": np.repeat(boxes[None], count, 0)}


def detector():
    """Scores of three classes and four corners for each of 16 boxes."""
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 1))
    h = layers.Conv2D(16, CELL, CELL, activation="relu")(inputs)
    h = layers.Conv2D(16, 3, padding="same", activation="relu")(h)
    classes = layers.Reshape((16, 3), name="classes")(layers.Conv2D(3, 1)(h))
    boxes = layers.Reshape((16, 4), name="boxes")(layers.Conv2D(4, 1)(h))
    return keras.Model(inputs, {"classes": classes, "boxes": boxes})


def train(log_dir="logs/detector", epochs=EPOCHS):
    """The model, and the run, read back."""
    keras.utils.set_random_seed(0)
    model, (x, y) = detector(), images(1000, seed=1)
    classes = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), {"classes": classes, "boxes": "mse"})
    probe = kx.Probe(images(128, seed=2)[0], output=kx.outputs.detection(target=SQUARE))
    model.fit(x, y, epochs=epochs, batch_size=50, verbose=0, callbacks=[kx.Explain(log_dir, probe)])
    return model, kx.load(log_dir)["."]


def share_on_shape(model, shape, count=64):
    """The part of the attribution's magnitude that lies in the shape's cell, a sixteenth of the image."""
    x, y = images(count, seed=3)
    output = kx.outputs.detection(target=shape)
    values = np.abs(kx.attribute(model, x, "integrated_gradients", output=output, verbose=False).values[..., 0])
    cells = values.reshape(count, 4, CELL, 4, CELL).sum((2, 4)).reshape(count, 16)
    return float((cells * (y["classes"] == shape)).sum() / cells.sum())


if __name__ == "__main__":
    model, run = train()
    for shape, name in ((SQUARE, "square"), (CROSS, "cross")):
        print(f"{share_on_shape(model, shape):.0%} of what makes a {name} lies on it")
