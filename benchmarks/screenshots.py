"""Screenshots of every view, in both themes and at three widths.

    python -m benchmarks.screenshots [--logs LOGDIR] [--out artifacts] [--run NAME] [--epoch N]
                                     [--scene S] [--theme T] [--width W]

Without `--logs` small models of every kind are trained first, half a minute each, and more scenes are taken: a gallery of
each kind of probe, and every comparison. TensorBoard serves the directory, the system's Chromium (or the one that
CHROME_BIN names) looks at it. One PNG a scene, theme and width: `overview_light_1280.png`. Exits 1 where the page
complained or asked another host for something.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._browser import OPTIONS, TOUR_SEEN, browser_path, served
from keras_xai.summary.writer import Writer

FRAME = "iframe[src*='name=keras_xai']"
VIEWS = ("overview", "weight_gradients", "probe_attributions", "importance_drift", "reliance_gap", "mappings")
DIGITS = {"focus": "digits/watermark", "runs": ["digits/watermark", "digits/clean"], "epoch": 19}
# What a scene is: a view, and what else was chosen.
SCENES: dict[str, dict[str, Any]] = {view: {"view": view} for view in VIEWS}
MORE: dict[str, dict[str, Any]] = {
    **{view: {**DIGITS, "view": view} for view in VIEWS},
    "mappings": {"view": "mappings", "focus": "digits/mapped", "runs": ["digits/mapped"]},
    "layers": {**DIGITS, "view": "weight_gradients", "by": "layers"},
    "compare_epochs": {**DIGITS, "view": "probe_attributions", "compare": "epochs"},
    "compare_runs": {**DIGITS, "view": "probe_attributions", "compare": "runs"},
    "compare_methods": {**DIGITS, "view": "probe_attributions", "compare": "methods"},
    "table": {
        "view": "probe_attributions",
        "focus": "cancer/mlp",
        "runs": ["cancer/mlp"],
        "method": "integrated_gradients",
    },
    "table_overview": {"view": "overview", "focus": "cancer/mlp", "runs": ["cancer/mlp"]},
    "table_drift": {"view": "importance_drift", "focus": "cancer/mlp", "runs": ["cancer/mlp"], "epoch": 19},
    "text": {
        "view": "probe_attributions",
        "focus": "reviews/conv1d",
        "runs": ["reviews/conv1d"],
        "method": "integrated_gradients",
    },
    "series": {
        "view": "probe_attributions",
        "focus": "sensors/conv1d",
        "runs": ["sensors/conv1d"],
        "method": "integrated_gradients",
    },
    "shortcut": {"view": "reliance_gap", "focus": "cancer/shortcut", "runs": ["cancer/shortcut"]},
    "shortcut_overview": {"view": "overview", "focus": "cancer/shortcut", "runs": ["cancer/shortcut"]},
    "waiting": {"view": "overview", "focus": "waiting", "runs": ["waiting"]},
    "partial": {"view": "probe_attributions", "focus": "tuning/cnn", "runs": ["tuning/cnn"]},
}
THEMES = ("light", "dark")
WIDTHS = (640, 1280, 1920)
HEIGHTS = {640: 864, 1280: 864, 1920: 1144}  # with TensorBoard's own bar of 64 pixels


# Runs, one of each kind, each of a real fit.


def fit_all(root: Path) -> None:
    """Digits with a watermark and without, a table with a leaking column, texts, series, a run that wrote its gradients
    alone, and one without an epoch.
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
    writer = Writer(root / "waiting" / "keras_xai")
    writer.write([probe.gallery(16)])
    writer.close()


def fit(model: Any, data: Any, held_out: Any, callbacks: list[Any], epochs: int = 24) -> None:
    """Train with the callbacks; `data` is what `fit` takes, or (x, y)."""
    import keras

    keras.utils.set_random_seed(0)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
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
    watch = kx.Explain(log_dir, probe, live=(x_train, y_train), **quiet)
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
    fit(model, (x[:900], y[:900]), (x[900:], y[900:]), [kx.Explain(log_dir, probe, **quiet)], epochs=16)


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
    fit(model, (x[:900], y[:900]), (x[900:], y[900:]), [kx.Explain(log_dir, probe, **quiet)], epochs=16)


# The browser.


DRAWN = """() => {
    const main = document.querySelector('main');
    const charts = [...main.querySelectorAll('.chart')];
    const drawn = (chart) => chart.querySelector('.main-svg') || chart.querySelector('.waiting').textContent.length > 1;
    const reading = [...main.querySelectorAll('.note')].some((note) => note.textContent.endsWith('…'));
    return main.querySelector('.grid, .empty') && !main.textContent.startsWith('Reading') && charts.every(drawn) && !reading;
}"""


def take_screenshots(
    url: str, browser: Any, directory: Path, options: argparse.Namespace, scenes: dict[str, Any]
) -> list[str]:
    """Write the screenshots; return what the page complained of."""
    complaints: list[str] = []
    for theme in options.theme or THEMES:
        context = browser.new_context()
        page = context.new_page()
        page.add_init_script(TOUR_SEEN)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith((url, "data:", "blob:")) else complaints.append(f"asked {request.url}")
            ),
        )
        page.goto(f"{url}/?darkMode={str(theme == 'dark').lower()}#keras_xai")
        for name in options.scene or scenes:
            for width in options.width or WIDTHS:
                page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
                selection = json.dumps(scenes[name])
                # Without its frame, which would keep its own state when it goes.
                page.evaluate("() => { for (const frame of document.querySelectorAll('iframe')) frame.remove(); }")
                page.evaluate(
                    "([place, text]) => localStorage.setItem(place, text)", [f"keras_xai:{directory}", selection]
                )
                page.reload()
                page.frame_locator(FRAME).locator("main .grid, main .empty").first.wait_for(timeout=60_000)
                frame = next(frame for frame in page.frames if "name=keras_xai" in frame.url)
                frame.wait_for_function(DRAWN, timeout=60_000)
                page.wait_for_timeout(700)  # the last map is painted after the last chart
                path = options.out / f"{name}_{theme}_{width}.png"
                page.screenshot(path=path)
                print(path, flush=True)
        context.close()
    return complaints


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--logs", type=Path, help="a log directory; default: small models are trained")
    parser.add_argument("--out", type=Path, default=Path("artifacts"))
    parser.add_argument("--run", help="the run in focus; default: one with an alert")
    parser.add_argument("--epoch", type=int, help="where the slider stands; default: the last epoch")
    parser.add_argument("--scene", action="append", help="only this one; may be repeated")
    parser.add_argument("--theme", choices=THEMES, action="append", help="only this one")
    parser.add_argument("--width", choices=WIDTHS, type=int, action="append", help="only this one; may be repeated")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    selected = {"focus": options.run, "runs": [options.run] if options.run else None, "epoch": options.epoch}
    chosen = {key: value for key, value in selected.items() if value is not None}
    scenes = {name: {**scene, **chosen} for name, scene in (SCENES if options.logs else MORE).items()}
    if unknown := set(options.scene or ()) - set(scenes):
        parser.error(f"no scene {', '.join(sorted(unknown))}; there are {', '.join(scenes)}")
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="keras_xai_") as fitted:
        directory = (options.logs or Path(fitted)).resolve()
        if not options.logs:
            fit_all(directory)
        with served(directory) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path(), args=list(OPTIONS))
            complaints = take_screenshots(url, browser, directory, options, scenes)
            browser.close()
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
