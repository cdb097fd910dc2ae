"""The entry point of the plugin, which TensorBoard imports at every start: it must import little, and not fail."""

from __future__ import annotations

from typing import Any

from tensorboard.plugins import base_plugin

from keras_xai.summary.plugin_name import PLUGIN_NAME


class Loader(base_plugin.TBLoader):
    """Loads the plugin when TensorBoard asks for it; TensorBoard logs an error there, and only this tab is missing."""

    def fix_flags(self, flags: Any) -> None:
        """Keep every epoch: TensorBoard's reservoir would drop the first ones of a custom plugin.

        A limit that the user gave with `--samples_per_plugin` stands. A remote log directory is read without TensorFlow where
        that cannot read it.
        """
        if "://" in str(getattr(flags, "logdir", "")):
            from keras_xai.plugin.workarounds.remote_logdir import read_without_tensorflow

            read_without_tensorflow(flags)
        samples = dict(flags.samples_per_plugin or {})
        samples.setdefault(PLUGIN_NAME, 0)
        flags.samples_per_plugin = samples

    def load(self, context: Any) -> base_plugin.TBPlugin:
        from keras_xai.plugin.plugin import Plugin

        return Plugin(context)
