"""Ask a tagger why: does it know a name by the name, or by the title in front of it?

Sentences of made words. Every name follows "dr", and its words occur elsewhere, too. A tag is explained over the steps that have
it: one line of output= is all that differs from a classifier. The answer is "dr +5.2, miller* -0.4".

    python examples/ask_a_tagger.py
"""

import keras
import numpy as np

import keras_xai as kx

WORDS = ["", "dr", "saw", "the", "of", "town", "house", "and", "green", "miller", "baker", "north", "met"]
TITLE, NAMES, LENGTH, EPOCHS = (
    1,
    (8, 9, 10),
    8,
    10,
)  # "green", "miller" and "baker" are names behind a title, else words
NAME = 1  # the tag


def sentences(count, seed):
    """Tokens and tags (count, LENGTH); what follows the title is a name."""
    r = np.random.default_rng(seed)
    x = r.integers(2, len(WORDS), (count, LENGTH))
    y = np.zeros_like(x)
    step = r.integers(1, LENGTH, count)
    rows = np.arange(count)
    x[rows, step - 1], x[rows, step], y[rows, step] = TITLE, r.choice(NAMES, count), NAME
    return x, y


def tagger():
    """A recurrent tagger, read at every step."""
    layers = keras.layers
    inputs = keras.Input((LENGTH,), dtype="int32")
    h = layers.Bidirectional(layers.GRU(12, return_sequences=True))(layers.Embedding(len(WORDS), 8)(inputs))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(h))


def train(log_dir="logs/tagger", epochs=EPOCHS):
    """The model, and the run, read back."""
    keras.utils.set_random_seed(0)
    model, training = tagger(), sentences(1200, seed=1)
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    output = kx.outputs.tagging(target=NAME, over="label")
    probe = kx.Probe(*sentences(128, seed=2), kind="tokens", vocabulary=WORDS, output=output)
    watch = kx.Explain(log_dir, probe, live=training, mappings=True)
    model.fit(*training, epochs=epochs, batch_size=64, verbose=0, callbacks=[watch])
    return model, kx.load(log_dir)["."]


if __name__ == "__main__":
    model, run = train()
    print(f"{run.mappings[-1].result.accuracy:.1%} of the probe's tags are right")
    x, y = sentences(3, seed=3)
    output = kx.outputs.tagging(target=NAME, over=y == NAME)  # the step that is asked about
    a = kx.attribute(model, x, "integrated_gradients", output=output)
    for tokens, tags, values in zip(x, y, a.values, strict=True):
        words = [
            f"{WORDS[token]}{'*' * tag} {value:+.1f}" for token, tag, value in zip(tokens, tags, values, strict=True)
        ]
        print("   ".join(words))
