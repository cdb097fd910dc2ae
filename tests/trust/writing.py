"""A process that writes epochs into a log directory, as callbacks do, without a framework.

`python -m tests.trust.writing LOG_DIR START COUNT` begins when a line comes in, says "epoch directory" for each epoch
once it is flushed, and waits for a line between epochs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from keras_xai.callbacks.overhead import TimeSpent
from keras_xai.callbacks.run_directory import checked_directory
from keras_xai.callbacks.schedule import Schedule
from keras_xai.callbacks.session import RunSession
from tests.summary.epoch_records import epoch_of_records


class Member:
    """A member of a session, as far as a session needs it."""

    name, cost_hint = "member", ""


def main(log_dir: str, start: int, count: int) -> None:
    fit, member = {"epochs": start + count}, Member()
    session = RunSession.of(checked_directory(log_dir), fit)
    print("ready", flush=True)
    sys.stdin.readline()
    session.join(member, {}, None, Schedule(1))
    for epoch in range(start, start + count):
        session.begin_epoch(epoch, None)
        session.write(epoch_of_records(epoch)[:-1])
        session.complete_update(member, "member", TimeSpent(0.1), {"loss": 1.0}, None)
        assert session._writer is not None
        print(epoch, Path(session._writer.path).parent.name, flush=True)
        sys.stdin.readline()
    session.leave(member)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
