/** The cells of a confusion matrix: how they are named, and which one is chosen. */
import { state } from "./state.js";

/** @param {Cell} cell */
export const cellKey = (cell) => `${cell.true},${cell.predicted}`;

/**
 * @param {Cell} cell
 * @param {Cell | null} other
 */
export const isSame = (cell, other) => other !== null && cellKey(cell) === cellKey(other);

/**
 * The cell that was chosen, where the matrix has it.
 * @param {Predictions} answer
 * @param {number} label
 * @returns {Cell | null}
 */
export function chosenCell(answer, label) {
  if (!state.cell || !answer.matrices[answer.answer === "labels" ? label : 0]) return null;
  const [truth, predicted] = state.cell.split(",").map(Number);
  const classes = answer.answer === "labels" ? 2 : answer.classes;
  return truth < classes && predicted < classes ? { true: truth, predicted } : null;
}

/**
 * The name of a class; of one label of several the label, or that it is not so.
 * @param {Predictions} answer
 * @param {number} label
 * @param {number} index
 */
export function nameOf(answer, label, index) {
  if (index < 0) return "not finite";
  if (answer.answer !== "labels") return answer.names[index] ?? String(index);
  return index ? answer.names[label] : `not ${answer.names[label]}`;
}
