"""The routes: each parses a request, reads a run and responds, with contents from `payload` and charts from `figures`."""

from __future__ import annotations

import functools
import io
import itertools
import logging
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import Request, Response

from keras_xai.analysis.attributions import arrays_of, methods_of, thumbnails
from keras_xai.analysis.clusters import clusters_of_class
from keras_xai.analysis.critical_step import step_sentence
from keras_xai.analysis.epochs import film_epochs
from keras_xai.analysis.gradients import gradient_health
from keras_xai.analysis.importance import alarm_epochs, sources
from keras_xai.analysis.influence import taught_by
from keras_xai.analysis.overview import summary
from keras_xai.errors import InvalidInput, unknown
from keras_xai.figures import PANELS, Look, Overlay
from keras_xai.figures.colour import THEMES
from keras_xai.figures.options import accepted
from keras_xai.plugin import documentation, payload
from keras_xai.plugin.framing import dumps, framed
from keras_xai.plugin.latest import Latest
from keras_xai.plugin.listing import ListedRun, absolute, list_runs, reason
from keras_xai.plugin.notebook import notebook_line
from keras_xai.plugin.prediction_payload import predictions
from keras_xai.plugin.protos import protos
from keras_xai.plugin.static_files import files, plotly, plotly_partial, version
from keras_xai.plugin.workarounds.nagle import without_delay
from keras_xai.printed import escaped, printable
from keras_xai.records import Attribution
from keras_xai.run import Run
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.updates import BEFORE

logger = logging.getLogger("keras_xai")

T = TypeVar("T")
Handler = Callable[["Plugin", Request], Response]
MAX_EXPERIMENTS = 4  # whose runs are cached: a request may name any number of them
MAX_FILM_BYTES = 1 << 26  # of cached thumbnails
MAX_OVERLAYS = 24
READER_THREADS = 16
INDEX_SECONDS = 0.4  # for reading runs that were not read before: the others wait for the next request
ROWS_SECONDS = 0.3  # for the rows of one request
DAY_SECONDS = 86_400
YEAR_SECONDS = 365 * DAY_SECONDS
# The members that a panel reads of the runs laid over it, besides those of `READ_FOR_CARD`.
READ_OF_OVERLAYS = {
    "update_ratio": ("weight_gradients",),
    "critical_step": ("critical_step",),
    "drift_score": ("importance", "importance_live", "data_score"),
}
# The members of a run that `payload.card` reads, and those that `payload.whole` reads as well.
READ_FOR_CARD = ("history", "alerts", "flags", "stops", "probe_described")
READ_FOR_RUN = (
    "probe",
    "weight_gradients",
    "critical_step",
    "importance",
    "importance_live",
    "data_score",
    "chosen_rows",
)
# Options of a panel that a request may give, as text and as whole numbers.
TEXT_OPTIONS = ("source", "statistic", "variable", "method", "by", "layer")
NUMBER_OPTIONS = ("epoch", "sample", "label")
MAX_ROWS = 5000  # of a panel that a request may choose
COMPACT = {"compact": True, "kernels_only": True, "labels": 16}


def route(answer: Handler) -> Handler:
    """Decorate a route: an `InvalidInput` is answered with status 400 and its text.

    Any other exception (a data server that ended, a run that was deleted, a fault of ours) is logged, and answered with status
    404 and its first line.
    """

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
    """Serves the tab and the records of all runs; no text of a request is used as a path of the file system."""

    plugin_name = PLUGIN_NAME

    def __init__(self, context: base_plugin.TBContext) -> None:
        self._provider = without_delay(context.data_provider)
        self._protos = protos(context, self._provider)
        self._listings: Latest[dict[str, ListedRun]] = Latest(MAX_EXPERIMENTS)
        self._pool = ThreadPoolExecutor(READER_THREADS, "keras_xai")
        self._thumbnails: Latest[list[Any]] = Latest(MAX_FILM_BYTES)
        self._numbers: weakref.WeakKeyDictionary[Run, int] = weakref.WeakKeyDictionary()
        self._next_number = itertools.count()

    def is_active(self) -> bool:
        """Return False, at once: TensorBoard calls this at every reload, and shows the tab where there are data for it."""
        return False

    def data_plugin_names(self) -> Iterable[str]:
        return (PLUGIN_NAME,)

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        return base_plugin.FrontendMetadata(es_module_path=f"/static/{version()}/index.js", tab_name="Explain")

    def get_plugin_apps(self) -> dict[str, Any]:
        routes = {
            "index": self.index,
            "run": self.run,
            "rows": self.rows,
            "summary": self.summary,
            "figure": self.figure,
            "importance": self.importance,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "attribution": self.attribution,
            "attribution.npy": self.attribution_file,
            "film": self.film,
            "clusters": self.clusters,
            "mapping": self.mapping,
            "predictions": self.predictions,
            "influence": self.influence,
            "notebook": self.notebook,
            "theme": self.theme,
            "plotly.min.js": self.plotly,
            "plotly.partial.min.js": self.plotly_partial,
            "static/*": self.static,
            "docs/*": self.docs,
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
        # A URL with the version may be cached: the next version has another one.
        expires = YEAR_SECONDS if f"/static/{version()}/" in request.path else 0
        return http_util.Respond(request, content, kind, content_encoding="gzip", expires=expires)

    def plotly(self, request: Request) -> Response:
        return _script(request, plotly)

    def plotly_partial(self, request: Request) -> Response:
        return _script(request, plotly_partial)

    def theme(self, request: Request) -> Response:
        return _json(request, payload.theme(), expires=DAY_SECONDS)

    @route
    def docs(self, request: Request) -> Response:
        name = request.path.partition("/docs/")[2]
        if name in documentation.images():
            return http_util.Respond(request, *documentation.images()[name], expires=DAY_SECONDS)
        if name not in documentation.pages():
            raise errors.NotFoundError(f"there is no page {name[:80]!r}")
        theme = _choice(request, "theme", {t: t for t in THEMES}, default="light")
        return http_util.Respond(request, documentation.page(name, theme), "text/html")

    # What the runs say.

    @route
    def index(self, request: Request) -> Response:
        context, experiment = plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)
        about = self._provider.experiment_metadata(context, experiment_id=experiment)
        runs = self._runs(request, refresh=True)
        location = about.data_location
        answer: dict[str, Any] = {"log_dir": escaped(location), "place": absolute(location), "now": time.time()}
        name = _focused(request, [name for name, listed in runs.items() if not listed.fault])
        if name is not None:  # a page that opens: it gets at once what it would request next, the run that it shows
            listed = runs[name]
            answer["run"] = self._attempt(listed, lambda: self._whole(name, listed.run))
        answer["runs"] = [
            payload.unread(run_name, listed.fault) if listed.fault else listed.card or payload.pending(run_name)
            for run_name, listed in runs.items()
        ]
        return _json(request, answer)

    @route
    def rows(self, request: Request) -> Response:
        """Answer with rows of the table of runs: those that a request names, as many as there is time for, one at least."""
        runs, end = self._runs(request), time.monotonic() + ROWS_SECONDS
        answer: list[dict[str, Any]] = []
        for name in request.args.getlist("run"):
            listed = runs.get(name)
            if listed is None:
                continue
            if listed.row is None and not listed.fault:
                if answer and time.monotonic() > end:
                    break
                self._make_card(name, listed)
                listed.row = self._attempt(listed, functools.partial(_row, listed))
            answer.append({"name": name, **(listed.row or {"error": listed.fault, "stamp": listed.fault})})
        return _json(request, answer)

    @route
    def run(self, request: Request) -> Response:
        return _json(request, self._whole(*self._run(request)))

    def _whole(self, name: str, run: Run) -> dict[str, Any]:
        reads: list[Callable[[], Any]] = [functools.partial(getattr, run, part) for part in READ_FOR_RUN]
        reads += [functools.partial(run.attribution_updates, method) for method in run.methods]
        list(self._pool.map(lambda read: read(), reads))  # in parallel, as in `_list`
        return payload.whole(name, run)

    @route
    def summary(self, request: Request) -> Response:
        _, run = self._run(request)
        epoch = _integer(request, "epoch")
        sentences = {"health": gradient_health(run, epoch), "pace": step_sentence(run, epoch)}
        return _json(request, {**asdict(summary(run, epoch)), **sentences})

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
        parts = READ_OF_OVERLAYS.get(request.args["name"], ())
        needed = itertools.product([other.run for other in look.others], parts)
        list(self._pool.map(lambda job: getattr(*job), needed))
        return _json(request, panel(run, look, **accepted(panel, _options(request))))

    @route
    def importance(self, request: Request) -> Response:
        _, run = self._run(request)
        importance = _choice(request, "source", {str(name): record for name, record in sources(run).items()})
        if importance is None:
            raise errors.NotFoundError("this run has no importance of this source")
        return _bytes(request, payload.importance(importance))

    @route
    def inputs(self, request: Request) -> Response:
        _, run = self._run(request)
        if run.probe is None:
            raise errors.NotFoundError("this run wrote no probe")
        rows = _rows_beside_gallery(request, run)
        samples = run.probe if rows is None else run.samples_of(rows)
        if samples is None or (rows is not None and samples.size < len(rows)):
            raise errors.NotFoundError("the inputs of these rows were not written")
        return _bytes(request, payload.inputs(samples))

    @route
    def outputs(self, request: Request) -> Response:
        _, run = self._run(request)
        update = _update(request)
        options: dict[str, Any] = {"at": update}
        if "chosen" in request.args:
            options = {"chosen_at": _required_update(request)}
        elif update == BEFORE:
            options = {"before": True}
        return _bytes(request, payload.outputs(run, _method(request, run), **options))

    @route
    def notebook(self, request: Request) -> Response:
        name, run = self._run(request)
        context, experiment = plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)
        about = self._provider.experiment_metadata(context, experiment_id=experiment)
        paths = {run_name: listed.path for run_name, listed in self._runs(request).items()}
        figure = request.args.get("name", "")
        options = _options(request, ["sample"]) | {"epoch": _update(request)}
        line = notebook_line(about.data_location, paths.values(), paths[name], run, figure, options)
        return http_util.Respond(request, line, "text/plain")

    @route
    def attribution_file(self, request: Request) -> Response:
        _, record = self._attribution(request)
        arrays = arrays_of(record)
        part, sample = _integer(request, "input") or 0, _integer(request, "sample")
        if part >= len(arrays):
            raise errors.NotFoundError("there is no such input")
        if sample is not None and sample >= len(arrays[part]):
            raise errors.NotFoundError("there is no map of this sample")
        file = io.BytesIO()
        np.save(file, arrays[part] if sample is None else arrays[part][sample], allow_pickle=False)
        return _bytes(request, file.getvalue())

    def _attribution(self, request: Request) -> tuple[Run, Attribution]:
        """Return a run, and its record of one method at one update."""
        _, run = self._run(request)
        method, update = _method(request, run), _required_update(request)
        is_chosen = "chosen" in request.args
        record = run.chosen_attribution(method, update) if is_chosen else run.attribution(method, update)
        if record is None:
            raise errors.NotFoundError(f"this method was not recorded at this {run.unit}, or its record is damaged")
        return run, record

    @route
    def attribution(self, request: Request) -> Response:
        _, record = self._attribution(request)
        sample = _integer(request, "sample")
        if sample is not None and sample >= len(arrays_of(record)[0]):
            raise errors.NotFoundError("there is no map of this sample")
        return _bytes(request, payload.attribution(record, _integer(request, "most", low=1), sample))

    @route
    def film(self, request: Request) -> Response:
        _, run = self._run(request)
        method = _method(request, run)
        sample, part = _required(request, "sample"), _integer(request, "input") or 0
        depth = _integer(request, "depth") or 0
        frames, epochs = [], []
        for epoch in _film_updates(run, method):
            maps = self._thumbnails_of(run, method, epoch, part)
            if maps is None or sample >= len(maps):
                continue
            is_volume = maps.ndim == 4
            if is_volume and depth >= maps.shape[1]:
                raise errors.NotFoundError(f"there is no slice {depth} of {maps.shape[1]} in this map")
            frames.append(maps[sample][depth] if is_volume else maps[sample])
            epochs.append(epoch)
        if not frames or len({frame.shape for frame in frames}) > 1:
            raise errors.NotFoundError("there is no map of this sample")
        return _bytes(request, framed({"epochs": epochs}, {"maps": np.stack(frames)}))

    @route
    def clusters(self, request: Request) -> Response:
        run, record = self._attribution(request)
        return _json(request, asdict(clusters_of_class(run, record, _required(request, "sample"))))

    @route
    def mapping(self, request: Request) -> Response:
        _, run = self._run(request)
        return _bytes(request, payload.mapping(run, request.args.get("layer")))

    @route
    def predictions(self, request: Request) -> Response:
        _, run = self._run(request)
        return _bytes(request, predictions(run, _integer(request, "epoch")))

    @route
    def influence(self, request: Request) -> Response:
        _, run = self._run(request)
        taught = taught_by(run, _required(request, "row"), _integer(request, "epoch"))
        if taught is None:
            raise errors.NotFoundError("what taught the model of this row was not recorded")
        proponents = [row._asdict() for row in taught.proponents]
        opponents = [row._asdict() for row in taught.opponents]
        answer = {"layer": taught.layer, "checkpoints": taught.checkpoints}
        return _json(request, {**answer, "proponents": proponents, "opponents": opponents})

    def _thumbnails_of(self, run: Run, method: str, epoch: int, part: int) -> Any:
        """Return the thumbnails of one input's maps at one epoch; None where it has none."""
        if run not in self._numbers:
            self._numbers[run] = next(self._next_number)
        key = self._numbers[run], method, epoch
        images = self._thumbnails.get(key)
        if images is None:
            record = run.attribution(method, epoch)
            parts = arrays_of(record) if record is not None else []
            ranks = (3, 4) if record is not None and record.kind == "volume" else (3,)
            images = [_film_part(maps, ranks) for maps in parts]
            self._thumbnails.put(key, images, 1 + sum(image.nbytes for image in images if image is not None))
        return images[part] if part < len(images) else None

    # The runs themselves, kept as long as nothing new was written.

    def _runs(self, request: Request, refresh: bool = False) -> dict[str, ListedRun]:
        """Return the runs by name, as of the last `index` request, from which a page knows them."""
        context, experiment = plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)
        runs = self._listings.get(experiment)
        if runs is None or refresh:
            runs = self._listings.put(experiment, self._list(request, context, experiment, runs or {}))
        return runs

    def _list(
        self, request: Request, context: Any, experiment: str, before: dict[str, ListedRun]
    ) -> dict[str, ListedRun]:
        runs = list_runs(self._provider, self._protos, context, experiment, before, self._pool)
        focused, end = _focused(request, [*runs]), time.monotonic() + INDEX_SECONDS
        unread = [name for name, listed in runs.items() if listed.card is None and not listed.fault]
        unread.sort(key=lambda name: name != focused)
        if focused is not None:
            self._read([runs[focused]], READ_FOR_RUN)
        for first in range(0, len(unread), READER_THREADS):
            if first and time.monotonic() > end:
                break
            names = unread[first : first + READER_THREADS]
            self._read([runs[name] for name in names], READ_FOR_CARD)
            for name in names:
                self._make_card(name, runs[name])
        return runs

    def _read(self, runs: list[ListedRun], members: Sequence[str]) -> None:
        """Read members of runs in parallel, since the fast loader's answers come from another process."""
        jobs = itertools.product(runs, members)
        list(self._pool.map(lambda job: self._attempt(job[0], lambda: getattr(job[0].run, job[1])), jobs))

    def _make_card(self, name: str, listed: ListedRun) -> None:
        if listed.card is None and not listed.fault:
            listed.card = self._attempt(listed, functools.partial(payload.card, name, listed.run))

    def _attempt(self, listed: ListedRun, read: Callable[[], Any]) -> Any:
        """Return `read()`; an exception is noted as the fault of this run, and the other runs are shown all the same."""
        try:
            return read()
        except Exception as error:
            listed.fault = reason(error)
            if listed.fault != listed.logged:  # once, and not at every request
                logger.warning("the run %s cannot be read", printable(listed.path), exc_info=error)
                listed.logged = listed.fault

    def _run(self, request: Request) -> tuple[str, Run]:
        name, runs = request.args.get("run", ""), self._runs(request)
        if name not in runs:
            runs = self._runs(request, refresh=True)
        return name, _readable(runs, name)

    def _overlays(self, request: Request, focus: str) -> tuple[Overlay, ...]:
        names, colours = request.args.getlist("overlay"), request.args.getlist("overlay_colour")
        runs = self._runs(request) if names else {}
        overlays = []
        for index, name in enumerate(names[:MAX_OVERLAYS]):
            run = _readable(runs, name)
            colour = colours[index] if index < len(colours) and colours[index].isdecimal() else "0"
            if name != focus:
                overlays.append(Overlay(name, run, int(colour[:6])))
        return tuple(overlays)


def _row(listed: ListedRun) -> dict[str, Any]:
    """Return the row of a run in the table of runs, with the stamp of its card.

    The records of a run that is not shown are read, and not kept.
    """
    is_shown = "weight_gradients" in vars(listed.run)  # its records are there, and may be very many
    return {
        **payload.row(listed.run if is_shown else listed.reopen()),
        "stamp": listed.card["stamp"] if listed.card else "",
    }


def _film_part(maps: Any, ranks: tuple[int, ...]) -> Any:
    """Return the thumbnails of maps, and the values of a table (B, F) as they are; None of what a film does not show."""
    if maps.ndim in ranks:
        return thumbnails(maps)
    return maps if maps.ndim == 2 else None


def _options(request: Request, numbers: Sequence[str] = NUMBER_OPTIONS) -> dict[str, Any]:
    """Return the options of panels in a request, also those that its panel does not take."""
    options: dict[str, Any] = {key: request.args[key] for key in TEXT_OPTIONS if request.args.get(key)}
    for key in numbers:
        number = _integer(request, key)
        if number is not None:
            options[key] = number
    if "exact" in request.args:
        options["exact"] = True
    if request.args.get("only"):
        options["only"] = _numbers(request.args["only"])
    return options | COMPACT if "compact" in request.args else options


def _numbers(text: str) -> list[int]:
    """Return numbers that are given as ranges: "0-2.7" is [0, 1, 2, 7]."""
    numbers: list[int] = []
    for part in text.split("."):
        first, _, last = part.partition("-")
        ends = (first, last or first)
        if not all(end.isascii() and end.isdecimal() and len(end) < 6 for end in ends):
            raise InvalidInput(f"only={text[:40]!r}: expected numbers and ranges, as in 0-2.7.")
        if len(numbers) + int(ends[1]) - int(ends[0]) >= MAX_ROWS:
            raise InvalidInput(f"only={text[:40]!r}: more than {MAX_ROWS} numbers.")
        numbers += range(int(ends[0]), int(ends[1]) + 1)
    return numbers


def _film_updates(run: Run, method: str) -> list[int]:
    """Return the updates of a film strip: the untrained model's, where it was recorded, before the others."""
    before = [BEFORE] if method in run.methods_before else []
    return [*before, *film_epochs(run.attribution_updates(method), alarm_epochs(run))]


def _rows_beside_gallery(request: Request, run: Run) -> list[int] | None:
    """Return the rows of the probe that a request names, or those chosen at the update it names; None for the gallery."""
    if "chosen" in request.args:
        return payload.rows_chosen_at(run, _required_update(request))
    row = _integer(request, "row")
    return None if row is None else [row]


def _focused(request: Request, names: list[str]) -> str | None:
    """Return the run that a page shows when it opens: the first of its `focus` that exists, else the first of all.

    None for a request of a page that is open already.
    """
    if not names or "focus" not in request.args:
        return None
    return next((name for name in request.args.getlist("focus") if name in names), names[0])


def _readable(runs: dict[str, ListedRun], name: str) -> Run:
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
    return http_util.Respond(request, content, "text/javascript", content_encoding="gzip", expires=DAY_SECONDS)


def _json(request: Request, value: Any, expires: int = 0) -> Response:
    return http_util.Respond(request, dumps(value), "application/json", expires=expires)


def _bytes(request: Request, content: bytes) -> Response:
    return http_util.Respond(request, content, "application/octet-stream")


def _choice(request: Request, key: str, table: Mapping[str, T], default: str = "") -> T:
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


def _method(request: Request, run: Run) -> str:
    return _choice(request, "method", {method: method for method in methods_of(run)})


def _update(request: Request) -> int | None:
    """Return the number of the update that a request names by `epoch`: an epoch, a step, or −1 for before training."""
    return BEFORE if request.args.get("epoch") == str(BEFORE) else _integer(request, "epoch")


def _required_update(request: Request) -> int:
    update = _update(request)
    if update is None:
        raise InvalidInput("epoch is missing: expected a whole number.")
    return update


def _required(request: Request, key: str) -> int:
    value = _integer(request, key)
    if value is None:
        raise InvalidInput(f"{key} is missing: expected a whole number.")
    return value
