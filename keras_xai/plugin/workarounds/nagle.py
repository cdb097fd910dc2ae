"""Workaround: answers of TensorBoard's data server arrive after 44 ms, whatever they bring.

Upstream: the fast loader's server (`tensorboard/data/server/cli.rs`) accepts its connections through tonic's
`serve_with_incoming`, which leaves TCP_NODELAY unset. It writes an answer in two parts: its system holds the second one
back until the first is acknowledged (Nagle's algorithm, RFC 896), and the system of the client acknowledges after 40 ms,
or with whatever it sends next (delayed acknowledgements, RFC 1122, 4.2.3.2).

Here: while an answer is awaited, the question that costs the server least is asked every millisecond by one of two
threads, and its packets carry the acknowledgement. While nothing is awaited the threads sleep and nothing is sent.

Measured: 2 ms a call instead of 44, on Linux over loopback (docs/viewer.md).

Delete this file when the server sets TCP_NODELAY on the connections that it accepts, in the oldest TensorBoard that
setup.cfg allows: then `python -m benchmarks.viewer` measures the same with and without it.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from tensorboard.context import RequestContext

PERIOD_SECONDS = 0.001  # between two of the small questions
THREADS = 2  # while the answer to one small question is held back, the next one lets it through
PAUSE_AFTER_ERROR_SECONDS = 1


def without_delay(provider: Any) -> Any:
    """Wrap the provider of TensorBoard's fast loader; return any other provider as it is."""
    grpc = sys.modules.get("tensorboard.data.grpc_provider")  # a provider of this class was made by this module
    if grpc is None or not isinstance(provider, grpc.GrpcDataProvider):
        return provider
    return UndelayedProvider(provider)


class UndelayedProvider:
    """A data provider over a connection on which something small is sent while an answer is awaited."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._awaited = 0  # answers
        self._change = threading.Condition()
        for number in range(THREADS):
            threading.Thread(target=self._nudge, name=f"keras_xai nudge {number}", daemon=True).start()

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._provider, name)
        return self.undelayed(member) if callable(member) else member

    def undelayed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Make a call to the server one during which something small is sent."""
        return functools.partial(self._call, call)

    def _call(self, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        with self._change:
            self._awaited += 1
            self._change.notify_all()
        try:
            return call(*args, **options)
        finally:
            with self._change:
                self._awaited -= 1

    def _nudge(self) -> None:
        context = RequestContext()
        while True:
            with self._change:
                self._change.wait_for(lambda: self._awaited)
            time.sleep(PERIOD_SECONDS)
            if not self._awaited:
                continue
            try:
                self._provider.experiment_metadata(context, experiment_id="")
            except Exception:  # the caller that awaits an answer is told what is wrong with the server
                time.sleep(PAUSE_AFTER_ERROR_SECONDS)
