/**
 * What TensorBoard imports, served as one script with the modules behind it (`script_bundle.py`). Before those are evaluated it
 * asks for the stylesheet and for the server's first answers.
 */
import { address } from "./core/address.js";
import { fetchAnswer } from "./core/api.js";
import { lastFocus } from "./core/state.js";

/** @param {string} name */
const beside = (name) => new URL(name, import.meta.url).href;

/**
 * @param {Partial<HTMLLinkElement>} attributes
 * @returns {Promise<unknown>} when it is loaded, or cannot be
 */
function link(attributes) {
  const node = Object.assign(document.createElement("link"), attributes);
  document.head.append(node);
  return new Promise((done) => Object.assign(node, { onload: done, onerror: done }));
}

// The server's answers first, with those on the run that was looked at last: they are what the page waits for longest.
const names = [address.linked?.focus ?? "", ...lastFocus()];
const focus = new URLSearchParams(names.map((name) => ["focus", name]));
const requests = {
  index: fetchAnswer(`./index?${focus}`),
  theme: fetchAnswer("./theme"),
  style: link({ rel: "stylesheet", href: beside("./styles.css") }), // the page never shows without it
};
for (const request of Object.values(requests)) request.catch(() => {}); // a fault is said where the answer is awaited

/** Called by TensorBoard once the frame stands. */
export async function render() {
  const { start } = await import("./shell.js");
  const plotly = new URL("./plotly.partial.min.js", document.baseURI).href;
  await start({ ...requests, preloadPlotly: () => void link({ rel: "preload", as: "script", href: plotly }) });
}
