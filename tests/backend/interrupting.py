"""Interrupts at any line, and what optimizers' classes hold before and after."""

import sys

from keras_xai.backend.apply_hook import OPTIMIZERS


class Interrupting:
    """Raises KeyboardInterrupt at the n-th line that runs in some files."""

    def __init__(self, n, *modules):
        self.left, self.files = n, {module.__file__ for module in modules}
        self.struck = False

    def __enter__(self):
        self.outer = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *exception):
        sys.settrace(self.outer)

    def _trace(self, frame, event, argument):
        if frame.f_code.co_filename not in self.files:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self.struck = True
                raise KeyboardInterrupt
        return self._trace


def originals():
    return [vars(cls).get(name) for cls in OPTIMIZERS for name in ("apply", "stateless_apply")]
