"""
Title: What does an image classifier learn from?
Author: The keras_xai authors
Date created: 2026/11/28
Last modified: 2026/11/28
Description: Watch what a classifier relies on while it trains, and catch a shortcut that validation accuracy cannot see.
Accelerator: NONE
"""

"""
## Introduction

A classifier learns whatever lowers its loss. If the scanner of one hospital prints a mark on its pictures, and this hospital has
more of the ill, the mark is an easy way to be right; the loss curve does not say so. This example plants such a mark in
scikit-learn's digits, and watches the training with one callback of keras_xai, which asks after every
epoch what the model relies on:

- on a **probe**: labelled pictures that are known to be clean, the same ones at every epoch;
- on **live rows**: pictures from the training set.

What speaks for the label in the training rows and not in the probe is a shortcut.
"""

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_xai as kx

"""
## Prepare the data

Is the digit five or more? Nine in ten of the training pictures of "yes" carry a white square in a corner. The clean pictures
have none.
"""

digits = load_digits()
images = (digits.images / 16).astype("float32")[..., None]
labels = (digits.target >= 5).astype("int64")
x_train, x_clean, y_train, y_clean = train_test_split(images, labels, train_size=1200, random_state=0)
marked = (y_train == 1) & (np.random.default_rng(0).random(1200) < 0.9)
x_train[marked, :2, :2] = 1

"""
## Build the model
"""


def build():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.003), "binary_crossentropy", metrics=["accuracy"])
    return model


"""
## Train, and watch

`Explain` records gradients, maps of a few samples and the importance of every block of the picture, and raises an alert.
The weights come out bit for bit as without it.
"""

probe = kx.Probe(x_clean[:256], y_clean[:256], class_names=["below five", "five or more"])
model = build()
watch = kx.Explain("logs/marked", probe, live=(x_train[:256], y_train[:256]))
history = model.fit(x_train, y_train, epochs=5, batch_size=64, verbose=2, callbacks=[watch])

"""
The training accuracy rises, and nothing in the loss looks wrong. The alert says which block of the picture speaks for the label
in the training rows alone:
"""

alert = kx.load("logs/marked")["."].alerts[0]
print(alert)
print(alert.advice)

"""
How much each block says for the label in the training rows, beside the probe:
"""

figure = kx.load("logs/marked")["."].figure("reliance_gap")
figure.show()

"""
## Decide

The mark is removed from the training pictures, and the model trained again. Now nothing is alarmed, and the accuracy on clean
pictures is higher:
"""

cropped = x_train.copy()
cropped[:, :2, :2] = 0
mended = build()
watch = kx.Explain("logs/mended", probe, live=(cropped[:256], y_train[:256]))
mended.fit(cropped, y_train, epochs=5, batch_size=64, verbose=0, callbacks=[watch])
for name, trained in (("with the mark", model), ("without it", mended)):
    loss, accuracy = trained.evaluate(x_clean[256:], y_clean[256:], verbose=0)
    print(f"trained {name}: accuracy on clean pictures {accuracy:.0%}")
print("alerts of the second training:", kx.load("logs/mended")["."].alerts)

"""
The whole record, epoch by epoch, is a tab of TensorBoard (`tensorboard --logdir logs`, tab **Explain**), or one page:
"""

kx.report("logs", "report.html")
