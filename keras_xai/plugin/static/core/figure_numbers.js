/** The numbers of a figure as a table: what its traces hold, under the names of its axes. */
import { shortest } from "./csv.js";

/** @typedef {ArrayLike<any>} Values */

const BINARY = { f4: Float32Array, f8: Float64Array, i4: Int32Array, u1: Uint8Array };

/**
 * The values of a member of a trace, which the server may have packed.
 * @param {any} member
 * @returns {Values}
 */
function valuesOf(member) {
  if (!member?.bdata) return member ?? [];
  const bytes = Uint8Array.from(atob(member.bdata), (letter) => letter.charCodeAt(0));
  const kind = /** @type {keyof typeof BINARY} */ (member.dtype);
  const values = new BINARY[kind](bytes.buffer);
  return kind === "f4" ? Array.from(values, shortest) : values;
}

/**
 * @param {Figure} figure
 * @returns {NumberTable}
 */
export function figureNumbers(figure) {
  const { data, layout } = figure;
  const { meta } = layout;
  if (meta?.table) return meta.table;
  const names = { x: "x", y: "y", z: "value", ...meta?.columns };
  const map = data.find(({ type }) => type === "heatmap");
  if (map) return cellsOf(map, layout, names);
  const lines = data.filter(({ hoverinfo, type }) => hoverinfo !== "skip" && type !== "bar");
  if (lines.every(({ mode }) => mode === "markers")) return pointsOf(lines, names);
  return linesOf(lines, names);
}

/**
 * One row a cell: the names of its row and column, and its value.
 * @param {Record<string, any>} map
 * @param {Record<string, any>} layout
 * @param {Record<string, string>} names
 */
function cellsOf(map, layout, names) {
  const values = valuesOf(map.z);
  const sides = String(map.z.shape ?? "").split(",");
  const [height, width] = sides.map(Number);
  const columns = valuesOf(map.x ?? layout.xaxis.ticktext);
  const rowNames = layout.meta?.rows ?? Array.from(valuesOf(layout.yaxis.ticktext), plain);
  /** @type {NumberTable["rows"]} */
  const rows = [];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      rows.push([rowNames[row], columns[column], values[row * width + column]]);
    }
  }
  return { columns: [names.y, names.x, names.z], rows };
}

/**
 * One row a point, named by its text.
 * @param {Record<string, any>[]} traces
 * @param {Record<string, string>} names
 */
function pointsOf(traces, names) {
  /** @type {NumberTable["rows"]} */
  const rows = [];
  for (const trace of traces) {
    const [x, y, words] = [valuesOf(trace.x), valuesOf(trace.y), valuesOf(trace.text)];
    for (let i = 0; i < x.length; i++) rows.push([plain(words[i] ?? trace.name ?? ""), x[i], y[i]]);
  }
  return { columns: ["name", names.x, names.y], rows };
}

/**
 * One row an epoch, one column a line.
 * @param {Record<string, any>[]} traces
 * @param {Record<string, string>} names
 */
function linesOf(traces, names) {
  const series = traces.map((trace) => {
    const [x, y] = [valuesOf(trace.x), valuesOf(trace.y)];
    return new Map(Array.from(x, (value, i) => [value, y[i]]));
  });
  const epochs = [...new Set(series.flatMap((line) => [...line.keys()]))].sort((a, b) => a - b);
  const rows = epochs.map((epoch) => [epoch, ...series.map((line) => line.get(epoch) ?? null)]);
  return { columns: [names.x, ...traces.map(({ name, meta }) => plain(meta?.name ?? name ?? names.y))], rows };
}

/**
 * A text of plotly's without its markup: the server escaped the names.
 * @param {string} text
 */
function plain(text) {
  const spaced = String(text)
    .replace(/<br\s*\/?>/g, ", ")
    .replace(/<[^>]*>/g, "");
  return spaced.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}
