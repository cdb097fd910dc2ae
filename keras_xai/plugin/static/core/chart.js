/**
 * Plotly charts that outlive a drawing of their view. A view names a chart and says where it stands; it is drawn again only
 * when the figure, the size or the theme changed. The epoch of the slider is a thin layer above, moved for free.
 */
import { runColour, themeName, token } from "./colour.js";
import { clamp, h, key, position, s } from "./dom.js";
import { runKeys } from "../marks/run_keys.js";
import { heightAt } from "./line_height.js";
import { set } from "./state.js";
import { BEFORE } from "./updates.js";
import { Zoom } from "./zoom.js";

const CONFIG = { displayModeBar: false, doubleClick: false, showTips: false, scrollZoom: false };
const CHARTS_KEPT = 24;
const HEIGHT_UNTIL_KNOWN = 160;

/**
 * @typedef {object} ChartOptions
 * @property {number} height
 * @property {Query} [parameters] of the figure
 * @property {string} label for those who listen
 * @property {string} [id] where two charts are of one figure
 * @property {boolean} [overlays] whether the picked runs are laid over it
 * @property {(row: any) => Partial<import("./state.js").State>} [onrow] what a click on a row of a heat map changes
 * @property {any} [chosen] the row that is marked
 * @property {boolean} [still] there are no epochs to click on
 */

/**
 * A chart that stands or stood.
 * @typedef {object} Entry
 * @property {HTMLElement} node
 * @property {HTMLElement} canvas where plotly draws
 * @property {SVGElement} layer above it
 * @property {HTMLElement} words until the figure is there
 * @property {Figure | undefined} next
 * @property {Figure} [drawn]
 * @property {number} [drawnWidth]
 * @property {number} [drawnHeight]
 * @property {number} height
 * @property {number | null} epoch
 * @property {number[]} epochs
 * @property {ChartOptions["onrow"]} onrow
 * @property {any} chosen
 * @property {boolean} still
 * @property {Query} parameters of its figure
 * @property {Zoom} zoom
 */

/**
 * A chart as it stands in a panel, for those who take it out.
 * @typedef {object} PlacedChart
 * @property {Query & {name: string}} parameters that the server was asked for its figure with
 * @property {Figure} figure
 * @property {HTMLElement} canvas
 * @property {object[]} marks of the epoch, as shapes of plotly's
 */

/**
 * What is read of plotly's own description of a drawn axis: it has no public one.
 * @typedef {{_offset: number, _length: number, d2p(v: number): number, p2d(px: number): number, l2p(v: number): number,
 *   p2l(px: number): number}} PlotlyAxis
 */

/**
 * The axes of a drawn chart, in pixels; null where it has none.
 * @param {Entry} entry
 * @returns {{x: PlotlyAxis, y: PlotlyAxis} | null}
 */
function axesOf(entry) {
  const layout = /** @type {any} */ (entry.canvas)._fullLayout;
  return layout?.xaxis && layout?.yaxis ? { x: layout.xaxis, y: layout.yaxis } : null;
}

/**
 * The traces of a drawn chart, with plotly's defaults filled in.
 * @param {Entry} entry
 * @returns {any[]}
 */
const tracesOf = (entry) => /** @type {any} */ (entry.canvas)._fullData;

export class Charts {
  #server;
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  /** @type {Set<string>} charts of the drawing that is under way */
  #placed = new Set();
  /** @type {Promise<PlotlyLibrary> | null} */
  #plotly = null;

  /** @param {import("./api.js").Server} server */
  constructor(server) {
    this.#server = server;
  }

  /**
   * A chart's element. It is filled by `draw` after the view stands.
   * @param {Context} context
   * @param {string} name one of the server's panels
   * @param {ChartOptions} options
   */
  place(context, name, options) {
    const parameters = { ...figureParameters(context, options.overlays ?? true), name, ...options.parameters };
    const figure = this.#server.read("figure", parameters, context.figureStamp);
    const id = options.id ?? name;
    const entry = this.#entries.get(id) ?? this.#create(id);
    const still = Boolean(options.still);
    entry.node.style.height = `${options.height}px`;
    entry.node.classList.toggle("still", still);
    entry.node.setAttribute("aria-label", options.label);
    entry.words.textContent = figure ? "" : (this.#server.refusal("figure", parameters) ?? "…");
    entry.next = figure;
    entry.height = options.height;
    entry.epoch = context.epoch;
    entry.epochs = context.run?.epochs ?? [];
    entry.onrow = options.onrow;
    entry.chosen = options.chosen;
    entry.still = still;
    entry.parameters = parameters;
    entry.zoom.of(subjectOf(parameters));
    this.#placed.add(id);
    return entry.node;
  }

  /**
   * The figure behind a chart, for its legend and height; undefined while it is on its way.
   * @param {Context} context
   * @param {string} name
   * @param {Query} parameters
   * @param {boolean} overlays
   */
  figure(context, name, parameters, overlays) {
    const all = { ...figureParameters(context, overlays), name, ...parameters };
    return this.#server.read("figure", all, context.figureStamp);
  }

  /**
   * The charts that stand in an element.
   * @param {Element} element
   * @returns {PlacedChart[]}
   */
  within(element) {
    const entries = [...this.#entries.values()].filter(
      ({ node, drawn }) => drawn?.data.length && element.contains(node),
    );
    return entries.map((entry) => ({
      parameters: /** @type {Query & {name: string}} */ (entry.parameters),
      figure: /** @type {Figure} */ (entry.drawn),
      canvas: entry.canvas,
      marks: epochShapes(entry),
    }));
  }

  /** Draws what was placed since the last call, and lets go of what was not. */
  async draw() {
    const placed = this.#placed;
    this.#placed = new Set();
    if (!placed.size) return;
    this.#forgetOthers(placed);
    const entries = [...placed].flatMap((id) => this.#entries.get(id) ?? []);
    for (const entry of entries) follow(entry); // what is drawn already moves at once
    let library;
    try {
      library = await this.#loadPlotly();
    } catch (error) {
      for (const entry of entries) entry.words.textContent = `No chart: ${/** @type {Error} */ (error).message}.`;
      return;
    }
    for (const entry of entries) await drawEntry(library, entry);
  }

  /** @param {string} id */
  #create(id) {
    const layer = s("svg", { class: "layer", "aria-hidden": "true" });
    const canvas = h("div", { class: "canvas" });
    const words = h("p", { class: "note waiting" });
    const node = h("div", { class: "chart", role: "img" }, words, canvas, layer);
    /** @type {Entry} */
    const entry = {
      node,
      canvas,
      layer,
      words,
      next: undefined,
      height: HEIGHT_UNTIL_KNOWN,
      epoch: null,
      epochs: [],
      onrow: undefined,
      chosen: undefined,
      still: false,
      parameters: {},
      zoom: new Zoom(node, () => zoomed(entry)),
    };
    node.addEventListener("click", (event) => clicked(entry, event));
    this.#entries.set(id, entry);
    return entry;
  }

  /** @param {Set<string>} placed */
  #forgetOthers(placed) {
    for (const [id, entry] of this.#entries) {
      if (placed.has(id) || this.#entries.size <= CHARTS_KEPT) continue;
      if (entry.drawn) window.Plotly?.purge(entry.canvas);
      this.#entries.delete(id);
    }
  }

  /**
   * Loads plotly once; the shell and the gallery stand before it is read, which holds the page up for a while. First the
   * part of it that our charts need, and the whole where a plotly of another making could not be cut.
   */
  #loadPlotly() {
    this.#plotly ??= afterFirstPaint()
      .then(() => loadScript("./plotly.partial.min.js"))
      .catch(() => loadScript("./plotly.min.js"))
      .catch(() => {
        throw new Error("plotly could not be loaded; is the Python package plotly installed where TensorBoard runs?");
      });
    return this.#plotly;
  }
}

/**
 * `Charts.place` of the context's charts.
 * @param {Context} context
 * @param {string} name
 * @param {ChartOptions} options
 */
export const chart = (context, name, options) => context.charts.place(context, name, options);

/**
 * `Charts.figure` of the context's charts.
 * @param {Context} context
 * @param {string} name
 * @param {Query} [parameters]
 * @param {boolean} [overlays]
 */
export const figureBehind = (context, name, parameters = {}, overlays = true) =>
  context.charts.figure(context, name, parameters, overlays);

/**
 * What every figure is asked with: the run, its colour, the runs laid over it, the theme.
 * @param {Context} context
 * @param {boolean} overlays
 */
function figureParameters(context, overlays) {
  const others = overlays ? context.picked.filter((name) => name !== context.name) : [];
  return {
    run: context.name,
    theme: themeName(),
    colour: context.place(context.name),
    overlay: others,
    overlay_colour: others.map((name) => context.place(name)),
  };
}

const DASHES = { live: "solid", clean: "dotted", data: "dashed" };

/**
 * Which line of the drift score is which: the sources of a run that stands alone, or the runs and what is not solid.
 * @param {RunContext} context
 * @param {boolean} [both] names the sources first
 */
export function scoreKeys(context, both = false) {
  const sources = /** @type {Source[]} */ (Object.keys(context.run.sources));
  const colour = runColour(context.place(context.name));
  const namesSources = sources.length > 1 && (both || context.picked.length === 1);
  const runs = context.picked.filter((name) => !namesSources || name !== context.name);
  const sourceKeys = sources.map((source) => key(context.vocabulary.sources[source], colour, DASHES[source]));
  const broken = namesSources ? [] : sources.filter((source) => sources.length > 1 && DASHES[source] !== "solid");
  return [
    ...(namesSources ? sourceKeys : []),
    ...runKeys(context, runs, namesSources ? 1 : 2),
    ...broken.map((source) => key(context.vocabulary.sources[source], colour, DASHES[source])),
  ];
}

/** After the next frame, when nothing else is to be done; not every browser tells when that is. */
const whenIdle = window.requestIdleCallback ?? ((/** @type {() => void} */ done) => setTimeout(done, 50));
const afterFirstPaint = () =>
  new Promise((done) =>
    requestAnimationFrame(() => requestAnimationFrame(() => whenIdle(() => done(undefined), { timeout: 100 }))),
  );

/**
 * @param {string} address
 * @returns {Promise<PlotlyLibrary>}
 */
const loadScript = (address) =>
  new Promise((done, failed) => {
    const node = h("script", { src: address, async: true });
    node.onload = () => (window.Plotly?.react ? done(window.Plotly) : failed());
    node.onerror = failed;
    document.head.append(node);
  });

/**
 * @param {PlotlyLibrary} library
 * @param {Entry} entry
 */
async function drawEntry(library, entry) {
  const { next, node, height } = entry;
  if (!next || !node.isConnected) return;
  const width = node.clientWidth;
  if (width < 40 || (entry.drawn === next && entry.drawnWidth === width && entry.drawnHeight === height)) return;
  await library.react(entry.canvas, next.data, { ...entry.zoom.applied(next.layout), width, height }, CONFIG);
  entry.drawn = next;
  entry.drawnWidth = width;
  entry.drawnHeight = height;
  follow(entry);
}

/**
 * What a chart shows but for the epoch and the theme: while that stays, so does what was zoomed into.
 * @param {Query} parameters
 */
function subjectOf({ epoch, theme, colour, overlay, overlay_colour, ...subject }) {
  return JSON.stringify(subject);
}

/**
 * Draws again what was zoomed into, or out of.
 * @param {Entry} entry
 */
function zoomed(entry) {
  entry.drawn = undefined;
  if (window.Plotly) drawEntry(window.Plotly, entry);
}

/**
 * The epoch of the slider as shapes of plotly's.
 * @param {Entry} entry
 */
function epochShapes({ drawn, epoch, still }) {
  const { meta } = drawn?.layout ?? {};
  if (still || epoch === null || epoch === BEFORE || meta?.by === "row" || meta?.cells) return [];
  const line = { color: token("accent"), width: 1.25 };
  return [{ type: "line", x0: epoch, x1: epoch, yref: "paper", y0: 0, y1: 1, line }];
}

/**
 * Marks the epoch of the slider over a chart: a line with its points, or a frame around a column of cells.
 * @param {Entry} entry
 */
function follow(entry) {
  const axes = entry.drawn ? axesOf(entry) : null;
  if (!axes || !entry.drawn) return;
  const { meta } = entry.drawn.layout;
  entry.layer.replaceChildren();
  if (
    entry.still ||
    meta?.by === "row" ||
    entry.epoch === null ||
    entry.epoch === BEFORE ||
    axes.x._length === undefined
  )
    return;
  const marks = meta?.cells ? columnMarks(entry, axes, entry.epoch) : lineMarks(entry, axes, entry.epoch);
  entry.layer.append(...marks);
}

/**
 * A frame around the column of an epoch, and the chosen row.
 * @param {Entry} entry
 * @param {{x: PlotlyAxis, y: PlotlyAxis}} axes
 * @param {number} epoch
 */
function columnMarks(entry, { x, y }, epoch) {
  const columns = tracesOf(entry)[0]?.x;
  if (!columns?.length) return [];
  const [low, high] = cellAt(columns, position(columns, epoch));
  const left = clamp(x.d2p(low), 0, x._length);
  const right = clamp(x.d2p(high), 0, x._length);
  if (left === right) return []; // it lies outside of what is zoomed into
  const box = {
    x: x._offset + left - 1,
    y: y._offset - 1.5,
    width: Math.max(3, right - left + 1),
    height: y._length + 3,
    rx: 1.5,
    fill: "none",
  };
  // On cells as strong as the frame it is seen by its edge alone.
  const edge = s("rect", { ...box, stroke: token("page"), "stroke-width": 4 });
  const frame = s("rect", { ...box, stroke: token("text"), "stroke-width": 1.5 });
  const row = entry.drawn?.layout.meta?.rows?.indexOf(entry.chosen) ?? -1;
  if (row < 0) return [edge, frame];
  const height = Math.abs(y.l2p(1) - y.l2p(0));
  const chosen = s("rect", {
    x: 0,
    y: y._offset + y.l2p(row) - height / 2,
    width: x._offset - 3,
    height: height - 1,
    rx: 3,
    fill: token("accent"),
    opacity: 0.16,
  });
  return [edge, frame, chosen];
}

/**
 * The ends of a column of cells: half way to its neighbours, and as far beyond the first and the last one.
 * @param {number[]} columns
 * @param {number} at
 * @returns {[number, number]}
 */
function cellAt(columns, at) {
  const column = columns[at];
  const left = (column - columns[at - 1]) / 2;
  const right = (columns[at + 1] - column) / 2;
  const half = [left, right].find(Number.isFinite) ?? 0.5;
  return [column - (Number.isFinite(left) ? left : half), column + (Number.isFinite(right) ? right : half)];
}

/**
 * A line at an epoch, and a dot on each curve.
 * @param {Entry} entry
 * @param {{x: PlotlyAxis, y: PlotlyAxis}} axes
 * @param {number} epoch
 */
function lineMarks(entry, { x, y }, epoch) {
  const inside = x.d2p(epoch);
  if (!(inside >= -1 && inside <= x._length + 1)) return []; // it lies outside of what is zoomed into
  const px = x._offset + inside;
  const top = y._offset;
  /** @type {SVGElement[]} */
  const marks = [
    s("line", { x1: px, x2: px, y1: top - 6, y2: top + y._length, stroke: token("accent"), "stroke-width": 1.25 }),
  ];
  for (const trace of tracesOf(entry)) {
    if (!trace.meta?.follows || trace.yaxis === "y2") continue;
    const py = heightAt(trace, epoch, (value) => y.d2p(value));
    if (py === null || py < -2 || py > y._length + 2) continue;
    marks.push(
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
  return marks;
}

/**
 * A click sets the epoch under it; in a heat map also what the view makes of the row.
 * @param {Entry} entry
 * @param {MouseEvent} event
 */
function clicked(entry, event) {
  if (event.shiftKey || entry.zoom.isButton(event.target)) return;
  const axes = entry.drawn && !entry.still ? axesOf(entry) : null;
  if (!axes || !entry.drawn) return;
  const box = entry.canvas.getBoundingClientRect();
  const inside = event.clientX - box.left - axes.x._offset;
  const row = Math.round(axes.y.p2l(event.clientY - box.top - axes.y._offset)); // rows may be categories
  const { meta } = entry.drawn.layout;
  /** @type {Partial<import("./state.js").State>} */
  const change = {};
  if (meta?.by === "row") {
    const epoch = meta.rows?.[clamp(row, 0, meta.rows.length - 1)];
    if (epoch !== undefined) change.epoch = epoch;
  } else if (inside >= 0 && inside <= axes.x._length && entry.epochs.length) {
    change.epoch = nearest(entry.epochs, axes.x.p2d(inside));
  }
  if (entry.onrow && meta?.rows?.[row] !== undefined) Object.assign(change, entry.onrow(meta.rows[row]));
  set(change);
}

/**
 * The recorded epoch next to a place on the axis.
 * @param {number[]} epochs
 * @param {number} value
 */
export function nearest(epochs, value) {
  let best = epochs[0];
  for (const epoch of epochs) if (Math.abs(epoch - value) < Math.abs(best - value)) best = epoch;
  return best;
}
