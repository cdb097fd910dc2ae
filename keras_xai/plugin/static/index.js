/**
 * What TensorBoard imports. It asks for everything at once: the other modules, the stylesheet, and the server's first answers,
 * which would else be asked for one after the other.
 */
import { address } from "./core/address.js";
import { fetchAnswer } from "./core/api.js";
import { lastFocus } from "./core/state.js";

/** Every module behind this one but those that a button asks for: what only others name would be discovered late. */
export const MODULES = [
  "core/address",
  "core/ago",
  "core/alerts",
  "core/cells",
  "core/chart",
  "core/colour",
  "core/controls",
  "core/copy_link",
  "core/csv",
  "core/documentation",
  "core/dom",
  "core/filter",
  "core/gallery",
  "core/image",
  "core/map_hint",
  "core/memo",
  "core/names",
  "core/npy",
  "core/panel_numbers",
  "core/panel_tools",
  "core/pins",
  "core/run_groups",
  "core/run_rows",
  "core/updates",
  "core/windowed",
  "core/zoom",
  "epoch_slider",
  "marks/change_tile",
  "marks/confusion",
  "marks/importance",
  "marks/input_pixels",
  "marks/prediction_tables",
  "marks/run_keys",
  "marks/sample_card",
  "marks/slopes",
  "marks/tiles",
  "marks/waterfall",
  "rail_edge",
  "rail_toggle",
  "runs",
  "shell",
  "views/alert_finder",
  "views/alert_list",
  "views/compare",
  "views/examples",
  "views/figure_panel",
  "views/importance_drift",
  "views/links",
  "views/mappings",
  "views/overview",
  "views/predictions",
  "views/probe_attributions",
  "views/reliance_gap",
  "views/runs_table",
  "views/sample_finder",
  "views/samples_panel",
  "views/view",
  "views/weight_gradients",
];

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
for (const name of MODULES) link({ rel: "modulepreload", href: beside(`./${name}.js`) });

/** Called by TensorBoard once the frame stands. */
export async function render() {
  const { start } = await import("./shell.js");
  const plotly = new URL("./plotly.partial.min.js", document.baseURI).href;
  await start({ ...requests, preloadPlotly: () => void link({ rel: "preload", as: "script", href: plotly }) });
}
