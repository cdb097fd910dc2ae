"""Ask a language model why this token comes next: because of what stood behind the same mark before.

Sequences like "7 3 <mark> 9 4 1 <mark>": behind a mark comes what came behind the first one. A small recurrent model learns it.
One line of output= explains the token after the last step: occlusion points at the first mark and at what stands behind it.

    python examples/ask_a_language_model.py
"""

import keras
import numpy as np

import keras_xai as kx

MARK, VOCABULARY, LENGTH, EPOCHS = 0, 12, 9, 20
layers = keras.layers


def sequences(count, seed):
    """Tokens (count, LENGTH), what comes next at each step, and the step behind the first mark."""
    r = np.random.default_rng(seed)
    x = r.integers(1, VOCABULARY, (count, LENGTH + 1))
    first, rows = r.integers(0, LENGTH - 3, count), np.arange(count)
    x[rows, first] = x[:, LENGTH - 1] = MARK
    x[:, LENGTH] = x[rows, first + 1]
    return x[:, :LENGTH], x[:, 1:], first + 1


def language_model():
    """Says at each step which token comes next."""
    inputs = keras.Input((LENGTH,), dtype="int32")
    h = layers.LSTM(48, return_sequences=True)(layers.Embedding(VOCABULARY, 16)(inputs))
    return keras.Model(inputs, layers.Dense(VOCABULARY)(h))


def train(log_dir="logs/language_model", epochs=EPOCHS):
    """The model, and the run, read back."""
    keras.utils.set_random_seed(0)
    model = language_model()
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y, _ = sequences(4000, seed=1)
    x_probe, y_probe, _ = sequences(128, seed=2)
    probe = kx.Probe(x_probe, y_probe, kind="tokens", output=kx.outputs.next_token())
    model.fit(x, y, epochs=epochs, batch_size=100, verbose=0, callbacks=[kx.ProbeAttributions(log_dir, probe)])
    return model, kx.load(log_dir)["."]


def part_at_first_mark(model, count=200):
    """The part of the samples whose largest value is at the first mark or behind it; and the part that is right."""
    x, y, successor = sequences(count, seed=3)
    a = kx.attribute(model, x, "occlusion", output=kx.outputs.next_token(), verbose=False)
    right = model.predict(x, verbose=0)[:, -1].argmax(1) == y[:, -1]
    return float(np.isin(a.values.argmax(1) - successor, (-1, 0)).mean()), float(right.mean())


if __name__ == "__main__":
    model, run = train()
    at_mark, right = part_at_first_mark(model)
    print(f"{right:.0%} of the last tokens are right; in {at_mark:.0%} the first mark or what follows it counts most")
