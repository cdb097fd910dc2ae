"""The straight path, once, for real: `fit`, event file, TensorBoard's data provider, routes, a browser."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from tests.plugin.answers import HOME, LOADERS, arrays
from tests.plugin.tab import VIEWS, Tab

EPOCHS = 12


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(log directory, model, probe): a small CNN on digits, watched by four separate callbacks in one log_dir."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x, y = (data.images / 16)[..., None].astype(np.float32), data.target
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="cnn",
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    logs = tmp_path_factory.mktemp("logs")
    probe = kx.Probe(x[-128:], y[-128:], class_names=[str(c) for c in range(10)])
    watch = [
        kx.WeightGradients(logs / "digits", on_error="raise"),
        kx.ProbeAttributions(logs / "digits", probe, ["saliency", "grad_cam"], samples=8, on_error="raise"),
        kx.ImportanceDrift(
            logs / "digits", probe, live=(x[:128], y[:128]), on_drift=lambda alert: None, on_error="raise"
        ),
        kx.ProbeMappings(logs / "digits", probe, on_error="raise"),
    ]
    model.fit(x[:512], y[:512], batch_size=64, epochs=EPOCHS, verbose=0, callbacks=watch)
    return logs, model, probe


@pytest.mark.oldest
def test_the_files_say_what_the_model_does(trained):
    """The last epoch read back equals the trained model, asked again."""
    logs, model, probe = trained
    run = kx.load(logs)["digits"]
    assert run.epochs == list(range(EPOCHS))
    names, values = kx.importance(model, probe)
    assert run.importance.names == tuple(names)
    np.testing.assert_allclose(run.importance.share[-1], values / values.sum(), rtol=1e-4)
    values = kx.attribute(model, probe.gallery(8), "grad_cam").values
    np.testing.assert_allclose(run.attributions("grad_cam")[-1].values, values, atol=np.ptp(values) / 200)
    gradients = run.weight_gradients[-1]
    assert gradients.names == ("cnn/conv/kernel", "cnn/conv/bias", "cnn/digit/kernel", "cnn/digit/bias")
    norms = [np.linalg.norm(v.numpy()) for v in model.trainable_variables]
    np.testing.assert_allclose(
        gradients.statistics["weight_norm"], norms, rtol=0.05
    )  # the last step follows the record


@pytest.mark.oldest
@pytest.mark.parametrize("loader", LOADERS)
def test_tensorboard_serves_what_the_files_say(trained, wsgi, loader, wait_until):
    """Both data loaders, every epoch, the same numbers as `kx.load`."""
    logs, _, _ = trained
    run, client = kx.load(logs)["digits"], wsgi(logs, loader)
    wait_until(lambda: any(r["epochs"] == EPOCHS for r in client.get(HOME + "index").json["runs"]))
    ask = {"run": "digits"}
    summary = client.get(HOME + "run", query_string=ask).json
    assert summary["epochs"] == run.epochs
    assert [a["epoch"] for a in summary["alerts"]] == [a.epoch for a in run.alerts]
    for source, importance in (("clean", run.importance), ("live", run.importance_live)):
        _, values = arrays(client.get(HOME + "importance", query_string={**ask, "source": source}).data)
        np.testing.assert_array_equal(values["share"], importance.share)
    for method in run.methods:
        for record in run.attributions(method)[:: EPOCHS - 1]:
            _, values = arrays(
                client.get(HOME + "attribution", query_string={**ask, "method": method, "epoch": record.epoch}).data
            )
            np.testing.assert_allclose(values["v0"], record.values, atol=1e-6)


def test_a_person_sees_all_views(trained, browser, serve):
    """A real TensorBoard, a real browser, the real run: each view has its data, and nothing is complained of."""
    tab = Tab(browser, serve(trained[0]).url)
    for view in VIEWS:
        tab.show(view)
        tab.frame.locator("main .panel").first.wait_for()
        assert not tab.frame.locator("main .empty").count(), view
    tab.page.close()
    tab.quiet()
