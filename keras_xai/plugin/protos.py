"""Tensors as they stand in the event files, before TensorBoard makes arrays of them.

Its data provider fills a large shape up with one number, sixty bytes with gigabytes, and of a series in which one tensor is
damaged it gives nothing. Where it keeps the protocol buffers they are taken from there; where it does not any more, the
provider is asked as usual.
"""

from __future__ import annotations

from typing import Any

from tensorboard.data.proto import data_provider_pb2

from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.provider import Protos


def protos(context: Any, provider: Any) -> Protos | None:
    """Those of TensorBoard's Python loader, or of its data server."""
    if getattr(context, "multiplexer", None) is not None:
        return OfMultiplexer(context.multiplexer)
    stub = getattr(provider, "_stub", None)
    return None if stub is None else OfServer(provider, stub.ReadTensors)


class OfMultiplexer:
    """Of the Python loader, which holds every event."""

    blobs_too = True

    def __init__(self, multiplexer: Any) -> None:
        self._multiplexer = multiplexer

    def read(self, experiment_id: str, run: str, tag: str, most: int) -> list[tuple[int, Any]]:
        """A step and its tensor, `most` of them, the last among them."""
        try:
            events = self._multiplexer.Tensors(run, tag)
        except KeyError:  # the run or the tag is gone
            return []
        return [(int(event.step), event.tensor_proto) for event in events[-most:]]


class OfServer:
    """Of the data server, which is asked for tensors as TensorBoard's own provider does."""

    blobs_too = False  # they come one by one, as bytes

    def __init__(self, provider: Any, ask: Any) -> None:
        self._ask = provider.undelayed(ask) if hasattr(provider, "undelayed") else ask

    def read(self, experiment_id: str, run: str, tag: str, most: int) -> list[tuple[int, Any]]:
        """A step and its tensor, `most` of them, the last among them."""
        request = data_provider_pb2.ReadTensorsRequest(experiment_id=experiment_id)
        request.plugin_filter.plugin_name = PLUGIN_NAME
        request.run_tag_filter.runs.names.append(run)
        request.run_tag_filter.tags.names.append(tag)
        request.downsample.num_points = most
        answer = self._ask(request)
        data = [series.data for listed in answer.runs for series in listed.tags]
        return [(int(step), value) for part in data for step, value in zip(part.step, part.value, strict=True)]
