/**
 * What TensorBoard imports. It asks for everything at once: the other modules, the stylesheet, and the server's first words,
 * which would else be asked for one after the other.
 */
import { answerOf } from "./api.js";
import { lastFocus } from "./state.js";

/** Every module behind this one: those that only others name would be found late. */
export const MODULES = [
  "chart",
  "colour",
  "compare",
  "controls",
  "dom",
  "epoch_slider",
  "gallery",
  "image",
  "importance_drift",
  "mappings",
  "marks",
  "overview",
  "probe_attributions",
  "runs",
  "shell",
  "tiles",
  "weight_gradients",
];

const beside = (name) => new URL(name, import.meta.url).href;

function link(attributes) {
  const node = Object.assign(document.createElement("link"), attributes);
  document.head.append(node);
  return new Promise((done) => Object.assign(node, { onload: done, onerror: done }));
}

// The server's words first, with those on the run that was looked at last: they are what the page waits for longest. The
// page never shows without its stylesheet.
const opening = new URLSearchParams(lastFocus().map((name) => ["focus", name]));
const asked = {
  index: answerOf(`./index?${opening}`),
  theme: answerOf("./theme"),
  style: link({ rel: "stylesheet", href: beside("./style.css") }),
};
for (const answer of Object.values(asked)) answer.catch(() => {}); // a fault is said where the answer is awaited
for (const name of MODULES) link({ rel: "modulepreload", href: beside(`./${name}.js`) });

/** Called by TensorBoard once the frame stands. */
export async function render() {
  const { start } = await import("./shell.js");
  await start({
    ...asked,
    plotly: () =>
      link({ rel: "preload", as: "script", href: new URL("./plotly.partial.min.js", document.baseURI).href }),
  });
}
