/** Weight gradients: layer × epoch at a glance; a variable opens its lines, its histogram ridge and its update ratio. */
import { ask } from "./api.js";
import { chart, figureBehind } from "./chart.js";
import { legend, runColour } from "./colour.js";
import { group, segments } from "./controls.js";
import { absent, h, key, message, panel, position } from "./dom.js";
import { state } from "./state.js";

const TITLES = {
  rms: "Root mean square of the gradient",
  max: "Largest gradient",
  update_ratio: "Update-to-weight ratio a step",
  zero_fraction: "Fraction of gradients that are exactly zero",
  nonfinite: "Gradients that are NaN or infinite",
};

export function weightGradients(root, context) {
  const { run, name, epoch } = context;
  const unread = run.passed_over["keras_xai/weight_gradients"] ?? "";
  if (!run.variables.length && unread) return root.append(message("The weight gradients could not be read", unread));
  if (!run.variables.length)
    return root.append(
      absent(run, "WeightGradients", "This run wrote no weight gradients", "kx.WeightGradients(log_dir)"),
    );
  const statistic = TITLES[state.statistic] ? state.statistic : "rms";
  const by = rowsOf(run);
  const rows = run[by];
  const variable = rows.includes(state.variable)
    ? state.variable
    : (rows.find((row) => state.variable.startsWith(`${row}/`) || row.startsWith(`${state.variable}/`)) ?? rows[0]);
  const { scale, rows: named, labels } = figureBehind(context, "heat_map", { statistic, by }, false)?.layout.meta ?? {};
  const recorded = run.gradient_epochs[position(run.gradient_epochs, epoch)];
  const when = recorded === epoch ? "" : `, recorded at epoch ${recorded}`;
  const heat = panel(
    "c12",
    TITLES[statistic],
    [h("span", {}, `training gradients, before clipping${when}`), scale && legend(scale.map, scale.low, scale.high)],
    chart(context, "heat_map", {
      parameters: { statistic, by },
      overlays: false,
      chosen: variable,
      label: `${TITLES[statistic]} by ${by === "layers" ? "layer" : "variable"} and epoch`,
      onrow: (row) => ({ variable: row }),
      height: heightOf(rows.length),
    }),
  );
  const health = ask("summary", { run: name, epoch }, run.stamp)?.health ?? "";
  const words = h("p", { class: "note c12" }, ...flagged(health), unread && ` ${unread}.`);
  const colour = runColour(context.place(name));
  const lines = panel(
    "c4",
    h("span", { title: variable }, labels?.[named.indexOf(variable)] ?? variable),
    [key("RMS", colour), key("max", colour, "dotted")],
    chart(context, "variable_lines", {
      parameters: { variable },
      overlays: false,
      height: 208 + context.spare,
      label: `RMS and largest gradient of ${variable} over epochs`,
    }),
  );
  const ridge = panel(
    "c4",
    "Distribution over epochs",
    "|gradient|, log₂ bins",
    chart(context, "ridge", {
      parameters: { variable, epoch },
      overlays: false,
      height: 208 + context.spare,
      label: `Distribution of the gradients of ${variable} over epochs`,
    }),
  );
  const ratio = panel(
    "c4",
    "Update-to-weight ratio",
    "guide at 10⁻³",
    chart(context, "update_ratio", {
      parameters: { variable },
      height: 208 + context.spare,
      label: `Update-to-weight ratio of ${variable} over epochs`,
    }),
  );
  root.append(h("div", { class: "grid" }, heat, words, lines, ridge, ratio));
}

const MANY = 40; // more variables than one can tell apart: then the rows are layers, unless one chose otherwise

/** What a row of the heat map stands for. */
const rowsOf = (run) =>
  run.layers.length ? state.by || (run.variables.length > MANY ? "layers" : "variables") : "variables";

/** Rows of twenty pixels; many variables share what a screen has. */
const heightOf = (rows) => 28 + rows * Math.max(1.5, Math.min(20, 420 / rows));

/** The first sentence of a health report is its alarm. */
function flagged(health) {
  if (!health || health.startsWith("No flag")) return [health];
  const end = health.indexOf(". ") + 1;
  return end > 0
    ? [h("b", { class: "alarm" }, health.slice(0, end)), health.slice(end)]
    : [h("b", { class: "alarm" }, health)];
}

/** The settings of this view and what they depend on. */
export const weightGradientsSettings = {
  key: (context) => [context.run?.variables.length, context.run?.layers.length].join(),
  build: ({ run }) =>
    [
      run?.variables.length &&
        group(
          "Statistic",
          segments("statistic", "Statistic", [
            ["rms", "RMS"],
            ["max", "Max"],
            ["update_ratio", "Update"],
          ]),
          segments("statistic", "Statistic", [
            ["zero_fraction", "Zeros"],
            ["nonfinite", "Non-finite"],
          ]),
        ),
      run?.layers.length &&
        group(
          "Rows",
          segments(
            "by",
            "Rows",
            [
              ["variables", "Variables"],
              ["layers", "Layers"],
            ],
            rowsOf(run),
          ),
        ),
    ].filter(Boolean),
};
