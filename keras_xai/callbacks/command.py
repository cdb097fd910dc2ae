"""The command that started this process, as it may be written down: no environment, no path to the program, no secrets."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

from keras_xai.printed import printable

SWITCH = "KERAS_XAI_COMMAND"  # environment variable: "0" leaves the command out of the record
HIDDEN = "***"
MAX_ARGUMENTS, MAX_LETTERS = 64, 300

_SECRET_NAME = re.compile(
    r"token|secret|passw|pwd|passphrase|api[-_]?key|access[-_]?key|credential|auth", re.IGNORECASE
)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")  # of a URL
_SECRET_FORMS = re.compile(r"\b(hf_|gh[pousr]_|github_pat_|glpat-|sk-|xox[abprs]-|AKIA|AIza)[\w-]{10,}")


def recorded_command() -> tuple[str, ...]:
    """Return the program and its arguments; () where the environment variable `KERAS_XAI_COMMAND` is "0".

    Of a module that is run with `python -m` the program is "-m" and its name, in a notebook it is "notebook" alone.
    """
    if os.environ.get(SWITCH) == "0" or not sys.argv:
        return ()
    program = os.path.basename(sys.argv[0])
    if program == "ipykernel_launcher.py" or "colab_kernel_launcher" in program:
        return ("notebook",)
    module = getattr(getattr(sys.modules.get("__main__"), "__spec__", None), "name", None)
    head = ("-m", module.removesuffix(".__main__")) if module else (program or "interactive",)
    texts = (*head, *without_secrets(sys.argv[1 : MAX_ARGUMENTS + 1]))
    return tuple(printable(text[:MAX_LETTERS]) for text in texts)


def without_secrets(arguments: Sequence[str]) -> list[str]:
    """Return arguments in which what looks like a secret is "***": by the name of its option, or by its own form.

    Example:
        >>> without_secrets(["--epochs", "3", "--api-key", "abc", "db.password=xyz", "https://me:pw@host/data"])
        ['--epochs', '3', '--api-key', '***', 'db.password=***', 'https://***@host/data']
    """
    texts, follows_secret_name = [], False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        is_secret = bool(_SECRET_NAME.search(name)) and "://" not in name
        is_option = argument.startswith("-")
        if follows_secret_name and not is_option:
            texts.append(HIDDEN)
        elif is_secret and equals:
            texts.append(f"{name}={HIDDEN}")
        else:
            texts.append(_SECRET_FORMS.sub(HIDDEN, _CREDENTIALS.sub(HIDDEN, argument)))
        follows_secret_name = is_secret and is_option and not equals
    return texts
