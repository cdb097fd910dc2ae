/** One sample's attribution where it is no image: signed bars, shaded tokens, a line with shaded steps. */
import { at, inkOn, token } from "../core/colour.js";
import { aligned, clip, fitted, h, hint, linear, s, short, widthOf } from "../core/dom.js";
import { distinct } from "../core/names.js";

/** @typedef {import("../core/gallery.js").Gallery} Gallery */

const ROW = 18; // pixels
const ROWS = 8; // features with a bar of their own
const [LETTER, VALUE] = [6, 44]; // pixels of a letter of a name, and of a value beside it
const NAME_LETTERS = 8; // at least
export const FOR = 0.82; // of the diverging map
export const AGAINST = 0.18;

/**
 * A row of a sample's bars.
 * @typedef {object} Row
 * @property {string} name
 * @property {string | null} value of the input; null for the sum of others
 * @property {number | null} share null where there is no sum
 */

/**
 * The rows of a sample's bars: the largest, and the others summed up; only contributions have a sum.
 * @param {Gallery} gallery
 * @param {number} sample
 * @returns {Row[]}
 */
function rowsOf(gallery, sample) {
  const values = gallery.values(sample);
  const nameOf = namesOf(gallery);
  const features = Array.from(values, (_, f) => f);
  /** @param {number} f @param {number} share */
  const row = (f, share) => ({ name: nameOf(f), value: inputOf(gallery, sample, f), share });
  const measured = features.filter((f) => Number.isFinite(values[f]));
  const order = measured.sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]));
  /** @type {Row[]} */
  const rows = order.slice(0, ROWS).map((f) => row(f, values[f]));
  const others = order.slice(ROWS);
  if (others.length) {
    const sum = others.reduce((total, f) => total + values[f], 0);
    const share = gallery.method.quantity === "contribution" ? sum : null;
    rows.push({ name: `${others.length} others`, value: null, share });
  }
  const unmeasured = features.filter((f) => !Number.isFinite(values[f]));
  rows.push(...unmeasured.slice(0, ROWS).map((f) => row(f, NaN)));
  return rows;
}

/**
 * What a sample's bars or shades stand for: the numbers that a scale has to hold.
 * @param {Gallery} gallery
 * @param {number} sample
 * @returns {number[]}
 */
export function tileValues(gallery, sample) {
  if (gallery.kind === "tokens") return wordsOf(gallery, sample).values;
  if (gallery.kind === "series") return Array.from(gallery.values(sample));
  return rowsOf(gallery, sample).flatMap(({ share }) => (Number.isFinite(share) ? Number(share) : []));
}

/**
 * @param {Gallery} gallery
 * @param {number} sample
 */
const commonReach = (gallery, sample) => gallery.reach(sample, (other) => tileValues(gallery, other));

/**
 * What a bar stands for: three digits of the longest one, so that points stand below each other; alone three of its own.
 * @param {number} share
 * @param {number} [high]
 */
export function printed(share, high = Math.abs(share)) {
  if (!Number.isFinite(share)) return "not measured";
  const sign = share < 0 ? "−" : "+";
  if (high >= 1e5) return `${sign}${short(Math.abs(share))}`;
  const digits = Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(high || 1))));
  const number = Math.abs(share).toFixed(digits);
  const vanishes = share !== 0 && Number(number) === 0;
  return `${sign}${vanishes ? Math.abs(share).toPrecision(1) : number}`;
}

/**
 * Feature, its value, its contribution as number and bar. Lengths are proportional to contributions, on one scale for both
 * signs and, unless another was chosen, for all tiles; the alerted feature is in the alarm colour.
 * @param {Gallery} gallery
 * @param {number} sample
 * @param {number} width
 * @param {Set<string>} alerted features in the alarm colour
 * @param {Extent} [reach] the range of the bars, by default the gallery's
 */
export function barsTile(gallery, sample, width, alerted, reach = commonReach(gallery, sample)) {
  const rows = alignedRows(rowsOf(gallery, sample));
  const columns = columnsOf(width, reach);
  const words = rows.map(({ name, share }) => (share === null ? name : `${name} ${printed(share)}`));
  const height = (rows.length + 1) * ROW;
  const svg = s("svg", { width, height: height + 2, role: "img", "aria-label": words.join("; ") });
  const { zero } = columns;
  const { quantity } = gallery.method;
  svg.append(
    s("text", { x: columns.value, y: 12, "text-anchor": "end", class: "head" }, gallery.method.layer ? "" : "value"),
    s("text", { x: columns.number - 40, y: 12, class: "head" }, quantity === "other" ? "attribution" : quantity),
    s("line", { x1: zero, x2: zero, y1: ROW, y2: height, stroke: token("line-strong") }),
  );
  const labels = distinct(
    rows.map(({ name }) => name),
    Math.max(NAME_LETTERS, Math.floor((columns.value - VALUE) / LETTER)),
  );
  rows.forEach((row, r) => svg.append(...rowMarks(row, labels[r], (r + 1) * ROW, columns, alerted.has(row.name))));
  return hint(svg, (event) => {
    const row = rows[Math.floor((event.clientY - svg.getBoundingClientRect().top) / ROW) - 1];
    if (!row) return "";
    const value = row.value === null ? "" : ` = ${row.value.trimEnd()}`;
    const share = row.share === null ? "" : `\n${printed(row.share)}`;
    return `${row.name}${value}${share}`;
  });
}

/**
 * Rows whose values have their decimal points below each other.
 * @param {Row[]} rows
 * @returns {Row[]}
 */
function alignedRows(rows) {
  const values = aligned(rows.map(({ value }) => value ?? ""));
  return rows.map((row, i) => ({ ...row, value: row.value === null ? null : values[i] }));
}

/**
 * Where the columns of a tile stand: the zero line is where the range puts it.
 * @param {number} width
 * @param {Extent} reach
 */
function columnsOf(width, [low, high]) {
  const bars = Math.max(60, Math.min(222, width * 0.7));
  const unit = Math.max(20, width - bars) / (high - low);
  return { value: bars - 54, number: bars - 6, unit, zero: bars - low * unit, high: Math.max(-low, high) };
}

/**
 * @param {Row} row
 * @param {string} label its name, cut where those of the tile agree
 * @param {number} y
 * @param {ReturnType<typeof columnsOf>} columns
 * @param {boolean} alarm
 */
function rowMarks({ value, share }, label, y, columns, alarm) {
  let colour = token(value === null ? "text-2" : "text");
  if (alarm) colour = token("alarm");
  const weight = alarm ? 500 : 400;
  const room = value === null ? columns.value : columns.value - 10 - widthOf(value, 400);
  /** @param {number} x @param {string} words */
  const number = (x, words) =>
    s("text", { x, y: y + 13, "text-anchor": "end", style: { fill: token("text-2") } }, words);
  /** @type {SVGElement[]} */
  const marks = [
    s("text", { x: 0, y: y + 13, style: { fill: colour, fontWeight: weight } }, fitted(label, room, weight)),
  ];
  if (value !== null) marks.push(number(columns.value, value));
  if (share === null) return marks;
  if (!Number.isFinite(share)) {
    // Where bars would be: it is longer than a number.
    const words = s("text", { x: columns.number - 40, y: y + 13, style: { fill: token("text-3") } }, printed(share));
    return [...marks, words];
  }
  const style = { fill: token("text") };
  marks.push(s("text", { x: columns.number, y: y + 13, "text-anchor": "end", style }, printed(share, columns.high)));
  const length = Math.abs(share) * columns.unit;
  if (length <= 0) return marks;
  const bar = s("rect", {
    x: share < 0 ? columns.zero - length : columns.zero,
    y: y + 3,
    width: length,
    height: 12,
    class: "bar",
    fill: at("diverging", share > 0 ? FOR : AGAINST),
    opacity: value === null ? 0.55 : 1,
  });
  return [...marks, bar];
}

/**
 * @param {Gallery} gallery
 * @returns {(f: number) => string}
 */
export function namesOf(gallery) {
  if (gallery.method.layer) return (f) => `unit ${f}`;
  const matches = gallery.featureNames?.length === gallery.length;
  const names = matches ? gallery.featureNames : gallery.run.probe?.features;
  return (f) => (names?.length === gallery.length ? names[f] : `column ${f}`);
}

/**
 * @param {Gallery} gallery
 * @param {number} sample
 * @param {number} f
 */
export function inputOf(gallery, sample, f) {
  if (gallery.method.layer || gallery.input?.data.length !== gallery.maps.data.length) return "";
  const value = gallery.input.data[sample * gallery.length + f];
  return clip(gallery.categories?.[f]?.[value] ?? short(value), 16);
}

/**
 * The words of a sample and what each contributes; an embedding's columns, where the record kept them, sum to their word.
 * @param {Gallery} gallery
 * @param {number} sample
 */
function wordsOf(gallery, sample) {
  const words = gallery.words?.[sample] ?? idsOf(gallery, sample);
  const columns = gallery.length / words.length;
  const all = gallery.values(sample);
  const values = words.map((_, t) => {
    // A layer of fewer steps than words: each word has what the step has that it lies in.
    if (columns < 1) return all[Math.floor(t * columns)];
    return all.subarray(Math.floor(t * columns), Math.floor((t + 1) * columns)).reduce((sum, value) => sum + value, 0);
  });
  return { words, values };
}

/**
 * @param {Gallery} gallery
 * @param {number} sample
 * @returns {string[]}
 */
function idsOf(gallery, sample) {
  if (!gallery.input) return Array.from({ length: gallery.shape[0] }, (_, t) => String(t));
  const length = gallery.input.data.length / gallery.size;
  return Array.from(gallery.input.data.subarray(sample * length, (sample + 1) * length), String);
}

/**
 * A text whose words carry their attribution as shade, on the gallery's scale.
 * @param {Gallery} gallery
 * @param {number} sample
 * @param {Extent} [reach]
 */
export function tokensRow(gallery, sample, reach = commonReach(gallery, sample)) {
  const { words, values } = wordsOf(gallery, sample);
  const high = Math.max(...reach.map(Math.abs));
  /** @param {number} value */
  const number = (value) => (gallery.magnitudes ? short(Math.abs(value)) : printed(value));
  /** @type {Child[]} */
  const spans = [];
  words.forEach((word, t) => {
    if (!word) return; // padding has no word
    const share = values[t] / high;
    const span = h("span", { style: Number.isFinite(share) ? shade(gallery, share) : {} }, word);
    spans.push(
      hint(span, () => `${word}  ${number(values[t])}`),
      " ",
    );
  });
  return h("span", { class: "tokens" }, spans);
}

/**
 * A share of the scale as a background, and ink that can be read on it.
 * @param {Gallery} gallery
 * @param {number} share
 */
function shade(gallery, share) {
  const size = Math.min(1, Math.abs(share));
  if (gallery.magnitudes) return { background: at("sequential", size), color: inkOn("sequential", size) };
  const place = 0.5 + 0.5 * share;
  return { background: at("diverging", place), color: inkOn("diverging", place) };
}

/**
 * The steps and channels of a series: those of its input, where that was written.
 * @param {Gallery} gallery
 * @returns {[steps: number, channels: number]}
 */
function seriesSides(gallery) {
  const [, steps, channels] = gallery.input?.shape ?? [0, ...gallery.shape];
  return [steps, channels ?? 1];
}

const LANES = 3; // channels of a series with a lane of their own
const LANE = 40; // pixels
const LINES_UNDER_POINTER = 8;

/**
 * The line of each channel under its name, over steps shaded by their attribution; by a map of a layer's own steps all alike.
 * @param {Gallery} gallery
 * @param {number} sample
 * @param {number} width
 * @param {Extent} [reach]
 */
export function seriesTile(gallery, sample, width, reach = commonReach(gallery, sample)) {
  const [steps, channels] = seriesSides(gallery);
  const ofLayer = Boolean(gallery.method.layer) || gallery.length !== steps * channels;
  const mapSteps = ofLayer ? gallery.shape[0] : steps;
  const lanes = Math.min(LANES, channels);
  const values = gallery.values(sample);
  const high = Math.max(...reach.map(Math.abs));
  const x = linear(0, steps, 0, width);
  const xOfMap = linear(0, mapSteps, 0, width);
  /** @param {number} t of the map @param {number} c */
  const valueAt = (t, c) => (ofLayer ? values[t] : values[t * channels + c]);
  const names = gallery.run.probe?.features ?? [];
  /** @param {number} c */
  const name = (c) => names[c] ?? `channel ${c}`;
  const drawn = Array.from({ length: lanes }, (_, c) => name(c)).join(", ");
  const label = ofLayer ? `${mapSteps} steps of a layer over ${drawn}` : `${steps} steps of ${drawn}`;
  const svg = s("svg", { width, height: lanes * LANE, role: "img", "aria-label": label });
  for (let c = 0; c < lanes; c++) {
    const [top, bottom] = [c * LANE + 14, (c + 1) * LANE - 4];
    for (let t = 0; t < mapSteps; t++) {
      const share = valueAt(t, c) / high;
      if (!Number.isFinite(share)) continue;
      const fill = at("diverging", 0.5 + 0.5 * share);
      svg.append(s("rect", { x: xOfMap(t), y: top, width: xOfMap(1) + 0.5, height: bottom - top, fill }));
    }
    svg.append(
      s("text", { x: 0, y: top - 3 }, channels > 1 || names.length ? clip(name(c), 28) : ""),
      s("line", { x1: 0, x2: width, y1: bottom, y2: bottom, stroke: token("line") }),
    );
    if (!gallery.input) continue;
    const { data } = gallery.input;
    const line = Array.from({ length: steps }, (_, t) => data[(sample * steps + t) * channels + c]);
    const y = linear(Math.min(...line), Math.max(...line), bottom - 2, top + 1);
    const points = line.map((value, t) => `${(x(t) + x(1) / 2).toFixed(1)} ${y(value).toFixed(1)}`);
    const stroke = { stroke: token("text"), "stroke-width": 1.25, "stroke-linejoin": "round" };
    svg.append(s("path", { d: `M${points.join("L")}`, fill: "none", ...stroke }));
  }
  if (channels > lanes) {
    svg.append(s("text", { x: width, y: 11, "text-anchor": "end" }, `and ${channels - lanes} more`));
  }
  return hint(svg, (event) => {
    const box = svg.getBoundingClientRect();
    const share = Math.max(0, Math.min(0.999999, (event.clientX - box.left) / box.width));
    const t = Math.floor(share * mapSteps);
    if (ofLayer) return `step ${t} of ${mapSteps}\n${printed(values[t])}`;
    const lines = Array.from({ length: channels }, (_, c) => {
      const value = gallery.input ? ` = ${short(gallery.input.data[(sample * steps + t) * channels + c])}` : "";
      return `${name(c)}${value}  ${printed(values[t * channels + c])}`;
    });
    return [`step ${t}`, ...lines.slice(0, LINES_UNDER_POINTER)].join("\n");
  });
}
