/** Mappings: how data become features, features a decision, a decision a result. The map moves with the slider. */
import { dark, themeName, token } from "../core/colour.js";
import { group } from "../core/controls.js";
import { absent, clamp, context2d, h, hideTip, key, linear, panel, percent, position } from "../core/dom.js";
import { placesOverTime, suspectNumbers } from "../core/panel_numbers.js";
import { Memo } from "../core/memo.js";
import { set, state } from "../core/state.js";
import { moment, named } from "../core/updates.js";
import { cardButton, cardOnHover } from "../marks/sample_card.js";
import { figurePanel } from "./figure_panel.js";
import { linkToSample } from "./links.js";
import { BaseView } from "./view.js";

const TAIL = 5; // epochs behind a point
const HEIGHT = 380;
const POINTER_REACH = 9; // pixels from a point that are still meant for it
const CLASSES_NAMED = 10;

/**
 * The other panels, three or two in a row: a new panel of the server's is one entry here.
 * @type {import("./figure_panel.js").FigurePanel[]}
 */
const PANELS = [
  { name: "readability", span: "c7" },
  { name: "surrogates", span: "c5" },
  { name: "slice_readout", span: "c12" },
  { name: "concept_effects", span: "c7", ofEpoch: true },
  { name: "concept_readability", span: "c5" },
  { name: "layer_stability", span: "c4" },
  { name: "layer_dead", span: "c4" },
  { name: "layer_participation", span: "c4" },
  { name: "layer_scale", span: "c5" },
  { name: "prediction_depth", span: "c7" },
  { name: "layer_likeness", span: "c5", still: true, ofEpoch: true },
  { name: "surrogate_coefficients", span: "c7", still: true, ofEpoch: true },
  { name: "data_map", span: "c5", still: true, ofEpoch: true },
  { name: "trajectories", span: "c7", ofEpoch: true },
];

/** Of all training rows, which need no probe. @type {import("./figure_panel.js").FigurePanel} */
const ROW_SUSPECTS = { name: "row_suspects", span: "c12", still: true };

/** @typedef {"label" | "prediction" | "held_out"} Colouring */
/** @type {[Colouring, string][]} */
const COLOURINGS = [
  ["label", "True class"],
  ["prediction", "Predicted"],
  ["held_out", "Held out"],
];

export class MappingsView extends BaseView {
  #map = new SampleMap();

  /** @param {RunContext} context */
  settingsKey(context) {
    const map = drawable(context);
    return map ? [map.layers, colouringsOf(map)].join() : "";
  }

  /**
   * @param {RunContext} context
   * @param {import("../core/controls.js").SettingsRail} rail
   */
  settings(context, rail) {
    const map = drawable(context);
    if (!map) return [];
    /** @type {[string, string][]} */
    const layers = map.layers.map((name) => [name, name]);
    const groups = [group("Layer", rail.choice("layer", "Layer", layers, map.layer))];
    const colourings = colouringsOf(map);
    if (colourings.length > 1) {
      const title = "Colour of a point";
      groups.push(group(title, rail.segments("points", title, colourings, colourings[0][0])));
    }
    return groups;
  }

  /**
   * @param {HTMLElement} root
   * @param {RunContext} context
   */
  draw(root, context) {
    const { run, name, server } = context;
    const map = mapOf(context);
    if (!map) {
      root.append(h("p", { class: "note" }, server.refusal("mapping", { run: name }) ?? "Reading the map …"));
      return;
    }
    if (!map.epochs.length) {
      const code = "kx.ProbeMappings(log_dir, probe)";
      const ofRows = figurePanel(context, ROW_SUSPECTS);
      if (ofRows.length) root.append(h("div", { class: "grid" }, ofRows));
      root.append(absent(run, "ProbeMappings", "This run wrote no mappings", code));
      return;
    }
    const grid = h("div", { class: "grid" }, this.#map.panel(context, map), suspectsPanel(context, map));
    root.append(grid);
    grid.append(...figurePanel(context, ROW_SUSPECTS));
    this.#map.paint(map, context.epoch); // which needs to know its width
    for (const entry of PANELS) grid.append(...figurePanel(context, entry));
  }

  /**
   * The map alone; the panels follow when the slider rests.
   * @param {RunContext} context
   */
  step(context) {
    const map = drawable(context);
    if (!map || !this.#map.stands) return false;
    this.#map.paint(map, context.epoch);
    return true;
  }
}

/**
 * What the server says of the layer chosen, or of the one it would choose.
 * @param {RunContext} context
 */
function mapOf({ server, run, name }) {
  const chosen = server.read("mapping", { run: name, layer: state.layer }, run.stamp);
  return chosen ?? server.read("mapping", { run: name }, run.stamp);
}

/** @param {RunContext} context */
function drawable(context) {
  const map = mapOf(context);
  return map?.epochs.length ? map : null;
}

/**
 * How points can be coloured in this run.
 * @param {LayerMap} map
 */
const colouringsOf = (map) => COLOURINGS.filter(([name]) => map[name]);

/**
 * @param {LayerMap} map
 * @returns {Colouring | undefined}
 */
function colouringOf(map) {
  const names = colouringsOf(map).map(([name]) => name);
  return names.find((name) => name === state.points) ?? names[0];
}

// The map of one layer.

/**
 * The place of the epoch to show: where nothing is finite the last one before.
 * @param {LayerMap} map
 * @param {number} epoch
 */
function placeOf(map, epoch) {
  const nearest = position(map.epochs, epoch);
  const last = map.read.lastIndexOf(true, nearest);
  return last < 0 ? nearest : last;
}

/**
 * Since when nothing is finite, said below the map of the last update before.
 * @param {Run} run
 * @param {LayerMap} map
 * @param {number} epoch
 */
function notFinite(run, map, epoch) {
  const [nearest, at] = [position(map.epochs, epoch), placeOf(map, epoch)];
  if (map.read[nearest]) return null;
  const earlier = at < nearest;
  const since = map.epochs[earlier ? at + 1 : 0];
  const instead = earlier ? `: ${named(run, map.epochs[at])}, the last one before, is shown` : "";
  return h("p", { class: "note alarm" }, `The outputs are not finite since ${named(run, since)}${instead}.`);
}

/** What is seen of the plane, kept with the places of the samples. */
const frames = new Memo();

/**
 * What is seen of the plane, at every epoch alike; the farthest hundredth stands at the edge.
 * @param {Float32Array} places
 */
function frameOf(places) {
  /** @param {0 | 1} axis */
  const side = (axis) => {
    const sorted = places.filter((place, i) => i % 2 === axis && Number.isFinite(place)).sort();
    const [low, high] = [0.005, 0.995].map((share) => sorted[Math.floor(share * (sorted.length - 1))]);
    return { centre: (low + high) / 2, length: 1.1 * (high - low) || 1 };
  };
  const [x, y] = [side(0), side(1)];
  return { x: x.centre, width: x.length, y: y.centre, height: y.length };
}

/**
 * Where the points of an epoch stand on a canvas of a width.
 * @param {LayerMap} map
 * @param {number} width
 */
function projection(map, width) {
  const { data, shape } = map.places;
  const size = shape[1];
  const frame = frames.once(map.places, "frame", () => frameOf(data));
  const unit = Math.min(width / frame.width, HEIGHT / frame.height);
  return {
    size,
    /** @param {number} e @param {number} b */
    x: (e, b) => clamp(width / 2 + unit * (data[2 * (e * size + b)] - frame.x), 6, width - 6),
    /** @param {number} e @param {number} b */
    y: (e, b) => clamp(HEIGHT / 2 - unit * (data[2 * (e * size + b) + 1] - frame.y), 6, HEIGHT - 6),
  };
}

/** The map of one layer: its canvas outlives a drawing of the view, and knows what it shows. */
class SampleMap {
  #canvas = h("canvas", { class: "layer-map" });
  /** @type {{map: LayerMap, at: number, points: ReturnType<typeof projection>} | null} */
  #drawn = null;
  /** @type {RunContext | null} */
  #context = null;

  constructor() {
    cardOnHover(
      this.#canvas,
      () => this.#context,
      (event) => {
        const b = this.#nearest(event);
        return this.#drawn && b !== null ? { row: b, words: describe(this.#drawn.map, this.#drawn.at, b) } : null;
      },
    );
    this.#canvas.addEventListener("click", (event) => {
      const b = this.#nearest(event);
      const gallery = this.#drawn?.map.gallery ?? [];
      if (b !== null && gallery.includes(b)) set(linkToSample(gallery.indexOf(b)));
      hideTip();
    });
  }

  get stands() {
    return this.#canvas.isConnected;
  }

  /**
   * @param {RunContext} context
   * @param {LayerMap} map
   */
  panel(context, map) {
    this.#context = context;
    const { run, epoch } = context;
    const drawn = moment(run, map.epochs[placeOf(map, epoch)]);
    const update = run.unit === "epoch" ? "epoch" : "update";
    const size = map.places.shape[1];
    this.#canvas.setAttribute("role", "img");
    this.#canvas.setAttribute("aria-label", `Map of ${size} samples in ${map.layer} at ${drawn}`);
    const legends = h("div", { class: "legends dots" }, colourKeys(map));
    const reading =
      `Near is alike to this layer; tails come from the last five ${update}s. Every ${update} is turned towards the last one, ` +
      "so that only the training moves a point.";
    const title = `Samples in ${map.layer} (principal components)`;
    const note = h("p", { class: "note" }, reading);
    const about = { help: "layer_map", note: drawn, csv: () => placesOverTime(map, run.unit) };
    return panel("c7", title, about, notFinite(run, map, epoch), this.#canvas, legends, note);
  }

  /**
   * Points with their tails, on one scale for all epochs.
   * @param {LayerMap} map
   * @param {number} epoch
   */
  paint(map, epoch) {
    const at = placeOf(map, epoch);
    const scale = Math.min(2, devicePixelRatio || 1);
    const width = Math.max(200, this.#canvas.parentElement?.clientWidth ?? 0);
    if (this.#canvas.width !== Math.round(width * scale)) {
      Object.assign(this.#canvas, { width: Math.round(width * scale), height: HEIGHT * scale });
    }
    this.#canvas.style.height = `${HEIGHT}px`;
    const context = context2d(this.#canvas);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, HEIGHT);
    const points = projection(map, width);
    paintTails(context, map, at, points);
    paintPoints(context, map, at, points);
    this.#drawn = { map, at, points };
  }

  /**
   * The sample under the pointer; null where there is none.
   * @param {MouseEvent} event
   */
  #nearest(event) {
    if (!this.#drawn) return null;
    const { at, points } = this.#drawn;
    const box = this.#canvas.getBoundingClientRect();
    let nearest = null;
    let distance = POINTER_REACH;
    for (let b = 0; b < points.size; b++) {
      const away = Math.hypot(
        points.x(at, b) - (event.clientX - box.left),
        points.y(at, b) - (event.clientY - box.top),
      );
      if (away < distance) [nearest, distance] = [b, away];
    }
    return nearest;
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {LayerMap} map
 * @param {number} at
 * @param {ReturnType<typeof projection>} points
 */
function paintTails(context, map, at, { size, x, y }) {
  context.lineWidth = 1;
  context.strokeStyle = token("text-3");
  for (let b = 0; b < size; b++) {
    for (let e = Math.max(1, at - TAIL + 1); e <= at; e++) {
      if (!map.read[e - 1] || !map.read[e]) continue;
      context.globalAlpha = 0.5 * (1 - (at - e) / TAIL);
      context.beginPath();
      context.moveTo(x(e - 1, b), y(e - 1, b));
      context.lineTo(x(e, b), y(e, b));
      context.stroke();
    }
  }
  context.globalAlpha = 1;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {LayerMap} map
 * @param {number} at
 * @param {ReturnType<typeof projection>} points
 */
function paintPoints(context, map, at, { size, x, y }) {
  const suspects = new Set(map.suspects.map(({ row }) => row));
  const paper = dark() ? "#303030" : "#fff";
  for (let b = 0; b < size; b++) {
    context.beginPath();
    context.arc(x(at, b), y(at, b), 3.75, 0, 2 * Math.PI);
    context.fillStyle = colourOf(map, at, b);
    context.fill();
    context.strokeStyle = suspects.has(b) ? token("alarm") : paper;
    context.lineWidth = suspects.has(b) ? 1.75 : 1;
    context.stroke();
  }
}

/** @param {LayerMap} map */
function colourKeys(map) {
  const colouring = colouringOf(map);
  if (!colouring) return [];
  if (colouring === "held_out") return [key("held out", token("accent")), key("trained on", token("text-3"))];
  const colours = map.colours[themeName()];
  const keys = map.classes.slice(0, CLASSES_NAMED).map((name, k) => key(name, colours[k]));
  const others = map.classes.length - keys.length;
  return others > 0 ? [...keys, h("span", {}, `and ${others} more`)] : keys;
}

/**
 * @param {LayerMap} map
 * @param {number} at
 * @param {number} b
 */
function colourOf(map, at, b) {
  const colouring = colouringOf(map);
  if (colouring === "held_out") return token(map.held_out?.data[b] ? "accent" : "text-3");
  let index = -1;
  if (colouring === "label") index = map.label?.data[b] ?? -1;
  if (colouring === "prediction") index = predictedAt(map, at, b) ?? -1;
  return map.colours[themeName()][index] ?? token("text-3");
}

/**
 * @param {LayerMap} map
 * @param {number} at
 * @param {number} b
 */
const predictedAt = (map, at, b) => map.prediction?.data[at * map.places.shape[1] + b];

/**
 * A sample in a few lines.
 * @param {LayerMap} map
 * @param {number} at
 * @param {number} b
 */
function describe(map, at, b) {
  const lines = [`sample ${b}`];
  const predicted = predictedAt(map, at, b);
  if (map.label) lines.push(`label ${map.classes[map.label.data[b]]}`);
  if (predicted !== undefined) lines.push(predicted < 0 ? "outputs not finite" : `read as ${map.classes[predicted]}`);
  if (map.held_out?.data[b]) lines.push("held out");
  if (map.gallery.includes(b)) lines.push("click: see its attributions");
  return lines.join("\n");
}

/**
 * Samples whose label neither the model nor the other samples speak for: mislabelled, or hard. Those of the gallery lead to their attributions.
 * @param {RunContext} context
 * @param {LayerMap} map
 */
function suspectsPanel(context, map) {
  const title = "Suspicious labels";
  if (!map.suspects.length) {
    const words = map.label
      ? "No confidence could be measured: there is nobody to suspect."
      : "Without labels that are classes nobody can be suspected.";
    return panel("c5", title, { help: "suspects" }, h("p", { class: "note" }, words));
  }
  const largest = Math.max(...map.suspects.map(({ quality }) => quality), 1e-9);
  const length = linear(0, largest, 0, 60);
  const rows = map.suspects.map((suspect) => {
    const words = `sample ${suspect.row}`;
    const row = suspectRow(context, map, suspect, length(suspect.quality));
    return cardOnHover(
      row,
      () => context,
      () => ({ row: suspect.row, words }),
    );
  });
  const titles = ["sample", "label", "read as", "label quality", "confidence", "support"];
  const head = titles.map((name) => h("th", { scope: "col" }, name));
  const table = h("table", {}, h("tr", {}, head), rows);
  const words = `Label and reading are of the region that is explained; confidence is the mean over all ${map.unit}s with a label.`;
  const note = map.unit ? h("p", { class: "note reading" }, words) : null;
  return panel(
    "c5",
    title,
    {
      help: "suspects",
      note: "→ leads to the attributions",
      csv: () => suspectNumbers(map),
    },
    note,
    h("div", { class: "suspects" }, table),
  );
}

/**
 * @param {RunContext} context
 * @param {LayerMap} map
 * @param {Suspect} suspect
 * @param {number} length of its bar, in pixels
 */
function suspectRow(context, map, { row, quality, confidence, support, label, prediction }, length) {
  /** @type {Child} */
  let name = map.stored.includes(row) ? cardButton(context, row) : `sample ${row}`;
  if (map.gallery.includes(row)) {
    const onclick = () => set(linkToSample(map.gallery.indexOf(row)));
    name = h("button", { type: "button", class: "link", "data-key": `suspect ${row}`, onclick }, `sample ${row} →`);
  }
  const bar = h("i", { class: "bar-in-row", style: { width: `${length.toFixed(1)}px` } });
  return h(
    "tr",
    {},
    h("td", {}, name),
    h("td", {}, map.classes[label]),
    h("td", { class: label === prediction ? "" : "alarm" }, map.classes[prediction]),
    h("td", {}, bar, ` ${percent(quality)}`),
    h("td", {}, percent(confidence)),
    h("td", {}, support === null ? "" : percent(support)),
  );
}
