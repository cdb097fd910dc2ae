"""One self-contained page of everything below a log directory: it opens from disk, offline, and can be mailed.

The function is `kx.report`; a module `keras_xai.report` would shadow it as soon as somebody imported it.
"""

from keras_xai.page.writing import report

__all__ = ["report"]
