/** Importance as a map of the input, and what of it can be shown at an epoch: what was not measured is no zero. */
import { alarmsOf } from "../core/alerts.js";
import { legend, token } from "../core/colour.js";
import { context2d, h, hint, percent, position, signed } from "../core/dom.js";
import { draw } from "../core/image.js";
import { named } from "../core/updates.js";

const MAP_SIZE = 152; // pixels of the page
const NAMES_LISTED = 5;
const FEATURES_OF_ALERT = 3;

/**
 * A row of (E, F).
 * @param {FloatTensor} matrix
 * @param {number} at
 */
export const row = (matrix, at) => matrix.data.subarray(at * matrix.shape[1], (at + 1) * matrix.shape[1]);

/** @param {Float32Array} values */
export const largest = (values) => values.reduce((high, value) => (value > high ? value : high), 0);

/**
 * Indices of what was measured, the largest value first.
 * @param {ArrayLike<number>} values
 */
export const order = (values) =>
  Array.from(values, (_, i) => i)
    .filter((i) => Number.isFinite(values[i]))
    .sort((a, b) => values[b] - values[a]);

/**
 * A share; what was not measured is not nothing.
 * @param {number} share
 */
export const shareWords = (share) => (Number.isFinite(share) ? percent(share) : "not measured");

/**
 * "12 %, rank 3 of 12", the largest first; what was not measured has no rank.
 * @param {Float32Array} values
 * @param {number} at
 */
function rankWords(values, at) {
  if (!Number.isFinite(values[at])) return "not measured";
  const measured = values.filter(Number.isFinite);
  const larger = measured.filter((value) => value > values[at]).length;
  return `${percent(values[at])}, rank ${1 + larger} of ${measured.length}`;
}

/**
 * Features that an alarm up to an epoch names, three each.
 * @param {Run} run
 * @param {number} epoch
 */
export function alertedFeatures(run, epoch) {
  const past = alarmsOf(run).filter((alert) => alert.epoch <= epoch);
  return new Set(past.flatMap((alert) => alert.features.slice(0, FEATURES_OF_ALERT).map(([name]) => name)));
}

/**
 * @param {FloatTensor} matrix
 * @param {number} at
 */
const isMeasured = (matrix, at) => row(matrix, at).some((share) => Number.isFinite(share));

/**
 * The place of the epoch to show: the last one up to `epoch` at which something was measured, else the nearest earlier.
 * @param {Importance} importance
 * @param {number} epoch
 */
export function measuredAt(importance, epoch) {
  const nearest = position(importance.epochs, epoch);
  for (let at = nearest; at >= 0; at--) if (isMeasured(importance.share, at)) return at;
  return nearest;
}

/**
 * Since when nothing is finite, at an epoch at which nothing is; else null.
 * @param {Importance} importance
 * @param {number} epoch
 */
function notFiniteSince(importance, epoch) {
  if (isMeasured(importance.share, position(importance.epochs, epoch))) return null;
  const last = measuredAt(importance, epoch);
  return importance.epochs[isMeasured(importance.share, last) ? last + 1 : 0];
}

/**
 * What the newest of several maps is called: where the importance ended it is not of now.
 * @param {Importance} importance
 * @param {number} epoch
 */
export const nowWords = (importance, epoch) => (notFiniteSince(importance, epoch) === null ? "Now" : "Last finite");

/**
 * What an importance lacks at an epoch, in words: all of it, or some features; null where it lacks nothing.
 * @param {Run} run
 * @param {Importance} importance
 * @param {number} epoch
 */
export function lacking(run, importance, epoch) {
  const since = notFiniteSince(importance, epoch);
  const at = measuredAt(importance, epoch);
  if (since !== null) {
    const earlier = at < position(importance.epochs, epoch);
    const instead = earlier ? `: ${named(run, importance.epochs[at])}, the last one before, is shown` : "";
    return h("p", { class: "note alarm" }, `The importance is not finite since ${named(run, since)}${instead}.`);
  }
  const shares = row(importance.share, at);
  const names = importance.names.filter((_, i) => !Number.isFinite(shares[i]));
  if (!names.length) return null;
  const more = names.length > NAMES_LISTED ? ` and ${names.length - NAMES_LISTED} more` : "";
  const words = `not measured: ${names.slice(0, NAMES_LISTED).join(", ")}${more}`;
  return h("p", { class: "note", title: names.join(", ") }, h("i", { class: "hatch" }), words);
}

/**
 * How many cells lie along each axis of an image's or volume's importance; null where it is no map of the input.
 * @param {Run} run
 * @param {Importance} importance
 * @returns {Cells | null}
 */
export function cellsOf(run, importance) {
  const cells = run.probe?.cells ?? null;
  return cells && cells.reduce((product, side) => product * side, 1) === importance.names.length ? cells : null;
}

/**
 * How the slices of a volume's map are laid out; null for an image.
 * @param {Cells} cells
 */
export const sliceOrder = (cells) =>
  cells.length > 2 ? h("p", { class: "note" }, "Cells by depth: from left to right, row by row.") : null;

/** The cells of a map in a plane: those of a volume slice by slice, from left to right and from top to bottom. */
export class CellPlane {
  /** @type {number[]} the place in the plane of each cell */
  #places = [];

  /** @param {Cells} cells */
  constructor(cells) {
    const [rows, columns] = cells.slice(-2);
    const depth = cells.length > 2 ? cells[0] : 1;
    const across = Math.ceil(Math.sqrt(depth));
    const gap = depth > 1 ? 1 : 0;
    this.height = Math.ceil(depth / across) * (rows + gap) - gap;
    this.width = across * (columns + gap) - gap;
    for (let slice = 0; slice < depth; slice++) {
      const top = Math.floor(slice / across) * (rows + gap);
      const left = (slice % across) * (columns + gap);
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          this.#places.push((top + row) * this.width + left + column);
        }
      }
    }
  }

  /**
   * The values of cells as a map; what lies between slices has none.
   * @param {Float32Array} values
   */
  laidOut(values) {
    const map = new Float32Array(this.height * this.width).fill(NaN);
    this.#places.forEach((place, cell) => {
      map[place] = values[cell];
    });
    return map;
  }

  /**
   * Where a cell begins, in cells of the plane.
   * @param {number} cell
   * @returns {[row: number, column: number]}
   */
  at(cell) {
    const place = this.#places[cell];
    return [Math.floor(place / this.width), place % this.width];
  }

  /**
   * The cell under the pointer; undefined between slices.
   * @param {PointerEvent} event
   * @param {HTMLCanvasElement} canvas
   * @returns {number | undefined}
   */
  under(event, canvas) {
    const box = canvas.getBoundingClientRect();
    /** @param {number} offset @param {number} size @param {number} n */
    const index = (offset, size, n) => Math.min(n - 1, Math.max(0, Math.floor((offset / size) * n)));
    const row = index(event.clientY - box.top, box.height, this.height);
    const cell = this.#places.indexOf(row * this.width + index(event.clientX - box.left, box.width, this.width));
    return cell < 0 ? undefined : cell;
  }
}

/**
 * Importance over the input at some updates of a run, all on one scale.
 * @param {Run} run
 * @param {{title: string, epoch: number, values: Float32Array}[]} list
 * @param {Cells} cells
 * @param {string[]} names
 * @param {number} spare
 */
export function importanceMaps(run, list, cells, names, spare) {
  const hi = Math.max(...list.map(({ values }) => largest(values))) || 1;
  const figures = list.map(({ title, epoch, values }) =>
    mapFigure(title, named(run, epoch), cells, { values, hi, map: "sequential" }, spare, (cell) => {
      return `${names[cell]}\n${rankWords(values, cell)}`;
    }),
  );
  return h("div", { class: "maps" }, figures);
}

/**
 * What changed between two rows of shares, as a map of its own.
 * @param {Float32Array} before
 * @param {Float32Array} after
 * @param {Cells} cells
 * @param {string[]} names
 * @param {string} note
 * @param {number} spare
 */
export function changeFigure(before, after, cells, names, note, spare) {
  const change = after.map((value, i) => value - before[i]);
  const hi = largest(change.map(Math.abs)) || 1e-6;
  const figure = mapFigure("Change", note, cells, { values: change, hi, signed: true }, spare, (cell) => {
    const words = Number.isFinite(change[cell]) ? `${signed(100 * change[cell], 2)} points` : "not measured";
    return `${names[cell]}\n${words}`;
  });
  return { figure, scale: legend("diverging", `−${percent(hi)}`, `+${percent(hi)}`) };
}

/**
 * One map of cells with its caption and the exact value under the pointer.
 * @param {string} title
 * @param {string} note
 * @param {Cells} cells
 * @param {{values: Float32Array, hi: number, signed?: boolean, map?: ColourMap}} colouring
 * @param {number} spare pixels that the page has more
 * @param {(cell: number) => string} say
 */
function mapFigure(title, note, cells, colouring, spare, say) {
  const plane = new CellPlane(cells);
  const { height, width } = plane;
  const values = plane.laidOut(colouring.values);
  const canvas = h("canvas", { class: "thumb", role: "img", "aria-label": `${title}, ${note}` });
  draw(canvas, { height, width, size: MAP_SIZE + spare / 2, ratio: height / width, ...colouring, values });
  hatch(canvas, colouring.values, plane);
  hint(canvas, (event) => {
    const cell = plane.under(event, canvas);
    return cell === undefined ? "" : say(cell);
  });
  return h("figure", {}, canvas, h("figcaption", {}, h("b", {}, title), note));
}

/**
 * Strokes over the cells that have no value.
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} values
 * @param {CellPlane} plane
 */
function hatch(canvas, values, plane) {
  const context = context2d(canvas);
  const [width, height] = [canvas.width / plane.width, canvas.height / plane.height];
  context.strokeStyle = token("line-strong");
  values.forEach((value, i) => {
    if (Number.isFinite(value)) return;
    const [row, column] = plane.at(i);
    const [x, y] = [column * width, row * height];
    context.save();
    context.beginPath();
    context.rect(x, y, width, height);
    context.clip();
    context.beginPath();
    for (let shift = -height; shift < width; shift += 5) {
      context.moveTo(x + shift, y + height);
      context.lineTo(x + shift + height, y);
    }
    context.stroke();
    context.restore();
  });
}
