"""Watch a U-Net: does it look at the lesion, or at what stands beside it?

Lesions are faint squares. In the training images somebody marked their columns at the upper edge; the probe has no marks. The
importance of the training rows moves to the edge, that of the probe cannot.

    python examples/watch_a_segmentation.py
"""

import keras
import numpy as np

import keras_xai as kx

SIZE, LESION, EPOCHS = 16, 5, 8


def images(count, seed, *, marked):
    """Images and masks of lesions; two in three have one."""
    r = np.random.default_rng(seed)
    x = r.normal(size=(count, SIZE, SIZE, 1)).astype("float32")
    y = np.zeros((count, SIZE, SIZE, 1), "int64")
    for k in range(count):
        row, column = r.integers(2, SIZE - LESION, 2)
        if k % 3:
            y[k, row : row + LESION, column : column + LESION] = 1
            x[k, row : row + LESION, column : column + LESION] += 0.7
            if marked:
                x[k, 0, column : column + LESION] = 4
    return x, y


def unet():
    """Three levels, since a mark at the edge has to be seen from afar."""
    conv = lambda filters, x: keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)  # noqa: E731
    inputs = keras.Input((SIZE, SIZE, 1))
    fine = conv(8, inputs)
    middle = conv(12, keras.layers.MaxPooling2D()(fine))
    coarse = conv(16, conv(16, keras.layers.MaxPooling2D()(middle)))
    middle = conv(12, keras.layers.Concatenate()([keras.layers.UpSampling2D()(coarse), middle]))
    fine = conv(8, keras.layers.Concatenate()([keras.layers.UpSampling2D()(middle), fine]))
    return keras.Model(inputs, keras.layers.Conv2D(1, 1, activation="sigmoid")(fine))


def train(log_dir="logs/segmentation", epochs=EPOCHS):
    """The run, read back."""
    keras.utils.set_random_seed(0)
    model = unet()
    model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy", metrics=["accuracy"])
    x, y = images(768, seed=1, marked=True)
    probe = kx.Probe(*images(128, seed=2, marked=False), output=kx.outputs.segmentation(target=1))
    watch = kx.Explain(log_dir, probe, live=(x, y), mappings=True)
    model.fit(x, y, epochs=epochs, batch_size=32, verbose=0, callbacks=[watch])
    return kx.load(log_dir)["."]


if __name__ == "__main__":
    run = train()
    for alert in run.alerts:
        print(alert.sentence)
    result = run.mappings[-1].result
    print(f"{result.accuracy:.1%} of the probe's pixels are right; the map of what each part says: keras-xai report")
