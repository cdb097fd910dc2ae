"""The tables of embeddings, of whose rows a batch uses some only."""

from __future__ import annotations

import keras


def embedding_tables(model: keras.Model) -> list[keras.Variable]:
    """Return the tables of a model's `Embedding` layers.

    TensorFlow's gradient of such a table names the rows that a batch used; on other frameworks it has zeros for the others.
    A table that is the last layer's kernel as well has a gradient for every row.
    """
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Embedding) and layer.built]
    return [layer._embeddings for layer in layers if not getattr(layer, "tie_weights", False)]
