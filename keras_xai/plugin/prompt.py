"""The data server's answers when they are there, and not when the network's timers let them through."""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from tensorboard.context import RequestContext

PERIOD = 0.001  # seconds
NUDGERS = 2  # while the answer to one nudge waits, the next one lets it through


def prompt(provider: Any) -> Any:
    """The same data provider; that of TensorBoard's fast loader answers in 2 ms instead of 44."""
    grpc = sys.modules.get("tensorboard.data.grpc_provider")  # whose provider it is has imported it
    return Prompt(provider) if grpc is not None and isinstance(provider, grpc.GrpcDataProvider) else provider


class Prompt:
    """A data provider that is asked over a connection, with something small sent after every question.

    The data server writes an answer in two parts. Its system holds the second one back until the first is acknowledged
    (Nagle's algorithm, RFC 896), and ours acknowledges after 40 ms, or with whatever it sends next (RFC 1122, 4.2.3.2).
    So while an answer is awaited, the question that is answered in the least time is asked every millisecond.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._awaited = 0
        self._change = threading.Condition()
        for number in range(NUDGERS):
            threading.Thread(target=self._nudge, name=f"keras_xai nudge {number}", daemon=True).start()

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._provider, name)
        return self.asking(asked) if callable(asked) else asked

    def asking(self, ask: Callable[..., Any]) -> Callable[..., Any]:
        """A question to the server, with something sent after it."""
        return functools.partial(self._asked, ask)

    def _asked(self, ask: Callable[..., Any], *args: Any, **options: Any) -> Any:
        with self._change:
            self._awaited += 1
            self._change.notify_all()
        try:
            return ask(*args, **options)
        finally:
            with self._change:
                self._awaited -= 1

    def _nudge(self) -> None:
        context = RequestContext()
        while True:
            with self._change:
                self._change.wait_for(lambda: self._awaited)
            time.sleep(PERIOD)
            if self._awaited:
                try:
                    self._provider.experiment_metadata(context, experiment_id="")
                except Exception:  # whoever awaits an answer is told what is wrong with the server
                    time.sleep(1)
