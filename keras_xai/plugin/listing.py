"""The list of runs in TensorBoard's data provider, by names that differ."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from tensorboard.data.provider import RunTagFilter

from keras_xai.run import Run
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.provider import Protos, ProviderStore, Reads, is_too_long
from keras_xai.summary.runs import display_names

Tags = tuple[dict[str, Any], dict[str, Any]]  # the provider's entries by tag: of tensors, of blobs


@dataclass
class ListedRun:
    """One run as it was listed."""

    path: str  # its name in the data provider
    stamp: tuple[Any, ...]  # changes with every record
    store: ProviderStore
    run: Run
    reopen: Callable[[], Run]  # the same run, whose records are not kept
    card: dict[str, Any] | None = None  # its entry in the run picker, see `payload.card`; None before it is made
    row: dict[str, Any] | None = None  # its row in the table of runs, see `payload.row`; None before it is made
    fault: str = ""  # why it cannot be read, "" where it can
    logged: str = ""  # the fault that was logged last, which is not logged again


def list_runs(
    provider: Any, protos: Protos | None, context: Any, experiment: str, before: Mapping[str, ListedRun], pool: Executor
) -> dict[str, ListedRun]:
    """List all runs by name.

    Args:
        provider: TensorBoard's data provider.
        protos: see `summary.provider.Reads`.
        context: of the request.
        experiment: of the request.
        before: the last listing, whose runs are kept where nothing was added to them.
        pool: for requests in parallel.
    """
    query = {"ctx": context, "experiment_id": experiment, "plugin_name": PLUGIN_NAME}
    tags = _tags(provider, query, pool)
    names = display_names(tags)
    if "." in names.values():  # a run in the log directory itself goes by the directory's name
        about = provider.experiment_metadata(context, experiment_id=experiment)
        names = display_names(tags, PurePath(about.data_location).name)
    earlier = {listed.path: listed for listed in before.values()}
    runs = {}
    for path in sorted(tags):
        listed = _list_run(Reads(provider, context, experiment, path, protos), tags[path], earlier.get(path))
        if listed.card is not None and listed.card["name"] != names[path]:  # a new run would have had the same name
            listed = replace(listed, card=None)
        runs[names[path]] = listed
    return runs


def _list_run(reads: Reads, tags: Tags | Exception, earlier: ListedRun | None) -> ListedRun:
    logged = "" if earlier is None else earlier.logged
    if isinstance(tags, Exception):
        store = ProviderStore(reads, {}, {})
        return ListedRun(reads.place, (), store, Run(store), lambda: Run(store), fault=reason(tags), logged=logged)
    every = {**tags[0], **tags[1]}
    stamp = tuple(sorted((tag, series.max_step, series.max_wall_time) for tag, series in every.items()))
    if earlier is not None and earlier.stamp == stamp and not earlier.fault:
        return earlier
    store = ProviderStore(reads, *tags, None if earlier is None else earlier.store)
    return ListedRun(
        reads.place, stamp, store, Run(store), lambda: Run(ProviderStore(reads, *tags, store)), logged=logged
    )


def _tags(provider: Any, query: dict[str, Any], pool: Executor) -> Mapping[str, Tags | Exception]:
    """List the tags of each run; where they are too long for one answer, run by run.

    Returns:
        The tags of each run, or the error where those of the run alone are too long.
    """
    try:
        return _list_tags(provider, query, pool)
    except Exception as error:
        if not is_too_long(error):
            raise
    tags: dict[str, Tags | Exception] = {}
    for run in provider.list_runs(query["ctx"], experiment_id=query["experiment_id"]):
        try:
            tags |= _list_tags(provider, {**query, "run_tag_filter": RunTagFilter(runs=[run.run_id])}, pool)
        except Exception as error:
            if not is_too_long(error):
                raise
            tags[run.run_id] = error
    return tags


def _list_tags(provider: Any, query: dict[str, Any], pool: Executor) -> dict[str, Tags]:
    """List tensors and blobs in parallel, since the fast loader's answers come from another process."""
    listing = pool.submit(provider.list_blob_sequences, **query)
    tensors, blobs = provider.list_tensors(**query), listing.result()
    return {run: (tensors.get(run, {}), blobs.get(run, {})) for run in {*tensors, *blobs}}


def absolute(location: str) -> str:
    """Return where the runs are, such that two log directories never have one name: a path from the root, or an address."""
    return location if re.match(r"\w+://", location) else os.path.abspath(location)


def reason(error: Exception) -> str:
    """Return an error in one line."""
    details = getattr(error, "details", None)  # of the data server's, whose text is a page
    name, text = ("TensorBoard's data server", details()) if callable(details) else (type(error).__name__, str(error))
    return f"{name}: {(str(text).strip().splitlines() or [''])[0][:300]}"
