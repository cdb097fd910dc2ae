"""One script of the modules of the tab: each request takes milliseconds of the server's, and a page would make sixty."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

# The forms that the modules are written in; `bundle` refuses any other.
IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";$', re.MULTILINE)
IMPORT_WHEN_NEEDED = re.compile(r'\bawait import\("([^"]+)"\)')
EXPORT = re.compile(r"^export (?=(?:async function|function|class|const) (\w+))", re.MULTILINE)
UNREAD = re.compile(r"^(?:import|export)\b.*|\bawait import\(.*", re.MULTILINE)

START = """\
const evaluated = {};

/** Returns what a module exports; the first call evaluates it. */
export function exportsOf(name) {
  return (evaluated[name] ??= modules[name]());
}

const modules = {
"""


def bundle(modules: Mapping[str, str], entry: str) -> str:
    """Join ES modules into one, which exports what `entry` exports, and `exportsOf`, which returns the exports of any of them.

    A module becomes a function that is called when it is first imported, so that a module behind a dynamic import is not
    evaluated before. The text is otherwise what it was. For modules that import names and export declarations; raises
    `ValueError` for another form, for an import of a module that is not there, and for modules that import each other.

    Args:
        modules: "core/dom.js" → its source.
        entry: the name of the module that the page imports.
    """
    imported = {name: _imports(name, source) for name, source in modules.items()}
    _refuse_what_cannot_be_ordered(imported)
    functions = "\n".join(f'"{name}"() {{\n{_function_body(name, source)}\n}},\n' for name, source in modules.items())
    exported = ", ".join(EXPORT.findall(modules[entry]))
    return f'{START}{functions}}};\n\nexport const {{ {exported} }} = exportsOf("{entry}");\n'


def _function_body(name: str, source: str) -> str:
    """Return the module as the body of a function that returns its exports."""

    def constants(match: re.Match[str]) -> str:
        return f"const {{{match[1].replace(' as ', ': ')}}} = {_call(name, match[2])};"

    body = IMPORT.sub(constants, source)
    body = IMPORT_WHEN_NEEDED.sub(lambda match: _call(name, match[1]), body)
    body = EXPORT.sub("", body)
    if unread := UNREAD.search(body):
        raise ValueError(f"{name}: `{unread[0]}` is no import of names, and no export of a declaration")
    return f"{body}return {{ {', '.join(EXPORT.findall(source))} }};"


def _call(name: str, path: str) -> str:
    return f'exportsOf("{_absolute(name, path)}")'


def _absolute(name: str, path: str) -> str:
    """Return the name of what a module imports: "./dom.js" in "core/chart.js" is "core/dom.js"."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), path))


def _imports(name: str, source: str) -> list[str]:
    return [_absolute(name, path) for _, path in IMPORT.findall(source)]


def _refuse_what_cannot_be_ordered(imported: Mapping[str, list[str]]) -> None:
    """Raise where a module imports one that is not there, or would need its own exports before it is evaluated."""
    for name, others in imported.items():
        if missing := sorted(set(others) - imported.keys()):
            raise ValueError(f"{name} imports {missing[0]}, which is not there")
    try:
        TopologicalSorter(imported).prepare()
    except CycleError as error:
        raise ValueError(f"modules import each other: {' → '.join(error.args[1])}") from error
