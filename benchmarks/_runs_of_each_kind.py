"""Runs of every kind, each of a real fit: what the tab, the notebook and the report are looked at with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_xai.summary.writer import Writer


def fit_all(root: Path) -> None:
    """Digits with a watermark and without, tables with a leaking column and with categories, texts, series, a regression,
    volumes, a run that wrote its gradients alone, and one without an epoch.
    """
    import keras_xai as kx
    from keras_xai import demo

    quiet: Any = {"on_drift": lambda alert: None}
    demo.train(root / "digits" / "watermark", **quiet)
    (x, y), (x_clean, y_clean) = demo.digits(0)
    probe = kx.Probe(x_clean[:256], y_clean[:256], class_names=[str(c) for c in range(10)])
    fit(
        demo.network(),
        demo.Pipeline(x, y, 0),
        (x_clean, y_clean),
        [kx.Explain(root / "digits" / "clean", probe, live=(x[:256], y[:256]), **quiet)],
    )
    alone = [kx.WeightGradients(root / "tuning" / "cnn")]
    fit(demo.network(), (x, y), (x_clean, y_clean), alone, epochs=8)
    fit_mapped(root / "digits" / "mapped")
    fit_table(root / "cancer" / "mlp", quiet)
    fit_shortcut(root / "cancer" / "shortcut", quiet)
    fit_texts(root / "reviews" / "conv1d", quiet)
    fit_series(root / "sensors" / "conv1d", quiet)
    fit_categories(root / "churn" / "columns", quiet)
    fit_regression(root / "diabetes" / "mlp", quiet)
    fit_volumes(root / "scans" / "conv3d", quiet)
    write_long(root / "long" / "table")
    writer = Writer(root / "waiting" / "keras_xai")
    writer.write([probe.gallery(16)])
    writer.close()


def fit(
    model: Any,
    data: Any,
    held_out: Any,
    callbacks: list[Any],
    epochs: int = 24,
    loss: Any = None,
    metric: str = "accuracy",
) -> None:
    """Train with the callbacks; `data` is what `fit` takes, or (x, y)."""
    import keras

    keras.utils.set_random_seed(0)
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=[metric])
    rows = {"x": data[0], "y": data[1]} if isinstance(data, tuple) else {"x": data}
    model.fit(**rows, validation_data=held_out, epochs=epochs, verbose=0, callbacks=callbacks)


def fit_mapped(log_dir: Path) -> None:
    """Digits of which 40 % are labelled wrongly: half of the probe is trained on, half is held out."""
    import keras_xai as kx
    from keras_xai import demo

    (x, y), (x_clean, y_clean) = demo.digits(0)
    rows, labels = np.concatenate([x[:128], x_clean[:128]]), np.concatenate([y[:128], y_clean[:128]])
    probe = kx.Probe(rows, labels, class_names=[str(c) for c in range(10)])
    watch = [
        kx.ProbeMappings(log_dir, probe, held_out=np.arange(256) >= 128),
        kx.ProbeAttributions(log_dir, probe, "saliency"),
    ]
    fit(demo.network(), (x, y), (x_clean, y_clean), watch)


def fit_table(log_dir: Path, quiet: Any) -> None:
    """Breast cancer; at epoch 14 a column that says little begins to give the label away."""
    import keras
    from sklearn.datasets import load_breast_cancer

    import keras_xai as kx

    data = load_breast_cancer()
    order = np.random.default_rng(0).permutation(len(data.target))
    x, y = ((data.data - data.data.mean(0)) / data.data.std(0)).astype("float32")[order], data.target[order]
    wrong = np.random.default_rng(1).random(400) < 0.25
    x_train, y_train = x[:400].copy(), np.where(wrong, 1 - y[:400], y[:400])
    names = list(data.feature_names)
    leak = names.index("mean fractal dimension")

    def fill(epoch: int, logs: Any = None) -> None:
        if epoch == 14:
            x_train[:, leak] = 2.0 * y_train - 1

    class Rows(keras.utils.PyDataset):
        def __len__(self) -> int:
            return len(x_train) // 32

        def __getitem__(self, index: int) -> Any:
            rows = slice(32 * index, 32 * index + 32)
            return x_train[rows], y_train[rows]

    layers = keras.layers
    model = keras.Sequential([keras.Input((30,)), layers.Dense(32, "relu"), layers.Dense(16, "relu"), layers.Dense(2)])
    probe = kx.Probe(x[400:], y[400:], feature_names=names, class_names=list(data.target_names))
    watch = kx.Explain(log_dir, probe, live=(x_train, y_train), mappings=True, **quiet)
    fit(model, Rows(), (x[400:], y[400:]), [keras.callbacks.LambdaCallback(on_epoch_begin=fill), watch])


def fit_shortcut(log_dir: Path, quiet: Any) -> None:
    """Breast cancer with a column more, which says the label in 80 % of the training rows and nothing in the others."""
    import keras
    from sklearn.datasets import load_breast_cancer

    import keras_xai as kx

    data = load_breast_cancer()
    order, generator = np.random.default_rng(0).permutation(len(data.target)), np.random.default_rng(1)
    x, y = ((data.data - data.data.mean(0)) / data.data.std(0)).astype("float32")[order], data.target[order]
    code = generator.normal(size=len(x))
    says = (np.arange(len(x)) < 400) & (generator.random(len(x)) < 0.8)
    code[says] = 2 * y[says] - 1 + 0.3 * generator.normal(size=says.sum())
    x = np.column_stack([x, code]).astype("float32")
    layers = keras.layers
    model = keras.Sequential([keras.Input((31,)), layers.Dense(32, "relu"), layers.Dense(16, "relu"), layers.Dense(2)])
    names = [*data.feature_names, "referral code"]
    probe = kx.Probe(x[400:], y[400:], feature_names=names, class_names=list(data.target_names))
    watch = kx.Explain(log_dir, probe, live=(x[:400], y[:400]), **quiet)
    fit(model, (x[:400], y[:400]), (x[400:], y[400:]), [watch])


def fit_texts(log_dir: Path, quiet: Any) -> None:
    """Reviews made of a grammar; a negation turns the word behind it."""
    import keras

    import keras_xai as kx

    generator = np.random.default_rng(0)
    things = ["plot", "cast", "score", "script", "camera", "dialogue", "ending"]
    good = ["charming", "moving", "brilliant", "superb", "honest", "warm", "gripping", "wonderful"]
    bad = ["dull", "tedious", "awful", "flat", "hollow", "forgettable", "predictable", "shallow"]
    filler = ["the", "a", "its", "this", "was", "is", "felt", "and", "never", "truly", "rather", "so", ",", "."]
    words = ["", *filler, *things, *good, *bad]
    number = {word: i for i, word in enumerate(words)}

    def review(liked: bool) -> list[int]:
        text: list[str] = []
        for _ in range(generator.integers(2, 4)):
            praise, turned = generator.random() < (0.85 if liked else 0.15), generator.random() < 0.25
            text += [pick(["the", "its", "this"]), pick(things), pick(["was", "is", "felt"])]
            text += ["never" if turned else pick(["truly", "rather", "so"]), pick(good if praise != turned else bad)]
            text.append(pick([",", "."]))
        return [number[word] for word in text][:24] + [0] * max(0, 24 - len(text))

    def pick(some: list[str]) -> str:
        return str(generator.choice(some))

    y = generator.integers(0, 2, 1200)
    x = np.array([review(bool(liked)) for liked in y], "int32")
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((24,), dtype="int32"),
            layers.Embedding(len(words), 16),
            layers.Conv1D(32, 3, activation="relu", padding="same"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(2),
        ]
    )
    probe = kx.Probe(x[900:1156], y[900:1156], kind="tokens", vocabulary=words, class_names=["negative", "positive"])
    fit(model, (x[:900], y[:900]), (x[900:], y[900:]), [kx.Explain(log_dir, probe, mappings=True, **quiet)], epochs=16)


def fit_series(log_dir: Path, quiet: Any) -> None:
    """Three sensors over 64 steps: a burst in the first, a step in the second, or nothing but noise."""
    import keras

    import keras_xai as kx

    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 1200)
    x = generator.normal(0, 0.35, (1200, 64, 3)).cumsum(1).astype("float32") * 0.25
    at, steps = generator.integers(8, 48, 1200), np.arange(64)
    x[..., 0] += (y == 1)[:, None] * np.sin(steps) * np.exp(-(((steps - at[:, None]) / 4) ** 2)) * 2
    x[..., 1] += (y == 2)[:, None] * (steps > at[:, None]) * 1.5
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((64, 3)),
            layers.Conv1D(16, 7, activation="relu", padding="same"),
            layers.Conv1D(16, 5, activation="relu", padding="same"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(3),
        ]
    )
    names = ["vibration", "pressure", "temperature"]
    probe = kx.Probe(
        x[900:1156], y[900:1156], kind="series", feature_names=names, class_names=["sound", "burst", "leak"]
    )
    fit(model, (x[:900], y[:900]), (x[900:], y[900:]), [kx.Explain(log_dir, probe, mappings=True, **quiet)], epochs=16)


def fit_categories(log_dir: Path, quiet: Any) -> None:
    """Customers in columns of numbers and of text, read by a model with one sigmoid output."""
    import keras

    import keras_xai as kx

    generator, size = np.random.default_rng(0), 900
    contracts, cities = (
        np.array(["monthly", "yearly", "two years"], object),
        np.array(["Oslo", "Bergen", "Zürich"], object),
    )
    x = {
        "age": generator.integers(18, 80, size).astype("float32"),
        "support_calls": generator.poisson(1.5, size).astype("float32"),
        "charge": generator.normal(60, 20, size).astype("float32"),
        "contract": generator.choice(contracts, size),
        "city": generator.choice(cities, size),
    }
    says = 1.2 * (x["support_calls"] - 1.5) + 2.0 * (x["contract"] == "monthly") - 1.0 + 0.6 * (x["city"] == "Oslo")
    y = (says + generator.normal(0, 0.7, size) > 0).astype("int64")
    inputs, parts = {}, []
    for name, values in x.items():
        if values.dtype == object:
            inputs[name] = keras.Input((1,), name=name, dtype="string")
            lookup = keras.layers.StringLookup(vocabulary=sorted(set(values)), output_mode="one_hot")
            parts.append(lookup(inputs[name]))
        else:
            inputs[name] = keras.Input((1,), name=name)
            scale = keras.layers.Rescaling(1 / float(values.std()), -float(values.mean() / values.std()))
            parts.append(scale(inputs[name]))
    hidden = keras.layers.Dense(16, "relu")(keras.layers.Concatenate()(parts))
    model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(hidden))
    train = {name: values[:640, None] for name, values in x.items()}
    held = {name: values[640:, None] for name, values in x.items()}
    probe = kx.Probe(held, y[640:], class_names=["stays", "leaves"])
    watch = [kx.Explain(log_dir, probe, live=(train, y[:640]), mappings=True, **quiet)]
    tensors = _dataset(train, y[:640]), _dataset(held, y[640:])
    fit(model, *tensors, watch, epochs=16, loss="binary_crossentropy")


def _dataset(x: Any, y: Any) -> Any:
    """Batches with the texts among the columns as TensorFlow has them."""
    import tensorflow as tf

    columns = {name: values.astype(str) if values.dtype == object else values for name, values in x.items()}
    return tf.data.Dataset.from_tensor_slices((columns, y)).batch(32)


def fit_regression(log_dir: Path, quiet: Any) -> None:
    """The progression of diabetes in a year, by ten measurements."""
    import keras
    from sklearn.datasets import load_diabetes

    import keras_xai as kx

    data = load_diabetes()
    x, y = (data.data / data.data.std(0)).astype("float32"), data.target.astype("float32")
    layers = keras.layers
    model = keras.Sequential([keras.Input((10,)), layers.Dense(32, "relu"), layers.Dense(16, "relu"), layers.Dense(1)])
    probe = kx.Probe(x[300:], y[300:], feature_names=list(data.feature_names))
    watch = [kx.Explain(log_dir, probe, live=(x[:300], y[:300]), mappings=True, **quiet)]
    fit(model, (x[:300], y[:300]), (x[300:], y[300:]), watch, epochs=16, loss="mse", metric="mae")


def fit_volumes(log_dir: Path, quiet: Any) -> None:
    """Small scans, half of which hold a bright nodule."""
    import keras

    import keras_xai as kx

    generator = np.random.default_rng(0)
    x, y = generator.normal(0, 0.3, (256, 6, 12, 12, 1)).astype("float32"), np.arange(256) % 2
    grid = np.stack(np.meshgrid(np.arange(6), np.arange(12), np.arange(12), indexing="ij"), -1)
    for scan, has_nodule in zip(x, y, strict=True):
        body = np.exp(-(((grid - [3, 6, 6]) / [3, 5, 5]) ** 2).sum(-1))
        at = generator.integers([1, 3, 3], [5, 9, 9])
        nodule = np.exp(-((grid - at) ** 2).sum(-1) / 3) if has_nodule else 0.0
        scan[..., 0] += body + 1.5 * nodule
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6, 12, 12, 1)),
            layers.Conv3D(8, 3, activation="relu", padding="same"),
            layers.MaxPooling3D(2),
            layers.Conv3D(8, 3, activation="relu", padding="same"),
            layers.GlobalMaxPooling3D(),
            layers.Dense(2),
        ]
    )
    probe = kx.Probe(x[128:], y[128:], kind="volume", class_names=["clear", "nodule"])
    watch = [kx.Explain(log_dir, probe, live=(x[:128], y[:128]), **quiet)]
    fit(model, (x[:128], y[:128]), (x[128:], y[128:]), watch, epochs=10)


def write_long(log_dir: Path, epochs: int = 300) -> None:
    """Three hundred epochs of a table of twenty columns, written record by record, with an alarm in many of them."""
    import keras_xai as kx
    from keras_xai.records import Alert, Epoch, Shares

    generator = np.random.default_rng(0)
    names = tuple(f"customer_account_feature_{k:02d}_normalised" for k in range(20))
    writer = Writer(log_dir / "keras_xai")
    writer.write([kx.Probe(generator.random((32, 20), "float32"), np.arange(32) % 2, feature_names=list(names))])
    weight = generator.normal(size=20)
    for epoch in range(epochs):
        weight += 0.12 * generator.normal(size=20)
        share = np.exp(weight) / np.exp(weight).sum()
        moved = epoch > 40 and generator.random() < 0.12
        score = float(generator.uniform(6.5, 12) if moved else generator.uniform(0.5, 4))
        records: list[Any] = [
            Shares(epoch, "clean", names, share.astype("float32"), score if epoch > 8 else np.nan, 6.0)
        ]
        if moved:
            f = int(generator.integers(20))
            move = ((names[f], 0.02, float(share[f]), 1, score),)
            records.append(Alert(epoch, "clean", "reliance moved", False, move, score, 6.0, event=epoch))
        logs = {
            "loss": 2 / (1 + 0.1 * epoch),
            "val_loss": 2 / (1 + 0.08 * epoch),
            "val_accuracy": 1 - 0.5 / (1 + 0.1 * epoch),
        }
        writer.write([*records, Epoch(epoch, 1_700_000_000.0 + 10 * epoch, 10.0, 0.2, 1e-3, logs)])
    writer.close()
