"""The modules of the tab as one script: it exports what they export, and evaluates each once, when it is first imported."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import keras_xai.plugin
from keras_xai.plugin.script_bundle import bundle

# Each module says when it is evaluated.
MODULES = {
    "index.js": """import { render as draw } from "./views/page.js";
import {
  Counter,
  log,
} from "./core/log.js";
log("index");
export async function render() {
  const { late } = await import("./core/late.js");
  return [draw(), late, new Counter().value];
}
""",
    "views/page.js": """import { log } from "../core/log.js";
log("page");
export const render = () => "drawn";
""",
    "core/log.js": """/** @type {import("./late.js").Words} */
const words = [];
globalThis.words = words;
export function log(word) { words.push(word); }
export class Counter { value = words.length; }
""",
    "core/late.js": """import { log } from "./log.js";
log("late");
export const late = "import { nothing }";
""",
}
RUN = """async (script) => {
    const { render, exportsOf } = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    const before = [...globalThis.words];
    const answer = await render();
    await render();
    return { before, answer, words: globalThis.words, late: exportsOf("core/late.js") }; }"""


def test_a_module_is_evaluated_once_when_it_is_imported(browser):
    """Names are imported under other names too; what only a dynamic import names waits for it."""
    page = browser.new_page()
    ran = page.evaluate(RUN, bundle(MODULES, "index.js"))
    page.close()
    assert ran["before"] == ["page", "index"]
    assert ran["answer"] == ["drawn", "import { nothing }", 3]
    assert ran["words"] == ["page", "index", "late"]
    assert ran["late"] == {"late": "import { nothing }"}


def test_the_modules_of_the_tab_export_what_they_did(browser):
    """Every module of the folder, as the browser's own loader and as the bundle give them."""
    folder = Path(keras_xai.plugin.__file__).parent / "static"
    modules = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*.js")}
    names = sorted(modules.keys() - {"index.js"})  # which asks the server for its first answers
    page = browser.new_page()
    page.route(
        "http://tab.test/**",
        lambda route: route.fulfill(
            body=modules.get(route.request.url.removeprefix("http://tab.test/"), "<!doctype html>"),
            content_type="text/javascript" if route.request.url.endswith(".js") else "text/html",
        ),
    )
    page.goto("http://tab.test/")
    program = """async ([names, script]) => {
        const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
        const { exportsOf } = await import(url);
        const kinds = (module) => Object.fromEntries(Object.keys(module).sort().map((name) => [name, typeof module[name]]));
        const pairs = names.map(async (name) => [kinds(await import(`/${name}`)), kinds(exportsOf(name))]);
        return Promise.all(pairs); }"""
    entry = "core/state.js"  # any module is one
    pairs = page.evaluate(program, [names, bundle(modules, entry)])
    page.close()
    assert len(pairs) > 50
    for name, (own, bundled) in zip(names, pairs, strict=True):
        assert own, name
        assert bundled == own, name


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('import * as all from "./b.js";\n', "a.js: `import * as all"),
        ('import b from "./b.js";\n', "a.js: `import b from"),
        ("export default 3;\n", "a.js: `export default 3"),
        ("export let x = 3;\n", "a.js: `export let x"),
        ('export { b } from "./b.js";\n', "a.js: `export { b }"),
        ("const name = await import(path);\n", "a.js: `await import(path"),
        ('import { c } from "./c.js";\n', "a.js imports c.js, which is not there"),
        ('import { b } from "./b.js";\n', "modules import each other: "),
    ],
)
def test_another_form_is_refused(source, words):
    """The module and what stands there are named."""
    other = f"import {{ a }} from {json.dumps('./a.js')};\nexport const b = 1;\n"
    with pytest.raises(ValueError, match=re.escape(words)):
        bundle({"a.js": source + "export const a = 1;\n", "b.js": other}, "a.js")
