"""Tensors as protocol buffers, as they are in the event files, before TensorBoard converts them to arrays.

TensorBoard's data provider repeats a single number to fill any shape, so that sixty bytes can become gigabytes; and it returns
nothing of a series in which one tensor is damaged. So the protocol buffers are read from where it keeps them; if a later
version keeps none, the provider is used.
"""

from __future__ import annotations

from typing import Any

from tensorboard.data.proto import data_provider_pb2

from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.provider import Protos


def protos(context: Any, provider: Any) -> Protos | None:
    """Return the reader of TensorBoard's Python loader, or of its data server; None where there is neither."""
    if getattr(context, "multiplexer", None) is not None:
        return OfMultiplexer(context.multiplexer)
    stub = getattr(provider, "_stub", None)
    return None if stub is None else OfServer(provider, stub.ReadTensors)


class OfMultiplexer:
    """Reads from the Python loader, which holds every event in memory."""

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
    """Reads from the data server, by the requests that TensorBoard's own provider makes."""

    blobs_too = False  # the provider returns blobs as bytes, which need no conversion

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
        steps: list[tuple[int, Any]] = []
        for series in (series for listed in answer.runs for series in listed.tags):
            steps += zip(map(int, series.data.step), series.data.value, strict=True)
        return steps
