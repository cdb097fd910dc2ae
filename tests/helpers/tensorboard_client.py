"""TensorBoard's application without a socket, with this plugin and the core's."""

from __future__ import annotations

import warnings
from pathlib import Path

from werkzeug.test import Client

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "html5lib's sanitizer")  # TensorBoard's own copy of bleach
    from tensorboard import program
    from tensorboard.backend import application
    from tensorboard.plugins.core.core_plugin import CorePluginLoader

from keras_xai.plugin.loader import Loader
from tests.plugin.answers import LOADERS


class TensorBoardClient(Client):
    """A client of TensorBoard over a directory, by either of its data loaders.

    The Python loader has read the directory when this is made, and does not look again; the other one looks every second.
    """

    def __init__(self, directory: Path, loader: str = "python") -> None:
        board = program.TensorBoard(plugins=[CorePluginLoader(), Loader()])
        fast = LOADERS[loader] == "true"
        reload = ["--reload_interval", "1"] if fast else ["--reload_interval", "0", "--reload_task", "blocking"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # TensorBoard leaves its data server to the process's end
            board.configure(argv=["", "--logdir", str(directory), "--load_fast", LOADERS[loader], *reload])
            provider, multiplexer = board._make_data_provider()
        self._board = board
        super().__init__(
            application.TensorBoardWSGIApp(
                board.flags, board.plugin_loaders, provider, board.assets_zip_provider, multiplexer
            )
        )

    def end(self) -> None:
        """End the data server, which dies with its standard input."""
        if handle := getattr(self._board._ingester, "_stdin_handle", None):
            handle.close()
