/** Tables of the predictions: metrics by class or label, confusions, errors, slices. */
import { cellKey, nameOf } from "../core/cells.js";
import { clip, h, panel, percent, short, thousands } from "../core/dom.js";
import { set, state } from "../core/state.js";

/** The metrics of a class, with their titles. @type {["precision" | "recall" | "f1", string][]} */
const METRICS = [
  ["precision", "precision"],
  ["recall", "recall"],
  ["f1", "F1"],
];
const LETTERS = 12; // of the name of a class in a pair
const BAR = 56; // pixels of the longest bar
const ROWS_OF_METRICS = 200; // that the server sends, at most

/**
 * A share; none at all is not two digits of nothing.
 * @param {number | null} share
 */
const shareText = (share) => (share === 0 ? "0\u00a0%" : percent(share ?? NaN));

/**
 * A table of figures; what does not fit is scrolled.
 * @param {string[]} titles
 * @param {HTMLElement[]} rows
 * @param {string} [kind] a class
 */
export function figures(titles, rows, kind = "") {
  const head = titles.map((title) => h("th", { scope: "col" }, title));
  const frame = { class: `figures-frame ${kind}`, tabindex: rows.length > 8 ? 0 : null };
  return h("div", frame, h("table", { class: "figures" }, h("tr", {}, head), rows));
}

/**
 * A row of a table.
 * @param {Child} name
 * @param {string[]} cells
 * @param {boolean} [chosen]
 */
const line = (name, cells, chosen = false) =>
  h(
    "tr",
    { class: chosen ? "chosen" : null },
    h("td", { title: typeof name === "string" ? name : null }, name),
    cells.map((text) => h("td", {}, text)),
  );

/**
 * Precision, recall, F1 and support by class or label; a label leads to its matrix.
 * @param {Predictions} answer
 * @param {number} label
 * @param {string} span
 */
export function metricsPanel(answer, label, span) {
  const labels = answer.answer === "labels";
  const rows = answer.metrics.map((row) => {
    const name = answer.names[row.index] ?? String(row.index);
    const shares = METRICS.map(([metric]) => shareText(row[metric]));
    return line(
      labels ? labelButton(row.index, name) : name,
      [...shares, thousands(row.support)],
      labels && row.index === label,
    );
  });
  const titles = [labels ? "label" : "class", ...METRICS.map(([, title]) => title), "support"];
  const note = rows.length === ROWS_OF_METRICS ? `the lowest ${ROWS_OF_METRICS} F1` : "";
  const about = { help: "class_metrics", note, csv: () => metricNumbers(answer, titles) };
  return panel(span, "Precision, recall and F1", about, figures(titles, rows));
}

/**
 * @param {Predictions} answer
 * @param {string[]} columns
 * @returns {NumberTable}
 */
const metricNumbers = (answer, columns) => ({
  columns,
  rows: answer.metrics.map((row) => [answer.names[row.index], row.precision, row.recall, row.f1, row.support]),
});

/**
 * @param {Predictions} answer
 * @returns {NumberTable}
 */
const confusionNumbers = (answer) => ({
  columns: ["true", "predicted", "count"],
  rows: answer.confusions.map((pair) => [nameOf(answer, 0, pair.true), nameOf(answer, 0, pair.predicted), pair.count]),
});

/**
 * @param {number} index
 * @param {string} name
 */
function labelButton(index, name) {
  const onclick = () => set({ label: String(index), cell: "" });
  return h("button", { type: "button", class: "link", "data-key": `label ${index}`, title: name, onclick }, name);
}

/**
 * The pairs of classes that are most often confused: of many classes the matrix has no room for all.
 * @param {Predictions} answer
 * @param {string} span
 */
export function confusionsPanel(answer, span) {
  if (!answer.confusions.length) return null;
  const largest = answer.confusions[0].count;
  const rows = answer.confusions.map((confusion) => {
    const names = [confusion.true, confusion.predicted].map((index) => nameOf(answer, 0, index));
    const words = names.map((name) => clip(name, LETTERS)).join(" → ");
    const key = cellKey(confusion);
    const pressed = state.cell === key;
    const onclick = () => set({ cell: pressed ? "" : key });
    const button = {
      type: "button",
      class: "link",
      title: names.join(" → "),
      "data-key": `pair ${key}`,
      "aria-pressed": String(pressed),
      onclick,
    };
    const bar = h("i", {
      class: "bar-in-row",
      style: { width: `${((BAR * confusion.count) / largest).toFixed(1)}px` },
    });
    const count = h("td", { class: "counted" }, bar, ` ${thousands(confusion.count)}`);
    return h("tr", { class: pressed ? "chosen" : null }, h("td", {}, h("button", button, words)), count);
  });
  const about = { help: "confusions", csv: () => confusionNumbers(answer) };
  return panel(
    span,
    "Largest confusions",
    about,
    figures(["true → predicted", answer.unit ? `${answer.unit}s` : "rows"], rows),
  );
}

/**
 * Of a probe without labels: how often each class is predicted, and how surely.
 * @param {Predictions} answer
 * @param {string} span
 */
export function predictedPanel(answer, span) {
  if (!answer.predicted.length) return null;
  const total = answer.row?.data.length ?? answer.size;
  const rows = answer.predicted.map(({ index, count, certainty }) => {
    return line(nameOf(answer, 0, index), [thousands(count), shareText(count / total), shareText(certainty)]);
  });
  const titles = ["class", "rows", "share", "mean certainty"];
  const csv = () => ({
    columns: ["class", "rows", "mean certainty"],
    rows: answer.predicted.map(({ index, count, certainty }) => [nameOf(answer, 0, index), count, certainty]),
  });
  const about = { help: "predicted_classes", note: "the probe has no labels", csv };
  return panel(span, "Predicted classes", about, figures(titles, rows));
}

/**
 * Accuracy, confidence and loss in the rows of each value of the probe's slices.
 * @param {Predictions} answer
 */
export function slicesPanel(answer) {
  if (!answer.slices.length) return null;
  const numbers = answer.answer === "value";
  const rows = answer.slices.map((row) => {
    const shares = numbers ? [] : [shareText(row.accuracy), shareText(row.confidence)];
    return line(`${row.slice} = ${row.value}`, [...shares, short(row.loss ?? NaN), thousands(row.rows)]);
  });
  const titles = ["slice", ...(numbers ? ["mean squared error"] : ["accuracy", "confidence", "loss"]), "rows"];
  const note = numbers ? "" : "confidence: mean probability of the true class; loss: mean −ln of it";
  const csv = () => ({
    columns: ["slice", "value", "accuracy", "confidence", "loss", "rows"],
    rows: answer.slices.map((row) => [row.slice, row.value, row.accuracy, row.confidence, row.loss, row.rows]),
  });
  return panel("c12", "Slices of the probe", { help: "slice_metrics", note, csv }, figures(titles, rows, "narrow"));
}

/**
 * The errors of every output of numbers.
 * @param {Predictions} answer
 * @param {number} label
 * @param {string} span
 */
export function errorsPanel(answer, label, span) {
  if (!answer.errors.length) return null;
  const several = answer.classes > 1;
  const rows = answer.errors.map((row, index) => {
    const name = answer.names[index] ?? `output ${index}`;
    const numbers = [row.rmse, row.mae, row.r2].map((value) => short(value ?? NaN));
    return line(
      several ? labelButton(index, name) : name,
      [...numbers, thousands(row.count)],
      several && index === label,
    );
  });
  const titles = ["output", "RMSE", "MAE", "R²", "rows"];
  const csv = () => ({
    columns: titles,
    rows: answer.errors.map((row, index) => [answer.names[index], row.rmse, row.mae, row.r2, row.count]),
  });
  return panel(span, "Errors", { help: "errors", csv }, figures(titles, rows));
}
