/** Two epochs, two runs or all methods, side by side: samples as columns, one scale for what is compared. */
import { firstChange } from "../core/alerts.js";
import { legend } from "../core/colour.js";
import { h, message, panel, percent } from "../core/dom.js";
import { moved, rangeOf, shareChange, shares } from "../core/gallery.js";
import { clipAt, draw } from "../core/image.js";
import { mapHint } from "../core/map_hint.js";
import { comparisonNumbers } from "../core/panel_numbers.js";
import { set, state } from "../core/state.js";
import { BEFORE, capitalized, moment, named } from "../core/updates.js";
import { alertedFeatures } from "../marks/importance.js";
import { dumbbell } from "../marks/slopes.js";
import { changeTile } from "../marks/change_tile.js";
import { barsTile, seriesTile, tileValues, tokensRow } from "../marks/tiles.js";
import { linkToSample } from "./links.js";

/** @typedef {import("../core/gallery.js").Gallery} Gallery */
/** @typedef {import("../core/gallery.js").GalleryReader} GalleryReader */
/** @typedef {import("../core/gallery.js").Reading} Reading */
/** @typedef {{reading: Reading, name: string | HTMLElement}} Side */
/** @typedef {{gallery: Gallery, name: string | HTMLElement}} ReadSide */

const IMAGE = 64; // pixels
const NARROWEST_IMAGE = 56; // pixels of a column
const NARROWEST_TILE = 220;
const FIRST_COLUMN = 112;
const GAP = 12;

/**
 * The ticked runs that explain the same samples: only these can be put beside each other.
 * @param {Context} context
 */
export function comparableRuns({ cards, card, picked }) {
  const hash = card.probe?.hash;
  return picked.filter((name) => {
    const other = cards.find((candidate) => candidate.name === name);
    return name !== card.name && other?.probe?.hash === hash;
  });
}

/**
 * @param {HTMLElement} root
 * @param {RunContext} context
 * @param {Method} method
 * @param {GalleryReader} reader
 */
export function compare(root, context, method, reader) {
  const comparison = comparisonOf(context, method, reader);
  if ("nothing" in comparison) {
    root.append(comparison.nothing);
    return;
  }
  const { title, sides } = comparison;
  const read = sides.flatMap(({ reading, name }) => (reading.gallery ? [{ gallery: reading.gallery, name }] : []));
  if (!sides.length || read.length < sides.length) {
    root.append(h("p", { class: "note" }, "Reading the maps …"));
    return;
  }
  const table = new ComparisonTable(context, read);
  const section = panel("c12", title, { help: "compare", note: table.legends(), csv: () => comparisonNumbers(read) });
  const verdict = table.verdict();
  if (verdict !== null) section.append(h("p", {}, verdict));
  root.append(h("div", { class: "grid" }, section));
  section.append(...table.blocks(section.clientWidth));
}

/**
 * What stands against what, or why there is nothing to compare.
 * @param {RunContext} context
 * @param {Method} method
 * @param {GalleryReader} reader
 * @returns {{title: string, sides: Side[]} | {nothing: HTMLElement}}
 */
function comparisonOf(context, method, reader) {
  if (state.compare === "methods") return betweenMethods(context, reader);
  if (state.compare === "runs") return betweenRuns(context, method, reader);
  return betweenEpochs(context, method, reader);
}

/**
 * @param {RunContext} context
 * @param {GalleryReader} reader
 */
function betweenMethods(context, reader) {
  const { run, epoch } = context;
  const sides = run.methods.map((method) => ({ reading: reader.read(context, method, { epoch }), name: method.title }));
  return { title: `Methods ${epoch === BEFORE ? "" : "at "}${moment(run, epoch)}`, sides };
}

/**
 * @param {RunContext} context
 * @param {Method} method
 * @param {GalleryReader} reader
 */
function betweenRuns(context, method, reader) {
  const { name, epoch, run, server } = context;
  const others = comparableRuns(context);
  const chosen = others.includes(state.other) ? state.other : others[0];
  if (!chosen) {
    const words = "Tick a second run that explains the same samples: one written with the same probe.";
    return { nothing: message("Nothing to compare with", words) };
  }
  const other = server.read("run", { run: chosen }, context.stampOf(chosen));
  if (!other) return { title: "", sides: [] };
  const same = other.methods.find((candidate) => candidate.name === method.name);
  if (!same) return { nothing: message("Nothing to compare", `${chosen} wrote no ${method.title}.`) };
  const sides = [
    {
      reading: reader.read(context, same, { epoch, name: chosen, run: other }),
      name: others.length > 1 ? runPick(chosen, others) : chosen,
    },
    { reading: reader.read(context, method, { epoch }), name },
  ];
  return { title: `${method.title}: two runs ${epoch === BEFORE ? "" : "at "}${moment(run, epoch)}`, sides };
}

/**
 * @param {RunContext} context
 * @param {Method} method
 * @param {GalleryReader} reader
 */
function betweenEpochs(context, method, reader) {
  const { run, epoch } = context;
  const alert = firstChange(run, epoch);
  const start = method.before ? BEFORE : method.epochs[0];
  const first = reader.read(context, method, { epoch: state.first ?? (alert ? alert.epoch - 1 : start) });
  const second = reader.read(context, method, { epoch: state.second ?? epoch });
  const sides = [
    { reading: first, name: updatePick(run, "first", first.epoch, method) },
    { reading: second, name: updatePick(run, "second", second.epoch, method) },
  ];
  const against = second.epoch === BEFORE || first.epoch === BEFORE ? named(run, second.epoch) : second.epoch;
  return { title: `${method.title}: ${named(run, first.epoch)} against ${against}`, sides };
}

/**
 * Each side's update is chosen in its own row; the second follows the slider until it is.
 * @param {Run} run
 * @param {"first" | "second"} which
 * @param {number} epoch
 * @param {Method} method
 */
function updatePick(run, which, epoch, { epochs, before }) {
  const attributes = {
    "aria-label": `The ${which} ${run.unit}`,
    "data-key": `${which} epoch`,
    onchange: () => set({ [which]: Number(node.value) }),
  };
  const choices = before ? [BEFORE, ...epochs] : epochs;
  const options = choices.map((value) =>
    h("option", { value }, value === BEFORE ? "Untrained" : capitalized(named(run, value))),
  );
  const node = h("select", attributes, options);
  node.value = String(epoch);
  return node;
}

/**
 * @param {string} chosen
 * @param {string[]} others
 */
function runPick(chosen, others) {
  const attributes = {
    "aria-label": "The other run",
    "data-key": "other run",
    onchange: () => set({ other: node.value }),
  };
  const options = others.map((value) => h("option", { value }, value));
  const node = h("select", attributes, options);
  node.value = chosen;
  return node;
}

/**
 * Rows of what is compared: the inputs, each side, and where the sides are alike what changed between them. Every chosen sample
 * is a column; where they are too many for the width they go on below.
 */
class ComparisonTable {
  #context;
  #sides;
  #first;
  #second;
  #samples;
  #image;
  /** whether the two sides are of one unit: then they share a scale, and differences mean something */
  #alike;

  /**
   * @param {RunContext} context
   * @param {ReadSide[]} sides
   */
  constructor(context, sides) {
    this.#context = context;
    this.#sides = sides;
    const [first, second] = sides.map(({ gallery }) => gallery);
    this.#first = first;
    this.#second = /** @type {Gallery | undefined} */ (second);
    this.#image = first.isPictured;
    this.#alike =
      second !== undefined &&
      first.method.name === second.method.name &&
      first.size === second.size &&
      first.length === second.length;
    const ordered = second && state.compare !== "methods" ? second : first;
    this.#samples = ordered.sorted();
  }

  /** The two sides, where they can be compared number by number. */
  get #pair() {
    return this.#alike && this.#second ? { before: this.#first, after: this.#second } : null;
  }

  /** @returns {Child} */
  legends() {
    const gallery = this.#first;
    const [low, high] = gallery.sides(this.#samples);
    if (!this.#image) return legend(gallery.magnitudes ? "sequential" : "diverging", low, high);
    const change = this.#alike && legend("diverging", "less", "more");
    return [legend(gallery.signed ? "diverging" : gallery.map, low, high), change];
  }

  /** What the rows show, in one sentence; null where the sides are not alike. */
  verdict() {
    return this.#pair && verdict(this.#pair.before, this.#pair.after);
  }

  /**
   * The samples in blocks of as many columns as the width has room for.
   * @param {number} width of the section
   */
  blocks(width) {
    const narrowest = this.#image ? NARROWEST_IMAGE : NARROWEST_TILE;
    const fitting = Math.max(1, Math.floor((width - FIRST_COLUMN) / (narrowest + GAP)));
    const count = Math.ceil(this.#samples.length / fitting);
    const columns = Math.ceil(this.#samples.length / count); // as many in each block
    return Array.from({ length: count }, (_, k) => {
      return this.#block(this.#samples.slice(k * columns, (k + 1) * columns), columns, width, k === 0);
    });
  }

  /**
   * @param {number[]} samples
   * @param {number} columns
   * @param {number} width
   * @param {boolean} first in which the sides are chosen
   */
  #block(samples, columns, width, first) {
    const gridTemplateColumns = `${FIRST_COLUMN}px repeat(${columns}, minmax(0, 1fr))`;
    const box = h("div", { class: "compare", style: { gridTemplateColumns } });
    const column = Math.floor((width - FIRST_COLUMN) / columns) - GAP;
    /**
     * @param {Child} name
     * @param {string} note
     * @param {(sample: number) => HTMLElement} cell
     */
    const addRow = (name, note, cell) => {
      const head = typeof name === "string" ? h("b", {}, breakable(name)) : name;
      box.append(h("div", { class: "side" }, head, note), ...samples.map(cell));
      for (let k = samples.length; k < columns; k++) box.append(h("div", {}));
    };
    addRow("Input", "true class", (sample) => this.#inputCell(sample));
    for (const { gallery, name } of this.#sides) {
      const shown = first || typeof name === "string" ? name : chosenOf(name);
      addRow(shown, sideNote(gallery), (sample) => this.#sideCell(gallery, sample, column));
    }
    if (!this.#pair) return box;
    const { before, after } = this.#pair;
    const note = this.#image ? "second minus first, share that moved" : "second minus first";
    addRow("Change", note, (sample) =>
      this.#image ? changeCell(before, after, sample) : changeTile(before, after, sample, column),
    );
    if (before.percents) {
      const of = before.classes ? "in the true class" : "in the explained label";
      addRow("Confidence", of, (sample) => h("div", {}, dumbbell(before.confidence(sample), after.confidence(sample))));
    }
    return box;
  }

  /** @param {number} sample */
  #inputCell(sample) {
    const gallery = this.#first;
    const { truth } = gallery.judge(sample);
    const name = truth === null ? `sample ${sample}` : gallery.className(truth);
    const target = gallery.explainsAnother(sample) && h("span", { class: "speaks" }, gallery.sides([sample])[1]);
    const slice = this.#slice(sample);
    const input = this.#image && gallery.input ? canvasOf(gallery.inputImage(sample, IMAGE, slice)) : null;
    const attributes = {
      type: "button",
      class: "col",
      title: `See sample ${sample}`,
      "data-key": `compared ${sample}`,
      onclick: () => set(linkToSample(sample)),
    };
    return h("button", attributes, h("b", {}, name), target, input);
  }

  /**
   * @param {Gallery} gallery
   * @param {number} sample
   * @param {number} width
   */
  #sideCell(gallery, sample, width) {
    const drawing = this.#image ? this.#map(gallery, sample) : this.#tile(gallery, sample, width);
    const { predicted, right, value } = gallery.judge(sample);
    const misread = right || predicted === null ? "" : `as ${gallery.className(predicted)}, `;
    return h("div", { class: "col" }, drawing, h("span", { class: right ? "" : "alarm" }, `${misread}${value}`));
  }

  /**
   * Both sides share a scale, or the same shade would mean two things; methods have units of their own.
   * @param {Gallery} gallery
   * @param {number} sample
   */
  #map(gallery, sample) {
    const clips = [this.#pair?.before, this.#pair?.after].flatMap((side) =>
      side ? clipAt(side.values(sample), state.clip) : [],
    );
    const hi = clips.length ? Math.max(...clips) : undefined;
    const slice = this.#slice(sample);
    const canvas = canvasOf(gallery.mapImage(sample, IMAGE, hi, slice));
    mapHint(canvas, () => ({ gallery, sample, slice }));
    return canvas;
  }

  /**
   * The slice of a volume, the same one in each row.
   * @param {number} sample
   */
  #slice(sample) {
    return (this.#pair?.after ?? this.#first).sliceOf(sample);
  }

  /**
   * @param {Gallery} gallery
   * @param {number} sample
   * @param {number} width
   */
  #tile(gallery, sample, width) {
    const pair = this.#pair;
    const reach = pair ? rangeOf([...tileValues(pair.before, sample), ...tileValues(pair.after, sample)]) : undefined;
    if (gallery.kind === "tokens") return tokensRow(gallery, sample, reach);
    if (gallery.kind === "series") return seriesTile(gallery, sample, width, reach);
    const alerted = alertedFeatures(this.#context.run, this.#context.epoch);
    return barsTile(gallery, sample, width, alerted, reach);
  }
}

/**
 * What a side's menu says, where it is not chosen.
 * @param {HTMLElement} menu
 */
const chosenOf = (menu) => (menu instanceof HTMLSelectElement ? (menu.selectedOptions[0]?.textContent ?? "") : "");

/** @param {Gallery} gallery */
function sideNote({ run, notFiniteSince, score }) {
  if (notFiniteSince !== null) return `not finite since ${named(run, notFiniteSince)}`;
  return score ? `${score.right} of ${score.of} right` : "";
}

/**
 * @param {Gallery} before
 * @param {Gallery} after
 * @param {number} sample
 */
function changeCell(before, after, sample) {
  const all = shareChange(before.values(sample), after.values(sample));
  const [height, width] = before.shape;
  const hi = clipAt(all, state.clip);
  const begin = after.mapSlice(after.sliceOf(sample)) * after.area;
  const values = all.subarray(begin, begin + after.area);
  const canvas = canvasOf({ values, height, width, hi, signed: true, size: IMAGE, ratio: height / width });
  return h("div", { class: "col" }, canvas, percent(moved(before.values(sample), after.values(sample))));
}

/**
 * A path that may break after its slashes.
 * @param {string} name
 * @returns {Child[]}
 */
const breakable = (name) => name.split("/").flatMap((part, i) => (i ? ["/", h("wbr", {}), part] : [part]));

/** @param {import("../core/image.js").Drawing} drawing */
function canvasOf(drawing) {
  const canvas = h("canvas", { class: "thumb" });
  draw(canvas, drawing);
  return canvas;
}

/**
 * What the rows show, in one sentence: who changed class, and where the attribution went.
 * @param {Gallery} before
 * @param {Gallery} after
 */
function verdict(before, after) {
  const changed = before.samples.filter((b) => before.judge(b).predicted !== after.judge(b).predicted).length;
  const read = before.classes ? `${changed} of ${before.size} samples are read differently. ` : "";
  const names = before.run.probe?.features ?? [];
  const cells = (before.isPictured && before.run.probe?.cells) || null;
  const features = cells ? cells.reduce((product, side) => product * side, 1) : before.length;
  if (!names.length || names.length !== features) return read;
  const [old, young] = [before, after].map((gallery) => pooledShares(gallery, cells, features));
  let most = 0;
  for (let f = 0; f < features; f++) if (young[f] - old[f] > young[most] - old[most]) most = f;
  const whole = cells ? "map" : "whole";
  return `${read}Attribution rose most in ${names[most]}: ${percent(old[most])} → ${percent(young[most])} of the ${whole}.`;
}

/**
 * The mean share of each feature over the gallery.
 * @param {Gallery} gallery
 * @param {Cells | null} cells
 * @param {number} features
 */
function pooledShares(gallery, cells, features) {
  const pooled = new Float64Array(features);
  const sides = gallery.depth ? [gallery.depth, ...gallery.shape] : gallery.shape;
  /** @param {number} i */
  const featureOf = (i) => {
    if (!cells) return i;
    let [feature, within, left] = [0, 1, i];
    for (let axis = sides.length - 1; axis >= 0; axis--) {
      const at = left % sides[axis];
      left = (left - at) / sides[axis];
      feature += within * Math.floor((at / sides[axis]) * cells[axis]);
      within *= cells[axis];
    }
    return feature;
  };
  for (const sample of gallery.samples) {
    shares(gallery.values(sample)).forEach((share, i) => {
      pooled[featureOf(i)] += share / gallery.size;
    });
  }
  return pooled;
}
