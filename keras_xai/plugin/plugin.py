"""The routes: parse, ask the run, respond. Records become bytes in `payload`, charts in `keras_xai.figures`."""

from __future__ import annotations

import functools
import itertools
import time
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import PurePath
from typing import Any, TypeVar

import numpy as np
from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import Request, Response

from keras_xai.errors import InvalidInput, unknown
from keras_xai.figures import PANELS, Look, Overlay
from keras_xai.figures.colour import THEMES
from keras_xai.figures.overview import summary
from keras_xai.figures.weight_gradients import health
from keras_xai.plugin import payload
from keras_xai.plugin.loader import NAME
from keras_xai.plugin.prompt import prompt
from keras_xai.plugin.static_files import files, plotly, plotly_partial, version
from keras_xai.run import Run
from keras_xai.summary.reader import ProviderStore, display_name

T = TypeVar("T")
MOST_OVERLAYS = 24
DAY = 86_400
YEAR = 365 * DAY
FIRST = ("history", "alerts", "weight_gradients", "probe")  # what a run's card in the picker is made of


def route(answer: Callable[[Plugin, Request], Response]) -> Callable[[Plugin, Request], Response]:
    """A user's mistake is a 400 in the words of `InvalidInput`."""

    @functools.wraps(answer)
    def wrapped(self: Plugin, request: Request) -> Response:
        try:
            return answer(self, request)
        except InvalidInput as error:
            raise errors.InvalidArgumentError(str(error)) from error

    return wrapped


class Plugin(base_plugin.TBPlugin):
    """Serves the tab and the records of every run; nothing from a request reaches the file system."""

    plugin_name = NAME

    def __init__(self, context: base_plugin.TBContext) -> None:
        self._provider = prompt(context.data_provider)
        self._kept: dict[tuple[str, str], tuple[Any, Run]] = {}
        self._seen: dict[str, dict[str, Run]] = {}
        self._pool = ThreadPoolExecutor(16, "keras_xai")
        self._thumbs: weakref.WeakKeyDictionary[Run, dict[tuple[str, int], Any]] = weakref.WeakKeyDictionary()

    def is_active(self) -> bool:
        """False: it is asked at every reload and must not block; data alone makes the tab appear."""
        return False

    def data_plugin_names(self) -> Iterable[str]:
        return (NAME,)

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        return base_plugin.FrontendMetadata(es_module_path=f"/static/{version()}/index.js", tab_name="Explain")

    def get_plugin_apps(self) -> dict[str, Any]:
        routes = {
            "index": self.index,
            "run": self.run,
            "summary": self.summary,
            "figure": self.figure,
            "importance": self.importance,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "attribution": self.attribution,
            "film": self.film,
            "mapping": self.mapping,
            "theme": self.theme,
            "plotly.min.js": self.plotly,
            "plotly.partial.min.js": self.plotly_partial,
            "static/*": self.static,
        }
        return {f"/{name}": Request.application(app) for name, app in routes.items()}

    # What never changes.

    def static(self, request: Request) -> Response:
        name = request.path.rsplit("/", 1)[-1]
        if name not in files():
            raise errors.NotFoundError("no such file")
        content, kind = files()[name]
        # An address that names this very version may be kept: the next version has another one.
        expires = YEAR if f"/static/{version()}/" in request.path else 0
        return http_util.Respond(request, content, kind, expires=expires)

    def plotly(self, request: Request) -> Response:
        return _script(request, plotly)

    def plotly_partial(self, request: Request) -> Response:
        return _script(request, plotly_partial)

    def theme(self, request: Request) -> Response:
        return _json(request, payload.theme(), expires=DAY)

    # What the runs say.

    @route
    def index(self, request: Request) -> Response:
        context, experiment = plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)
        about = self._provider.experiment_metadata(context, experiment_id=experiment)
        runs = self._runs(request, fresh=True)
        told = {
            "log_dir": about.data_location,
            "now": time.time(),
            "runs": [payload.card(name, run) for name, run in runs.items()],
        }
        if runs and "focus" in request.args:  # a page that opens: what it would ask for next, of the run that it shows
            name = next((name for name in request.args.getlist("focus") if name in runs), next(iter(runs)))
            told["run"] = self._whole(name, runs[name])
        return _json(request, told)

    @route
    def run(self, request: Request) -> Response:
        return _json(request, self._whole(*self._run(request)))

    def _whole(self, name: str, run: Run) -> dict[str, Any]:
        reads: list[Callable[[], Any]] = [lambda: run.importance, lambda: run.importance_live, lambda: run.data_score]
        reads += [functools.partial(run.attribution_epochs, method) for method in run.methods]
        list(self._pool.map(lambda read: read(), reads))  # side by side, as in `_look`
        return payload.whole(name, run)

    @route
    def summary(self, request: Request) -> Response:
        _, run = self._run(request)
        epoch = _integer(request, "epoch")
        return _json(request, {**asdict(summary(run, epoch)), "health": health(run, epoch)})

    @route
    def figure(self, request: Request) -> Response:
        name, run = self._run(request)
        panel = _choice(request, "name", PANELS)
        look = Look(
            theme=_choice(request, "theme", {t: t for t in THEMES}, default="light"),
            name=name,
            colour=_integer(request, "colour", low=0) or 0,
            others=self._overlays(request, name),
        )
        options: dict[str, Any] = {
            key: request.args[key]
            for key in ("source", "statistic", "variable", "method", "by", "layer")
            if request.args.get(key)
        }
        numbers = {key: n for key in ("epoch", "sample") if (n := _integer(request, key)) is not None}
        if "compact" in request.args:
            options |= {"compact": True, "kernels_only": True, "labels": 16}
        return _json(request, panel(run, look, **options, **numbers))

    @route
    def importance(self, request: Request) -> Response:
        _, run = self._run(request)
        found = {"live": run.importance_live, "clean": run.importance, "data": run.data_score}
        importance = _choice(request, "source", found)
        if importance is None:
            raise errors.NotFoundError("this run has no importance of this source")
        return _bytes(request, payload.importance(importance))

    @route
    def inputs(self, request: Request) -> Response:
        _, run = self._run(request)
        if run.probe is None:
            raise errors.NotFoundError("this run wrote no probe")
        return _bytes(request, payload.inputs(run.probe))

    @route
    def outputs(self, request: Request) -> Response:
        _, run = self._run(request)
        return _bytes(request, payload.outputs(run, _choice(request, "method", {m: m for m in run.methods})))

    @route
    def attribution(self, request: Request) -> Response:
        _, run = self._run(request)
        method = _choice(request, "method", {m: m for m in run.methods})
        found = run.attribution(method, _required(request, "epoch"))
        if found is None:
            raise errors.NotFoundError("this method was not recorded at this epoch, or its record is damaged")
        sample = _integer(request, "sample")
        if sample is not None and sample >= len(payload.parts_of(found)[0]):
            raise errors.NotFoundError("there is no map of this sample")
        return _bytes(request, payload.attribution(found, _integer(request, "most", low=1), sample))

    @route
    def film(self, request: Request) -> Response:
        _, run = self._run(request)
        method = _choice(request, "method", {m: m for m in run.methods})
        sample, part = _required(request, "sample"), _integer(request, "input") or 0
        frames, epochs = [], []
        for epoch in payload.film_epochs(run.attribution_epochs(method), [a.epoch for a in run.alerts]):
            maps = self._thumb(run, method, epoch, part)
            if maps is not None and sample < len(maps):
                frames.append(maps[sample])
                epochs.append(epoch)
        if not frames or len({frame.shape for frame in frames}) > 1:
            raise errors.NotFoundError("there is no map of this sample")
        return _bytes(request, payload.framed({"epochs": epochs}, {"maps": np.stack(frames)}))

    @route
    def mapping(self, request: Request) -> Response:
        _, run = self._run(request)
        return _bytes(request, payload.mapping(run, request.args.get("layer")))

    def _thumb(self, run: Run, method: str, epoch: int, part: int) -> Any:
        kept = self._thumbs.setdefault(run, {})
        if (method, epoch) not in kept:
            found = run.attribution(method, epoch)
            parts = payload.parts_of(found) if found is not None else []
            kept[method, epoch] = [payload.thumb(maps) if maps.ndim == 3 else None for maps in parts]
        thumbs = kept[method, epoch]
        return thumbs[part] if part < len(thumbs) else None

    # The runs themselves, kept as long as nothing new was written.

    def _runs(self, request: Request, fresh: bool = False) -> dict[str, Run]:
        """Every run by its name, as the last `index` saw it: what a page asks for is what that told it of."""
        context, experiment = plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)
        if fresh or experiment not in self._seen:
            self._seen[experiment] = self._look(context, experiment)
        return self._seen[experiment]

    def _look(self, context: Any, experiment: str) -> dict[str, Run]:
        # Side by side: the fast loader's answers come from another process.
        ask = {"ctx": context, "experiment_id": experiment, "plugin_name": NAME}
        listing = self._pool.submit(self._provider.list_blob_sequences, **ask)
        tensors, blobs = self._provider.list_tensors(**ask), listing.result()
        found = {display_name(run): run for run in sorted({*tensors, *blobs})}
        if "." in found:  # a run in the log directory itself goes by the directory's name
            about = self._provider.experiment_metadata(context, experiment_id=experiment)
            own = PurePath(about.data_location).name
            if own and own not in found:
                found = {own if name == "." else name: run for name, run in found.items()}
        out, new = {}, []
        for name, run in found.items():
            tags = {**tensors.get(run, {}), **blobs.get(run, {})}
            stamp = tuple(sorted((tag, series.max_step, series.max_wall_time) for tag, series in tags.items()))
            kept = self._kept.get((experiment, run))
            if kept is None or kept[0] != stamp:
                kept = (stamp, Run(ProviderStore(self._provider, context, experiment, run)))
                self._kept[experiment, run] = kept
                new.append(kept[1])
            out[name] = kept[1]
        list(self._pool.map(lambda job: getattr(*job), itertools.product(new, FIRST)))
        return out

    def _run(self, request: Request) -> tuple[str, Run]:
        name, runs = request.args.get("run", ""), self._runs(request)
        if name not in runs:
            runs = self._runs(request, fresh=True)
        if name not in runs:
            raise errors.NotFoundError(str(unknown("run", name, runs)))
        return name, runs[name]

    def _overlays(self, request: Request, focus: str) -> tuple[Overlay, ...]:
        names, colours = request.args.getlist("overlay"), request.args.getlist("overlay_colour")
        runs = self._runs(request) if names else {}
        out = []
        for index, name in enumerate(names[:MOST_OVERLAYS]):
            if name not in runs:
                raise errors.NotFoundError(str(unknown("run", name, runs)))
            colour = colours[index] if index < len(colours) and colours[index].isdecimal() else "0"
            if name != focus:
                out.append(Overlay(name, runs[name], int(colour[:6])))
        return tuple(out)


def _script(request: Request, read: Callable[[], bytes]) -> Response:
    try:
        content = read()
    except OSError as error:
        raise errors.NotFoundError("the package plotly is not installed: pip install plotly") from error
    return http_util.Respond(request, content, "text/javascript", content_encoding="gzip", expires=DAY)


def _json(request: Request, value: Any, expires: int = 0) -> Response:
    return http_util.Respond(request, payload.dumps(value), "application/json", expires=expires)


def _bytes(request: Request, content: bytes) -> Response:
    return http_util.Respond(request, content, "application/octet-stream")


def _choice(request: Request, key: str, table: dict[str, T], default: str = "") -> T:
    value = request.args.get(key, default)
    if value not in table:
        raise unknown(key, value, table)
    return table[value]


def _integer(request: Request, key: str, low: int = 0) -> int | None:
    value = request.args.get(key)
    if value is None or value == "":
        return None
    if not (value.isascii() and value.isdecimal()) or len(value) > 9 or int(value) < low:
        raise InvalidInput(f"{key}={value[:40]!r}: expected a whole number from {low}.")
    return int(value)


def _required(request: Request, key: str) -> int:
    value = _integer(request, key)
    if value is None:
        raise InvalidInput(f"{key} is missing: expected a whole number.")
    return value
