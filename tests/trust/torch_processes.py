"""One of several processes of `torch.distributed` over gloo: a training that is watched is refused, and trains without us.

Run as `KERAS_BACKEND=torch python -m tests.trust.torch_processes STORE RANK SIZE LOG_DIR`; prints what came of it.
"""

from __future__ import annotations

import sys

import keras
import torch

import keras_xai as kx
from tests.callbacks.small_training import small_data, small_model


class Steps(keras.callbacks.Callback):
    """Counts the steps."""

    count = 0

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1


def main() -> None:
    """Train as a watched process, then alone."""
    store, rank, size, log_dir = sys.argv[1:]
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=int(size))
    x, y = small_data()
    model, steps = small_model(), Steps()
    ours = kx.Explain(
        log_dir, (x, y), method="saliency", mappings=False, on_flag=lambda r: None, on_drift=lambda a: None
    )
    try:
        model.fit(x, y, batch_size=32, epochs=2, verbose=0, callbacks=[steps, ours])
    except kx.InvalidInput as refusal:
        print(f"refused after {steps.count} steps: {refusal}")
        model.fit(x, y, batch_size=32, epochs=1, verbose=0, callbacks=[steps])
    print(f"trained {steps.count} steps")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
