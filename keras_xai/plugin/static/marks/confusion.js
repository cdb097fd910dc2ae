/** The confusion matrix: a table whose cells lead to their rows. */
import { cellKey, chosenCell, isSame, nameOf } from "../core/cells.js";
import { at, legend, table } from "../core/colour.js";
import { clip, h, panel, percent, thousands } from "../core/dom.js";
import { set } from "../core/state.js";

const DARK = 0.18; // luminance below which white is read better than black
const WITH_SHARES = 6; // classes up to which a cell has room for its share
const DENSE = 12; // classes above which names stand upright
const LETTERS = 18; // of the name of a row
const HEIGHTS = [
  [4, 64],
  [6, 48],
  [12, 32],
  [Infinity, 20],
]; // pixels of a row, up to so many classes

/**
 * @param {Predictions} answer
 * @param {number} label
 * @param {string} span
 */
export function matrixPanel(answer, label, span) {
  const matrix = answer.matrices[answer.answer === "labels" ? label : 0];
  if (!matrix) return null;
  const names = matrix.classes.map((index) => nameOf(answer, label, index));
  const dense = names.length > DENSE;
  const head = names.map((name) => h("th", { scope: "col", title: name }, h("span", {}, clip(name, dense ? 11 : 24))));
  const rows = matrix.classes.map((_, row) => rowOf(answer, label, matrix, names, row));
  const corner = h("td", { class: "note" }, "true ↓ predicted →");
  const drawn = h("table", { class: dense ? "confusion dense" : "confusion" }, h("tr", {}, corner, head), rows);
  const threshold = answer.binary || answer.answer === "labels" ? h("span", {}, "threshold 0.5") : null;
  const note = [threshold, legend("sequential", "0 %", "100 % of the row")];
  const about = { help: "confusion", note, csv: () => cellNumbers(matrix, names), figure: figureOf(answer, label) };
  return panel(span, titleOf(answer, label, names.length), about, h("div", { class: "confusion-frame" }, drawn));
}

/**
 * The figure of the notebook that draws it.
 * @param {Predictions} answer
 * @param {number} label
 */
function figureOf(answer, label) {
  const epoch = answer.epoch ?? undefined;
  return answer.answer === "labels" ? { name: "confusion", epoch, label } : { name: "confusion", epoch };
}

/**
 * One row a cell.
 * @param {ConfusionMatrix} matrix
 * @param {string[]} names
 * @returns {NumberTable}
 */
function cellNumbers({ counts, shares }, names) {
  const rows = counts.flatMap((row, truth) =>
    row.map((number, predicted) => [names[truth], names[predicted], number, shares[truth][predicted]]),
  );
  return { columns: ["true", "predicted", "count", "share of the true class"], rows };
}

/**
 * @param {Predictions} answer
 * @param {number} label
 * @param {number} shown classes that have a row
 */
function titleOf(answer, label, shown) {
  if (answer.answer === "labels") return `Confusion matrix: ${answer.names[label]}`;
  if (shown === answer.classes) return "Confusion matrix";
  return `Confusion matrix (${shown} of ${thousands(answer.classes)} classes)`;
}

/**
 * @param {Predictions} answer
 * @param {number} label
 * @param {ConfusionMatrix} matrix
 * @param {string[]} names
 * @param {number} row
 */
function rowOf(answer, label, matrix, names, row) {
  const chosen = chosenCell(answer, label);
  const height = HEIGHTS.find(([classes]) => names.length <= classes)?.[1] ?? 20;
  const cells = matrix.counts[row].map((number, column) => {
    const cell = { true: matrix.classes[row], predicted: matrix.classes[column] };
    const share = matrix.shares[row][column];
    const text = number ? thousands(number) : "";
    const words = `${thousands(number)} ${percent(share)} of ${names[row]} read as ${names[column]}`;
    const under = number && names.length <= WITH_SHARES ? [" ", h("small", {}, percent(share))] : null;
    return h("td", {}, cellButton(cell, share, words, isSame(cell, chosen), height, [text, under]));
  });
  return h("tr", {}, h("th", { scope: "row", title: names[row] }, clip(names[row], LETTERS)), cells);
}

/**
 * Black or white, whichever is read better on the colour of a share.
 * @param {number} share
 */
function inkOn(share) {
  const [r, g, b] = table("sequential")[Math.round(255 * Math.min(1, share))].map((part) => (part / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b < DARK ? "#fff" : "#000";
}

/**
 * @param {Cell} cell
 * @param {number} share of the true class
 * @param {string} words
 * @param {boolean} pressed
 * @param {number} height
 * @param {Child} content
 */
function cellButton(cell, share, words, pressed, height, content) {
  const style = { background: at("sequential", share), color: inkOn(share), height: `${height}px` };
  const attributes = {
    type: "button",
    style,
    title: words,
    "aria-label": words,
    "aria-pressed": String(pressed),
    "data-key": `cell ${cellKey(cell)}`,
    onclick: () => set({ cell: pressed ? "" : cellKey(cell) }),
  };
  return h("button", attributes, content);
}
