"""The recipes of `docs/trackers.md`: with stand-ins that keep what they are handed, and with the trackers themselves."""

from __future__ import annotations

import importlib
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import keras
import pytest

import keras_xai as kx
from tests.helpers.pages import DOCS, blocks

SETUP, MLFLOW, WANDB, COMET, AIM = blocks(DOCS / "trackers.md", "python")
SCALARS = {"loss", "accuracy", "xai_gap", "xai_gap_alarm", "xai_drift_score"}

pytestmark = [pytest.mark.filterwarnings("ignore:ALERT", "ignore:epoch", "ignore:keras_xai")]


class StandIn(types.ModuleType):
    """A tracker that keeps the names and arguments of what is called on it, or on anything that it returns."""

    def __init__(self, name: str, calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] | None = None) -> None:
        super().__init__(name)
        self.calls = [] if calls is None else calls

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn(name, self.calls)

    def __call__(self, *arguments: Any, **options: Any) -> StandIn:
        self.calls.append((self.__name__, arguments, options))
        return StandIn("", self.calls)

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *fault: object) -> None:
        pass

    def of(self, name: str) -> list[Any]:
        """Return the first argument of each call of a name."""
        return [
            next(iter([*arguments, *options.values()])) for called, arguments, options in self.calls if called == name
        ]


@pytest.fixture
def trackers(tmp_path, monkeypatch):
    """Stand-ins under the names of the packages."""
    monkeypatch.chdir(tmp_path)
    modules = {name: StandIn(name) for name in ("mlflow", "wandb", "comet_ml", "aim")}
    logger = types.ModuleType("wandb.integration.keras")
    logger.WandbMetricsLogger = lambda: keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: modules["wandb"].calls.append(("logger", (dict(logs),), {}))
    )
    for name, module in {**modules, "wandb.integration.keras": logger}.items():
        monkeypatch.setitem(sys.modules, name, module)
    return modules


def test_alerts_scalars_figure_and_report_reach_each_tracker(trackers):
    """The training of the page once, for MLflow; the other recipes are handed what it gave."""
    page: dict[str, Any] = {"__name__": "trackers"}
    epochs, alerts = [], []
    exec(compile(SETUP, "trackers.md", "exec"), page)
    train = page["train"]

    def train_and_keep(log_dir, on_drift, scalars):
        kept = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: (epochs.append(dict(logs)), scalars.on_epoch_end(epoch, logs))
        )
        return train(log_dir, lambda alert: (alerts.append(alert), on_drift(alert)), kept)

    page["train"] = train_and_keep
    exec(compile(MLFLOW, "trackers.md", "exec"), page)
    figure = page["figure"]
    assert [(alert.verdict, alert.features[0].name) for alert in alerts] == [("training-only shortcut", "hospital")]

    def hand_over(log_dir, on_drift, scalars):
        shutil.copy("mlflow_logs.html", f"{log_dir}.html")
        for alert in alerts:
            on_drift(alert)
        for epoch, logs in enumerate(epochs):
            scalars.on_epoch_end(epoch, logs)
        return figure

    page["train"] = hand_over
    for recipe in (WANDB, COMET, AIM):
        exec(compile(recipe, "trackers.md", "exec"), page)
    assert len(epochs) == 6
    assert set(epochs[-1]) >= SCALARS
    sentence = str(alerts[0])
    mlflow, wandb, comet, aim = trackers.values()
    assert set(mlflow.of("log_metrics")[-1]) == set(epochs[-1])
    assert mlflow.of("log_text")[0].startswith(sentence)
    assert mlflow.of("log_figure") == [figure]
    assert wandb.of("logger") == epochs
    assert {"title": alerts[0].verdict, "text": sentence}.items() <= wandb.calls[1][2].items()
    assert wandb.of("Plotly") == [figure]
    assert comet.of("log_metrics") == epochs
    assert comet.of("log_text") == [sentence]
    assert aim.of("Text") == [sentence]
    assert aim.of("Figure") == [figure]
    reports = [mlflow.of("log_artifact"), wandb.of("add_file"), comet.of("log_asset")]
    assert all(Path(name).stat().st_size > 100_000 for names in reports for name in names)
    assert [len(names) for names in reports] == [1, 1, 1]


def whole(page: dict[str, Any], recipe: str) -> dict[str, Any]:
    """Run the training of the page and a recipe."""
    for block in (SETUP, recipe):
        exec(compile(block, "trackers.md", "exec"), page)
    assert kx.load(".")
    return page


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
class TestOfThePackages:
    """What was logged is read back from where the tracker itself keeps it."""

    @pytest.fixture(autouse=True)
    def in_an_empty_directory(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

    def test_mlflow(self):
        mlflow = pytest.importorskip("mlflow")
        page = whole({}, MLFLOW)
        client, name = mlflow.MlflowClient(), page["tracked"].info.run_id
        data = client.get_run(name).data
        assert set(data.metrics) >= SCALARS
        assert data.tags["shortcut"] == "training-only shortcut"
        assert {file.path for file in client.list_artifacts(name)} == {
            "alerts",
            "mlflow_logs.html",
            "reliance_gap.html",
        }
        assert len(mlflow.search_runs(filter_string="tags.shortcut != ''")) == 1

    def test_wandb(self, wait_until):
        pytest.importorskip("wandb")
        whole({}, WANDB)
        (log,) = Path("wandb").glob("offline-run-*/*.wandb")
        expected = [f"epoch/{scalar}".encode() for scalar in SCALARS]
        expected += [b"what-the-model-relies-on", b"hospital speaks for the label"]
        # It is written by a process of its own, which ends after the training's.
        wait_until(lambda: all(words in log.read_bytes() for words in expected), 30)
        assert [words for words in expected if words not in log.read_bytes()] == []

    def test_comet(self):
        pytest.importorskip("comet_ml")
        whole({}, COMET)
        (archive,) = Path("comet").glob("*.zip")
        shutil.unpack_archive(archive, "sent")
        messages = Path("sent/messages.json").read_text(encoding="utf-8")
        assert all(f'"{scalar}"' in messages for scalar in SCALARS)
        texts = [path.read_bytes() for path in Path("sent").iterdir()]
        assert any(b"hospital speaks for the label" in text for text in texts)

    def test_aim(self):
        pytest.importorskip("aim")
        importlib.import_module("aim.sdk.repo").Repo.from_path(".", init=True)
        page = whole({}, AIM.removesuffix("tracked.close()\n"))  # what is closed is indexed later, by another process
        assert {metric.name for metric in page["tracked"].metrics()} >= SCALARS
        assert "shortcut" in page["tracked"].props.tags
        page["tracked"].close()
