"""The entry module is what every start of TensorBoard pays for."""

from __future__ import annotations

import argparse
import subprocess
import sys

from keras_xai.plugin.loader import Loader

OURS = {
    "keras_xai",
    "keras_xai.plugin",
    "keras_xai.plugin.loader",
    "keras_xai.summary",
    "keras_xai.summary.plugin_name",
}


def test_the_entry_module_loads_nothing_heavy():
    """Beyond TensorBoard's own base module, importing it adds five empty or tiny modules of ours and no package of others."""
    program = (
        "import sys; import tensorboard.plugins.base_plugin; before = set(sys.modules);"
        "import keras_xai.plugin.loader; print('\\n'.join(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names} == OURS


def test_every_epoch_is_kept_unless_the_user_says_otherwise():
    """The plugin asks for all samples; a limit of the user's own wins."""
    flags = argparse.Namespace(samples_per_plugin={"images": 3})
    Loader().fix_flags(flags)
    assert flags.samples_per_plugin == {"images": 3, "keras_xai": 0}
    flags = argparse.Namespace(samples_per_plugin={"keras_xai": 5})
    Loader().fix_flags(flags)
    assert flags.samples_per_plugin == {"keras_xai": 5}
    flags = argparse.Namespace(samples_per_plugin=None)
    Loader().fix_flags(flags)
    assert flags.samples_per_plugin == {"keras_xai": 0}
