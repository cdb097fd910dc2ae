/** The training rows that taught the model most of a row of the probe, and those that spoilt it. */
import { h } from "../core/dom.js";
import { named } from "../core/updates.js";

/**
 * The strongest live rows on either side up to the epoch; nothing where they were not recorded, or have not come yet.
 * @param {RunContext} context
 * @param {number} row of the probe
 */
export function taughtBy({ server, name, run, epoch }, row) {
  if (!run.influence || epoch < 0) return null;
  const parameters = { run: name, row, epoch };
  const taught = server.read("influence", parameters, run.stamp);
  if (!taught) return server.refusal("influence", parameters) ? null : h("p", { class: "note" }, "Reading …");
  const sum = taught.checkpoints > 1 ? `, a sum over ${taught.checkpoints} updates to ${named(run, epoch)}` : "";
  const note = `The live rows that taught the model most of this sample, in layer ${taught.layer}${sum}.`;
  return h(
    "div",
    { class: "taught" },
    h("p", { class: "note" }, note),
    h(
      "div",
      { class: "sides" },
      side("Proponents", "pull it to its label", taught.proponents),
      side("Opponents", "pull it away: look at their labels", taught.opponents),
    ),
    h(
      "p",
      { class: "note" },
      "A row's number is its place in live=, counted from 0; inputs of live rows are not stored.",
    ),
  );
}

/**
 * @param {string} title
 * @param {string} meaning
 * @param {TaughtRow[]} rows
 */
function side(title, meaning, rows) {
  const head = h("caption", {}, h("b", {}, title), ` ${meaning}`);
  if (!rows.length) return h("table", {}, head, h("tr", {}, h("td", {}, "none")));
  const titles = ["training row", "label", "influence"].map((words) => h("th", { scope: "col" }, words));
  const lines = rows.map(({ row, label, score }) =>
    h("tr", {}, h("td", {}, String(row)), h("td", { title: label }, label || "–"), h("td", {}, score)),
  );
  return h("table", {}, head, h("tr", {}, titles), lines);
}
