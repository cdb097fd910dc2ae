/** Weight gradients: layer × epoch at a glance; a variable opens its lines, its histogram ridge and its update ratio. */
import { chart, figureBehind } from "../core/chart.js";
import { legend, runColour } from "../core/colour.js";
import { group } from "../core/controls.js";
import { absent, h, key, message, panel, position } from "../core/dom.js";
import { set, state } from "../core/state.js";
import { filterBox, foundRows, ranges } from "../core/filter.js";
import { moment } from "../core/updates.js";
import { BaseView } from "./view.js";

const PART = "keras_xai/weight_gradients";
const VARIABLES_TOLD_APART = 40; // of more the rows are layers, unless they were chosen otherwise
const CHART_HEIGHT = 208;
const ROWS_FILTERED = 8; // of more there is a filter
const MATCHES = 200; // that are listed

export class WeightGradientsView extends BaseView {
  /** @param {RunContext} context */
  settingsKey({ run }) {
    return [run.variables.length, run.layers.length].join();
  }

  /**
   * @param {RunContext} context
   * @param {import("../core/controls.js").SettingsRail} rail
   */
  settings({ run }, rail) {
    const groups = [];
    if (run.variables.length) {
      const sizes = rail.segments("statistic", "Statistic", [
        ["rms", "RMS"],
        ["max", "Max"],
        ["update_ratio", "Update"],
      ]);
      const faults = rail.segments("statistic", "Statistic", [
        ["zero_fraction", "Zeros"],
        ["nonfinite", "Non-finite"],
      ]);
      groups.push(group("Statistic", sizes, faults));
    }
    if (run.layers.length) {
      const rows = rail.segments(
        "by",
        "Rows",
        [
          ["variables", "Variables"],
          ["layers", "Layers"],
        ],
        rowsOf(run),
      );
      groups.push(group("Rows", rows));
    }
    return groups;
  }

  /**
   * @param {HTMLElement} root
   * @param {RunContext} context
   */
  draw(root, context) {
    const { run } = context;
    const unread = run.passed_over[PART] ?? "";
    if (!run.variables.length) {
      const nothing = unread
        ? message("The weight gradients could not be read", unread)
        : absent(run, "WeightGradients", "This run wrote no weight gradients", "kx.WeightGradients(log_dir)");
      root.append(nothing);
      return;
    }
    const by = rowsOf(run);
    const variable = chosenRow(run[by]);
    const panels = [
      heatMapPanel(context, by, variable),
      healthNote(context, unread),
      ...variablePanels(context, variable, by),
      run.has_critical_step ? criticalStepPanel(context) : null,
    ];
    root.append(h("div", { class: "grid" }, panels));
  }
}

/**
 * What a row of the heat map stands for.
 * @param {Run} run
 * @returns {"variables" | "layers"}
 */
function rowsOf(run) {
  if (!run.layers.length) return "variables";
  if (state.by === "variables" || state.by === "layers") return state.by;
  return run.variables.length > VARIABLES_TOLD_APART ? "layers" : "variables";
}

/**
 * The row that was chosen, or the layer of the variable that was, or a variable of the layer; else the first.
 * @param {string[]} rows
 */
function chosenRow(rows) {
  const { variable } = state;
  if (rows.includes(variable)) return variable;
  return rows.find((row) => variable.startsWith(`${row}/`) || row.startsWith(`${variable}/`)) ?? rows[0];
}

/**
 * Rows of twenty pixels, higher ones in a tall window; many variables share what a screen has.
 * @param {number} rows
 * @param {number} spare
 */
const heightOf = (rows, spare) => 28 + rows * Math.max(1.5, Math.min(20 + spare / 6, (420 + spare) / rows));

/** @param {Vocabulary} vocabulary */
const statisticOf = ({ statistics }) => (statistics[state.statistic] ? state.statistic : "rms");

/**
 * @param {RunContext} context
 * @param {"variables" | "layers"} by
 * @param {string} variable
 */
function heatMapPanel(context, by, variable) {
  const { run, epoch, vocabulary } = context;
  const statistic = statisticOf(vocabulary);
  const title = vocabulary.statistics[statistic];
  const found = foundRows("layerFilter", run[by]);
  const parameters = heatMapParameters(context, by);
  const finder = layerFinder(run[by], found, variable);
  if (found && !found.length) return panel("c12", title, { help: "heat_map" }, finder);
  const scale = figureBehind(context, "heat_map", parameters, false)?.layout.meta?.scale;
  const recorded = run.gradient_epochs[position(run.gradient_epochs, epoch)];
  const when = recorded === epoch ? "" : `, recorded at ${moment(run, recorded)}`;
  const note = [
    h("span", {}, `training gradients, before clipping${when}`),
    scale && legend(scale.map, scale.low, scale.high),
  ];
  const heatMap = chart(context, "heat_map", {
    parameters,
    overlays: false,
    chosen: variable,
    label: `${title} by ${by === "layers" ? "layer" : "variable"} and ${run.unit}`,
    onrow: (row) => ({ variable: row }),
    height: heightOf(found?.length ?? run[by].length, context.spare),
  });
  return panel("c12", title, { help: "heat_map", note }, finder, heatMap);
}

/**
 * The figure of the rows that the filter finds.
 * @param {RunContext} context
 * @param {"variables" | "layers"} by
 * @returns {Query}
 */
function heatMapParameters({ run, vocabulary }, by) {
  const found = foundRows("layerFilter", run[by]);
  return { statistic: statisticOf(vocabulary), by, only: found?.length ? ranges(found) : undefined };
}

/**
 * The box that finds rows, and the names of those that it found, to choose from.
 * @param {string[]} names of all rows
 * @param {number[] | null} found
 * @param {string} variable that is chosen
 */
function layerFinder(names, found, variable) {
  if (names.length <= ROWS_FILTERED && !found) return null;
  const box = filterBox("layerFilter", "Filter layers").count(found?.length ?? names.length, names.length);
  const finder = h("div", { class: "finder" }, box);
  if (!found) return finder;
  const items = found.slice(0, MATCHES).map((row) => {
    const attributes = {
      type: "button",
      "aria-pressed": String(names[row] === variable),
      "data-key": `layer ${names[row]}`,
      onclick: () => set({ variable: names[row] }),
    };
    return h("li", {}, h("button", attributes, names[row]));
  });
  const more = found.length > MATCHES ? h("li", { class: "note" }, `and ${found.length - MATCHES} more`) : null;
  const none = found.length ? null : h("li", { class: "note" }, "No layer is found.");
  return h("div", {}, finder, h("ul", { class: "matches", "aria-label": "Layers that are found" }, items, more, none));
}

/**
 * The flags in words; the first sentence of a health report is its alarm.
 * @param {RunContext} context
 * @param {string} unread
 */
function healthNote({ server, run, name, epoch }, unread) {
  const health = server.read("summary", { run: name, epoch }, run.stamp)?.health ?? "";
  const damage = unread && ` ${unread}.`;
  if (!health || health.startsWith("No flag")) return h("p", { class: "note c12" }, health, damage);
  const end = health.indexOf(". ") + 1 || health.length;
  return h("p", { class: "note c12" }, h("b", { class: "alarm" }, health.slice(0, end)), health.slice(end), damage);
}

/**
 * One variable's lines, its distribution and its update ratio.
 * @param {RunContext} context
 * @param {string} variable
 * @param {"variables" | "layers"} by
 */
function variablePanels(context, variable, by) {
  const colour = runColour(context.place(context.name));
  const height = CHART_HEIGHT + 1.25 * context.spare;
  const parameters = heatMapParameters(context, by);
  const { rows, labels } = figureBehind(context, "heat_map", parameters, false)?.layout.meta ?? {};
  const name = labels?.[rows?.indexOf(variable) ?? -1] ?? variable;
  const lines = chart(context, "variable_lines", {
    parameters: { variable },
    overlays: false,
    height,
    label: `RMS and largest gradient of ${variable} over ${context.run.unit}s`,
  });
  const ridge = chart(context, "ridge", {
    parameters: { variable, epoch: context.epoch },
    overlays: false,
    height,
    label: `Distribution of the gradients of ${variable} over ${context.run.unit}s`,
  });
  const ratio = chart(context, "update_ratio", {
    parameters: { variable },
    height,
    label: `Update-to-weight ratio of ${variable} over ${context.run.unit}s`,
  });
  return [
    panel(
      "c4",
      h("span", { title: variable }, name),
      { help: "variable_lines", note: [key("RMS", colour), key("max", colour, "dotted")] },
      lines,
    ),
    panel("c4", `Distribution over ${context.run.unit}s`, { help: "ridge", note: "|gradient|, log₂ bins" }, ridge),
    panel("c4", "Update-to-weight ratio", { help: "update_ratio", note: "guide at 10⁻³" }, ratio),
  ];
}

/**
 * How far the sampled steps could have gone, with what that says.
 * @param {RunContext} context
 */
function criticalStepPanel(context) {
  const { server, run, name, epoch } = context;
  const words = server.read("summary", { run: name, epoch }, run.stamp)?.pace ?? "";
  const steps = chart(context, "critical_step", {
    height: CHART_HEIGHT + 1.25 * context.spare,
    label: `Critical step over ${run.unit}s`,
  });
  return panel("c12", "Critical step", { help: "critical_step", note: words }, steps);
}
