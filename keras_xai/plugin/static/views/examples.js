/** The rows of the probe behind the predictions: those of a cell of the confusion matrix, or those that are sure and wrong. */
import { chosenCell, nameOf } from "../core/cells.js";
import { shortest } from "../core/csv.js";
import { clip, h, panel, percent, short, thousands } from "../core/dom.js";
import { set } from "../core/state.js";
import { figures } from "../marks/prediction_tables.js";
import { linkToSample } from "./links.js";

const LISTED = 40; // rows, at most
const LETTERS = 20; // of the name of a class

/**
 * Rows under their title.
 * @typedef {object} Examples
 * @property {string} title
 * @property {number[]} rows indices of recorded rows
 * @property {string} order how they are sorted, in words
 */

/**
 * The rows of the chosen cell, the surest first; without one those with the largest loss among the wrong.
 * @param {RunContext} context
 * @param {Predictions} answer
 * @param {number} label
 * @param {string} span
 */
export function examplesPanel(context, answer, label, span) {
  const cell = chosenCell(answer, label);
  const { title, rows, order } = cell ? rowsOfCell(answer, label, cell) : rowsOfLoss(answer, label);
  const leave = () => set({ cell: "" });
  const back = h(
    "button",
    { type: "button", class: "link", "data-key": "examples", onclick: leave },
    "← all that are wrong",
  );
  const words = whyNone(answer, rows.length);
  if (words) return panel(span, title, { help: "examples", note: cell && back }, h("p", { class: "note" }, words));
  const lines = rows.slice(0, LISTED).map((index) => exampleRow(context, answer, label, index));
  const left = rows.length - lines.length;
  const more = left > 0 ? h("p", { class: "note" }, `and ${thousands(left)} more`) : null;
  const about = {
    help: "examples",
    note: [cell && back, h("span", {}, order)],
    csv: () => exampleNumbers(answer, label, rows),
  };
  return panel(span, title, about, figures(columnsOf(answer), lines, "tall"), more);
}

/**
 * All rows of the list, not the drawn ones alone.
 * @param {Predictions} answer
 * @param {number} label
 * @param {number[]} rows
 * @returns {NumberTable}
 */
function exampleNumbers(answer, label, rows) {
  const numbers = answer.answer === "value";
  /** @param {number} value */
  const written = (value) => {
    if (Number.isNaN(value)) return null;
    return numbers ? shortest(value) : nameOf(answer, label, value);
  };
  const lines = rows.map((index) => {
    const [truth, predicted] = [answer.true, answer.prediction].map((tensor) => valueOf(tensor, index, label));
    const row = [answer.row?.data[index] ?? index, written(truth), written(predicted)];
    return numbers ? row : [...row, shortest(valueOf(answer.probability, index, label))];
  });
  return { columns: ["row", "true", "predicted", ...(numbers ? [] : ["probability"])], rows: lines };
}

/**
 * What is said in place of rows; "" where there are some.
 * @param {Predictions} answer
 * @param {number} rows
 */
function whyNone(answer, rows) {
  if (answer.unit)
    return `The counts are of all ${answer.unit}s of the probe: which rows stand behind a cell is not recorded.`;
  if (!answer.stored) return "The labels of the rows are not recorded: the probe is not stored (store='none').";
  if (!answer.prediction) return "The predictions are too many to be recorded one by one.";
  if (!answer.true && answer.answer !== "class") return "The probe has no labels: nothing is right or wrong.";
  return rows ? "" : "None.";
}

/**
 * @param {Predictions} answer
 * @param {number} label
 * @param {Cell} cell
 * @returns {Examples}
 */
function rowsOfCell(answer, label, cell) {
  const [truth, predicted] = [cell.true, cell.predicted].map((index) => nameOf(answer, label, index));
  const rows = indices(answer).filter((index) => {
    return (
      valueOf(answer.true, index, label) === cell.true && valueOf(answer.prediction, index, label) === cell.predicted
    );
  });
  const title = cell.true === cell.predicted ? `${truth}, rightly` : `${truth} read as ${predicted}`;
  return { title, rows: sorted(rows, (index) => sureness(answer, label, index)), order: "surest first" };
}

/**
 * The rows that are wrong, or of a probe without labels those that are least sure.
 * @param {Predictions} answer
 * @param {number} label
 * @returns {Examples}
 */
function rowsOfLoss(answer, label) {
  const all = indices(answer);
  /** @param {number} index */
  const distance = (index) => Math.abs(valueOf(answer.prediction, index, label) - valueOf(answer.true, index, label));
  if (answer.answer === "value") {
    const rows = all.filter((index) => Number.isFinite(distance(index)));
    return { title: "Largest errors", rows: sorted(rows, distance), order: "" };
  }
  if (!answer.true) {
    const order = sorted(all, (index) => -sureness(answer, label, index));
    return { title: "Least certain", rows: order, order: "least certain first" };
  }
  const wrong = all.filter((index) => distance(index) > 0);
  return {
    title: "Sure and wrong",
    rows: sorted(wrong, (index) => sureness(answer, label, index)),
    order: "surest first",
  };
}

/** @param {Predictions} answer */
const indices = (answer) => Array.from(answer.row?.data ?? [], (_, index) => index);

/**
 * The rows with the largest key first, in the order of the probe where it is the same.
 * @param {number[]} rows
 * @param {(index: number) => number} key
 */
const sorted = (rows, key) => [...rows].sort((a, b) => key(b) - key(a) || a - b);

/**
 * The probability of the prediction of a row: of one label of several that of what is predicted of it.
 * @param {Predictions} answer
 * @param {number} label
 * @param {number} index
 */
function sureness(answer, label, index) {
  const probability = valueOf(answer.probability, index, label);
  if (!Number.isFinite(probability)) return -1;
  return answer.answer === "labels" ? Math.max(probability, 1 - probability) : probability;
}

/**
 * The value of a row, in the column of a label.
 * @param {FloatTensor | IntTensor | undefined} tensor (B) or (B, K)
 * @param {number} index
 * @param {number} label
 */
function valueOf(tensor, index, label) {
  if (!tensor) return NaN;
  const width = tensor.shape.length > 1 ? tensor.shape[1] : 1;
  return tensor.data[index * width + (width > 1 ? label : 0)];
}

/** @param {Predictions} answer */
function columnsOf(answer) {
  if (answer.answer === "value") return ["row", "predicted", "true", "residual"];
  return answer.true ? ["row", "true", "read as", "certainty"] : ["row", "read as", "certainty"];
}

/**
 * @param {RunContext} context
 * @param {Predictions} answer
 * @param {number} label
 * @param {number} index
 */
function exampleRow({ run }, answer, label, index) {
  const number = answer.row?.data[index] ?? index;
  const truth = valueOf(answer.true, index, label);
  const predicted = valueOf(answer.prediction, index, label);
  const name = h("td", {}, rowName(run, answer, number));
  /** @param {string} text @param {boolean} [alarm] */
  const cell = (text, alarm = false) => h("td", { class: alarm ? "alarm" : null, title: text }, clip(text, LETTERS));
  if (answer.answer === "value") {
    const residual = short(predicted - truth);
    return h(
      "tr",
      {},
      name,
      cell(short(predicted)),
      cell(short(truth)),
      cell(predicted < truth ? residual : `+${residual}`),
    );
  }
  const known = answer.true ? cell(nameOf(answer, label, truth)) : null;
  const read = cell(nameOf(answer, label, predicted), Boolean(answer.true) && predicted !== truth);
  return h("tr", {}, name, known, read, cell(percent(Math.max(0, sureness(answer, label, index)))));
}

/**
 * The number of a row of the probe; where the gallery shows it, a way to its maps.
 * @param {Run} run
 * @param {Predictions} answer
 * @param {number} number
 */
function rowName(run, answer, number) {
  const sample = answer.gallery.indexOf(number);
  if (sample < 0 || !run.methods.length) return `row ${number}`;
  const onclick = () => set(linkToSample(sample));
  return h("button", { type: "button", class: "link", "data-key": `example ${number}`, onclick }, `row ${number} →`);
}
