/** What changed between two explanations of one sample that is no picture: features or words as bars, series as a map. */
import { legend, token } from "../core/colour.js";
import { fitted, h, hint, s, short } from "../core/dom.js";
import { draw } from "../core/image.js";

/** @typedef {import("../core/gallery.js").Gallery} Gallery */
/** @typedef {{name: string, change: number}} Row */

const ROWS = 6;
const ROW_HEIGHT = 20; // pixels
const NUMBER_ROOM = 52;

/**
 * Second minus first, in the units of the method.
 * @param {Gallery} before
 * @param {Gallery} after
 * @param {number} sample
 * @param {number} width
 * @returns {HTMLElement}
 */
export function changeTile(before, after, sample, width) {
  const old = before.values(sample);
  const change = after.values(sample).map((value, i) => value - old[i]);
  if (!change.some(Number.isFinite)) return h("div", { class: "col" }, h("span", { class: "note" }, "not finite"));
  if (after.kind === "series") return h("div", { class: "col change" }, seriesMap(after, change, width));
  return h("div", { class: "col change" }, bars(largestOf(after, sample, change), width));
}

/**
 * @param {Gallery} gallery
 * @param {number} sample
 * @param {Float32Array} change
 * @returns {Row[]}
 */
function largestOf(gallery, sample, change) {
  const names =
    gallery.kind === "tokens" ? gallery.words?.[sample] : (gallery.featureNames ?? gallery.run.probe?.features);
  const rows = Array.from(change, (value, i) => ({ name: String(names?.[i] ?? `value ${i}`), change: value }));
  const finite = rows.filter((row) => Number.isFinite(row.change) && row.change !== 0);
  return finite.sort((a, b) => Math.abs(b.change) - Math.abs(a.change)).slice(0, ROWS);
}

/**
 * @param {Row[]} rows
 * @param {number} width
 */
function bars(rows, width) {
  if (!rows.length) return h("span", { class: "note" }, "no change");
  const words = rows.map(({ name, change }) => `${name} ${digits(change)}`).join("; ");
  const height = rows.length * ROW_HEIGHT;
  const svg = s("svg", { width, height, role: "img", "aria-label": words });
  const names = width * 0.45;
  const [low, high] = [Math.min(0, ...rows.map((row) => row.change)), Math.max(0, ...rows.map((row) => row.change))];
  const unit = Math.max(10, width - names - NUMBER_ROOM) / (high - low || 1);
  const zero = names + NUMBER_ROOM - low * unit;
  svg.append(s("line", { x1: zero, x2: zero, y1: 0, y2: height, stroke: token("line-strong") }));
  rows.forEach(({ name, change }, k) => {
    const y = k * ROW_HEIGHT;
    const length = Math.abs(change) * unit;
    const bar = { x: change < 0 ? zero - length : zero, y: y + 4, width: length, height: 12, fill: token("text-3") };
    svg.append(
      s("text", { x: 0, y: y + 14 }, fitted(name, names - 6, 400), s("title", {}, name)),
      s("text", { x: names + NUMBER_ROOM - 6, y: y + 14, "text-anchor": "end" }, digits(change)),
      s("rect", { ...bar, class: "bar" }),
    );
  });
  return svg;
}

/**
 * A number with its sign and three digits.
 * @param {number} change
 */
function digits(change) {
  return change > 0 ? `+${short(change)}` : short(change);
}

/**
 * Channels over time.
 * @param {Gallery} gallery
 * @param {Float32Array} change of (T, C)
 * @param {number} width
 */
function seriesMap(gallery, change, width) {
  const [length, channels = 1] = gallery.shape;
  const values = new Float32Array(change.length);
  for (let t = 0; t < length; t++) for (let c = 0; c < channels; c++) values[c * length + t] = change[t * channels + c];
  const hi = change.reduce((high, value) => Math.max(high, Math.abs(value) || 0), 0) || 1;
  const canvas = h("canvas", {
    class: "thumb",
    role: "img",
    "aria-label": `change of ${channels} channels over ${length} steps`,
  });
  draw(canvas, {
    values,
    height: channels,
    width: length,
    hi,
    signed: true,
    size: width,
    ratio: (20 * channels) / width,
  });
  hint(canvas, (event) => {
    const box = canvas.getBoundingClientRect();
    const t = Math.min(length - 1, Math.floor(((event.clientX - box.left) / box.width) * length));
    const c = Math.min(channels - 1, Math.floor(((event.clientY - box.top) / box.height) * channels));
    return `${gallery.featureNames?.[c] ?? `channel ${c}`}, step ${t}\n${digits(change[t * channels + c])}`;
  });
  return [canvas, legend("diverging", `−${digits(hi).slice(1)}`, digits(hi))];
}
