"""The routes: parse, ask the run, respond. Records become bytes in `payload`, charts in `keras_xai.figures`."""

from __future__ import annotations

import functools
import itertools
import logging
import time
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
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
from keras_xai.plugin.latest import Latest
from keras_xai.plugin.listing import Known, listed, reason
from keras_xai.plugin.loader import NAME
from keras_xai.plugin.protos import protos
from keras_xai.plugin.static_files import files, plotly, plotly_partial, version
from keras_xai.plugin.workarounds.nagle import without_delay
from keras_xai.printed import escaped, printable
from keras_xai.run import Run

logger = logging.getLogger("keras_xai")

T = TypeVar("T")
EXPERIMENTS = 4  # whose runs are kept: a request can name any
FILMS = 1 << 26  # bytes of film strips
MOST_OVERLAYS = 24
DAY = 86_400
YEAR = 365 * DAY
# What a panel reads of the runs laid over it, beside what their cards are made of.
LAID_OVER = {
    "update_ratio": ("weight_gradients",),
    "drift_score": ("importance", "importance_live", "data_score"),
}
FIRST = ("history", "alerts", "flags", "stops", "probe_described")  # what a run's card in the picker is made of
WHOLE = (
    "probe",
    "weight_gradients",
    "importance",
    "importance_live",
    "data_score",
)  # and what is told of it as a whole


def route(answer: Callable[[Plugin, Request], Response]) -> Callable[[Plugin, Request], Response]:
    """A user's mistake is a 400 in the words of `InvalidInput`; what nobody foresaw is logged, and a 404 that names it: a
    data server that is gone, a run that vanished, a fault of ours."""

    @functools.wraps(answer)
    def wrapped(self: Plugin, request: Request) -> Response:
        try:
            return answer(self, request)
        except InvalidInput as error:
            raise errors.InvalidArgumentError(str(error)) from error
        except errors.PublicError:
            raise
        except Exception as error:
            logger.warning("%s could not be answered", request.path, exc_info=error)
            raise errors.NotFoundError(f"This could not be read: {reason(error)}") from error

    return wrapped


class Plugin(base_plugin.TBPlugin):
    """Serves the tab and the records of every run; nothing from a request reaches the file system."""

    plugin_name = NAME

    def __init__(self, context: base_plugin.TBContext) -> None:
        self._provider = without_delay(context.data_provider)
        self._protos = protos(context, self._provider)
        self._seen: Latest[dict[str, Known]] = Latest(EXPERIMENTS)
        self._pool = ThreadPoolExecutor(16, "keras_xai")
        self._thumbs: Latest[list[Any]] = Latest(FILMS)
        self._numbers: weakref.WeakKeyDictionary[Run, int] = weakref.WeakKeyDictionary()
        self._number = itertools.count()

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
        name = request.path.partition("/static/")[2]
        if name not in files():
            name = name.partition("/")[2]  # an address of the tab's own begins with a version
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
        answer: dict[str, Any] = {"log_dir": escaped(about.data_location), "now": time.time()}
        name = _focused(request, [name for name, known in runs.items() if not known.fault])
        if name is not None:  # a page that opens: what it would ask next, of the run that it shows
            answer["run"] = self._attempt(runs[name], lambda: self._whole(name, runs[name].run))
        answer["runs"] = [
            known.card if not known.fault else payload.unread(n, known.fault) for n, known in runs.items()
        ]
        return _json(request, answer)

    @route
    def run(self, request: Request) -> Response:
        return _json(request, self._whole(*self._run(request)))

    def _whole(self, name: str, run: Run) -> dict[str, Any]:
        reads: list[Callable[[], Any]] = [functools.partial(getattr, run, part) for part in WHOLE]
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
        needed = itertools.product([other.run for other in look.others], LAID_OVER.get(request.args["name"], ()))
        list(self._pool.map(lambda job: getattr(*job), needed))
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
        if run not in self._numbers:
            self._numbers[run] = next(self._number)
        key = self._numbers[run], method, epoch
        thumbs = self._thumbs.get(key)
        if thumbs is None:
            found = run.attribution(method, epoch)
            parts = payload.parts_of(found) if found is not None else []
            thumbs = [payload.thumb(maps) if maps.ndim == 3 else None for maps in parts]
            self._thumbs.put(key, thumbs, 1 + sum(thumb.nbytes for thumb in thumbs if thumb is not None))
        return thumbs[part] if part < len(thumbs) else None

    # The runs themselves, kept as long as nothing new was written.

    def _runs(self, request: Request, fresh: bool = False) -> dict[str, Known]:
        """Every run by its name, as the last `index` saw it: what a page asks for is what that told it of."""
        context, experiment = plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)
        seen = self._seen.get(experiment)
        if seen is None or fresh:
            seen = self._seen.put(experiment, self._look(request, context, experiment, seen or {}))
        return seen

    def _look(self, request: Request, context: Any, experiment: str, before: dict[str, Known]) -> dict[str, Known]:
        runs = listed(self._provider, self._protos, context, experiment, before, self._pool)
        # Side by side: the fast loader's answers come from another process.
        new = [known for known in runs.values() if known.card is None and not known.fault]
        reads = [*itertools.product(new, FIRST)]
        if (name := _focused(request, [*runs])) is not None:
            reads += itertools.product([runs[name]], WHOLE)
        list(self._pool.map(lambda job: self._attempt(job[0], lambda: getattr(job[0].run, job[1])), reads))
        for name, known in runs.items():
            if known.card is None and not known.fault:
                known.card = self._attempt(known, functools.partial(payload.card, name, known.run))
        return runs

    def _attempt(self, known: Known, read: Callable[[], Any]) -> Any:
        """What is read of one run; a fault is that of this run alone: the others are shown."""
        try:
            return read()
        except Exception as error:
            known.fault = reason(error)
            if known.fault != known.logged:  # once, however often the page asks
                logger.warning("the run %s cannot be read", printable(known.path), exc_info=error)
                known.logged = known.fault

    def _run(self, request: Request) -> tuple[str, Run]:
        name, runs = request.args.get("run", ""), self._runs(request)
        if name not in runs:
            runs = self._runs(request, fresh=True)
        return name, _readable(runs, name)

    def _overlays(self, request: Request, focus: str) -> tuple[Overlay, ...]:
        names, colours = request.args.getlist("overlay"), request.args.getlist("overlay_colour")
        runs = self._runs(request) if names else {}
        out = []
        for index, name in enumerate(names[:MOST_OVERLAYS]):
            run = _readable(runs, name)
            colour = colours[index] if index < len(colours) and colours[index].isdecimal() else "0"
            if name != focus:
                out.append(Overlay(name, run, int(colour[:6])))
        return tuple(out)


def _focused(request: Request, names: list[str]) -> str | None:
    """The run that a page shows when it opens: one that it knows of, else the first; None where no page opens."""
    if not names or "focus" not in request.args:
        return None
    return next((name for name in request.args.getlist("focus") if name in names), names[0])


def _readable(runs: dict[str, Known], name: str) -> Run:
    if name not in runs:
        raise errors.NotFoundError(str(unknown("run", name, runs)))
    if runs[name].fault:
        raise errors.NotFoundError(f"This run cannot be read: {runs[name].fault}")
    return runs[name].run


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
