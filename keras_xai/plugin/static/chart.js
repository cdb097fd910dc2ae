/**
 * Plotly charts that outlive a render. A view names a chart and says where it stands; the picture is drawn again only
 * when the figure, the width or the theme changed. The epoch of the slider is a thin layer above, moved for free.
 */
import { ask, refusal } from "./api.js";
import { themeName, token } from "./colour.js";
import { clamp, h, position, s } from "./dom.js";
import { set } from "./state.js";

const CONFIG = { displayModeBar: false, doubleClick: false, showTips: false, scrollZoom: false };
/** @type {Map<string, any>} */
const pool = new Map();
let wanted = new Set();
let plotly = null;

/**
 * Loads plotly once; the shell and the gallery stand before it is read, which holds the page up for a while. First the part
 * of it that our charts need, and the whole where a plotly of another making could not be cut.
 */
function loadPlotly() {
  plotly ??= shown()
    .then(() => script("./plotly.partial.min.js"))
    .catch(() => script("./plotly.min.js"))
    .catch(() => {
      throw new Error("plotly could not be loaded; is the Python package plotly installed where TensorBoard runs?");
    });
  return plotly;
}

/** After the next frame, when nothing else is to be done; not every browser tells when that is. */
const whenIdle = window.requestIdleCallback ?? ((done) => setTimeout(done, 50));
const shown = () =>
  new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => whenIdle(done, { timeout: 100 }))));

const script = (address) =>
  new Promise((done, failed) => {
    const node = h("script", { src: address, async: true });
    node.onload = () => (window.Plotly?.react ? done(window.Plotly) : failed());
    node.onerror = failed;
    document.head.append(node);
  });

/**
 * A chart's element. It is filled by `drawCharts` after the view stands.
 * @param {any} context of the render
 * @param {string} name one of the server's panels
 * @param {{height: number | ((figure: any) => number), parameters?: object, label: string, id?: string, overlays?: boolean,
 *   onrow?: (row: any) => object, chosen?: any, still?: boolean}} options `chosen` is the row that is marked; a `still`
 *   chart has no epochs to click on
 */
export function chart(context, name, options) {
  const { parameters = {}, id = name } = options;
  const asked = { ...figureOf(context, options.overlays ?? true), name, ...parameters };
  const figure = ask("figure", asked, context.figureStamp);
  let entry = pool.get(id);
  if (!entry) {
    const layer = s("svg", { class: "layer", "aria-hidden": "true" });
    const canvas = h("div", { class: "canvas" });
    const words = h("p", { class: "note waiting" });
    entry = { id, canvas, layer, words, node: h("div", { class: "chart", role: "img" }, words, canvas, layer) };
    entry.node.addEventListener("click", (event) => clicked(entry, event));
    pool.set(id, entry);
  }
  const height = typeof options.height === "function" ? (figure ? options.height(figure) : 160) : options.height;
  entry.node.style.height = `${height}px`;
  entry.node.classList.toggle("still", Boolean(options.still));
  entry.node.setAttribute("aria-label", options.label);
  entry.words.textContent = figure ? "" : (refusal("figure", asked) ?? "…");
  Object.assign(entry, {
    next: figure,
    height,
    epoch: context.epoch,
    epochs: context.run?.epochs ?? [],
    onrow: options.onrow,
    chosen: options.chosen,
    still: Boolean(options.still),
  });
  wanted.add(id);
  return entry.node;
}

/** What every figure is asked with: the run, its colour, the runs laid over it, the theme. */
function figureOf(context, overlays) {
  const others = overlays ? context.picked.filter((name) => name !== context.name) : [];
  return {
    run: context.name,
    theme: themeName(),
    colour: context.place(context.name),
    overlay: others,
    overlay_colour: others.map((name) => context.place(name)),
  };
}

/** The figure behind a chart, for its legend and heights; undefined while it is on its way. */
export const figureBehind = (context, name, parameters = {}, overlays = true) =>
  ask("figure", { ...figureOf(context, overlays), name, ...parameters }, context.figureStamp);

/** Draws what the last render asked for, and lets go of what it did not. */
export async function drawCharts() {
  const asked = wanted;
  wanted = new Set();
  if (!asked.size) return;
  for (const [id, entry] of pool)
    if (!asked.has(id) && pool.size > 24) {
      if (entry.drawn) window.Plotly?.purge(entry.canvas);
      pool.delete(id);
    }
  for (const id of asked) follow(pool.get(id)); // what is drawn already moves at once
  const library = await loadPlotly().catch((error) => error);
  if (library instanceof Error) {
    for (const id of asked) pool.get(id).words.textContent = `No chart: ${library.message}.`;
    return;
  }
  for (const id of asked) {
    const entry = pool.get(id);
    if (!entry?.next || !entry.node.isConnected) continue;
    const width = entry.node.clientWidth;
    if (width < 40 || (entry.drawn === entry.next && entry.width === width && entry.tall === entry.height)) continue;
    const { data, layout } = entry.next;
    await library.react(entry.canvas, data, { ...layout, width, height: entry.height }, CONFIG);
    Object.assign(entry, { drawn: entry.next, width, tall: entry.height });
    follow(entry);
  }
}

/** The axes of a drawn chart, in pixels. */
const axesOf = (entry) => {
  const layout = entry.canvas._fullLayout;
  return layout?.xaxis && layout?.yaxis ? { x: layout.xaxis, y: layout.yaxis } : null;
};

/** The epoch of the slider over a chart: a line with its points, or a frame around a column of cells. */
function follow(entry) {
  const axes = entry?.drawn ? axesOf(entry) : null;
  if (!axes) return;
  const { x, y } = axes;
  const { layout } = entry.drawn;
  entry.layer.replaceChildren();
  if (entry.still || layout.meta?.by === "row" || entry.epoch === null || x._length === undefined) return;
  const top = y._offset;
  if (layout.meta?.cells) {
    const columns = entry.canvas._fullData[0]?.x;
    if (!columns?.length) return;
    const at = columns[position(columns, entry.epoch)];
    const half = (Math.abs(x.d2p(1) - x.d2p(0)) / 2) * Math.max(1, columns.length > 1 ? columns[1] - columns[0] : 1);
    const left = clamp(x.d2p(at) - half, 0, x._length);
    const right = clamp(x.d2p(at) + half, 0, x._length);
    entry.layer.append(
      s("rect", {
        x: x._offset + left - 1,
        y: top - 1.5,
        width: Math.max(3, right - left + 1),
        height: y._length + 3,
        rx: 1.5,
        fill: "none",
        stroke: token("text"),
        "stroke-width": 1.5,
      }),
    );
    const row = layout.meta.rows?.indexOf(entry.chosen) ?? -1;
    if (row >= 0) {
      const tall = Math.abs(y.l2p(1) - y.l2p(0));
      entry.layer.append(
        s("rect", {
          x: 0,
          y: top + y.l2p(row) - tall / 2,
          width: x._offset - 3,
          height: tall - 1,
          rx: 3,
          fill: token("accent"),
          opacity: 0.16,
        }),
      );
    }
    return;
  }
  const px = x._offset + x.d2p(entry.epoch);
  if (!Number.isFinite(px)) return;
  entry.layer.append(
    s("line", { x1: px, x2: px, y1: top - 6, y2: top + y._length, stroke: token("accent"), "stroke-width": 1.25 }),
  );
  for (const trace of entry.canvas._fullData) {
    if (!trace.meta?.follows || trace.yaxis === "y2") continue;
    const index = trace.x.indexOf?.(entry.epoch) ?? -1;
    const value = index < 0 ? null : trace.y[index];
    if (value === null || value === undefined || Number.isNaN(value)) continue;
    const py = y.d2p(value);
    if (!Number.isFinite(py) || py < -2 || py > y._length + 2) continue;
    entry.layer.append(
      s("circle", {
        cx: px,
        cy: top + py,
        r: trace.line.width >= 3 ? 4.5 : 3.5,
        fill: trace.line.color,
        stroke: token("page"),
        "stroke-width": 1.5,
      }),
    );
  }
}

/** A click sets the epoch under it; in a heat map also what the view makes of the row. */
function clicked(entry, event) {
  const axes = entry.drawn && !entry.still ? axesOf(entry) : null;
  if (!axes) return;
  const box = entry.canvas.getBoundingClientRect();
  const inside = event.clientX - box.left - axes.x._offset;
  const row = Math.round(axes.y.p2l(event.clientY - box.top - axes.y._offset)); // rows may be categories
  const { meta } = entry.drawn.layout;
  const change = {};
  if (meta?.by === "row") {
    if (meta.rows?.[clamp(row, 0, meta.rows.length - 1)] !== undefined)
      change.epoch = meta.rows[clamp(row, 0, meta.rows.length - 1)];
  } else if (inside >= 0 && inside <= axes.x._length) {
    change.epoch = nearest(entry.epochs, axes.x.p2d(inside));
  }
  if (entry.onrow && meta?.rows?.[row] !== undefined) Object.assign(change, entry.onrow(meta.rows[row]));
  if (change.epoch === undefined) delete change.epoch;
  set(change);
}

/** The recorded epoch next to a place on the axis. */
export function nearest(epochs, value) {
  let best = epochs[0];
  for (const epoch of epochs) if (Math.abs(epoch - value) < Math.abs(best - value)) best = epoch;
  return best;
}
