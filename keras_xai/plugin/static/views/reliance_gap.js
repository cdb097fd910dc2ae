/** Training rows beside the probe: what each feature says for the label in the one and in the other, and how sure that is. */
import { chart, figureBehind } from "../core/chart.js";
import { legend } from "../core/colour.js";
import { h, message, panel } from "../core/dom.js";
import { alertNumbers, rowNumbers } from "../core/panel_numbers.js";
import { alertList } from "./alert_list.js";
import { BaseView } from "./view.js";

const ROW = 29; // pixels of a bar
const BARS_FRAME = 32; // and of what stands around them
const MAPS_HEIGHT = 220;
const PLANE_HEIGHT = 264;
const LINES_HEIGHT = 196;
const TITLE = "Training rows were not compared with the probe";

export class RelianceGapView extends BaseView {
  /** @param {RunContext} context */
  load(context) {
    evidence(context);
  }

  /**
   * @param {HTMLElement} root
   * @param {RunContext} context
   */
  draw(root, context) {
    const why = evidence(context)?.layout.meta?.absent;
    if (why !== undefined) {
      root.append(message(TITLE, `${why[0].toUpperCase()}${why.slice(1)}.`));
      return;
    }
    const plane = figurePanelOf(context, "gap_shares", "c5", PLANE_HEIGHT + context.spare, true);
    const lines = figurePanelOf(context, "gap_z", "c7", LINES_HEIGHT + context.spare, false);
    root.append(
      h("div", { class: "grid" }, evidencePanel(context), plane, lines, alertsPanel(context), carriersPanel(context)),
    );
  }
}

/**
 * The figure of what the features say in training rows and probe.
 * @param {RunContext} context
 * @param {boolean} [compact]
 */
const evidence = (context, compact = false) =>
  figureBehind(context, "gap_evidence", evidenceParameters(context, compact), false);

/**
 * @param {RunContext} context
 * @param {boolean} compact
 */
const evidenceParameters = ({ epoch }, compact) => ({ epoch, compact: compact ? 1 : undefined });

/**
 * What the features say in training rows and probe: bars, or maps of an image.
 * @param {RunContext} context
 */
function evidencePanel(context) {
  const { bars, scales } = evidence(context)?.layout.meta ?? {};
  const height = bars ? BARS_FRAME + ROW * bars + context.spare : MAPS_HEIGHT + context.spare;
  const out = figurePanelOf(context, "gap_evidence", "c7", height, true);
  if (scales) out.append(scaleLegends(scales));
  return out;
}

/**
 * The same on the overview: fewer bars, fewer words.
 * @param {RunContext} context
 * @param {number} height of a chart
 */
export function compactEvidence(context, height) {
  const { title = "…", scales } = evidence(context, true)?.layout.meta ?? {};
  const parameters = evidenceParameters(context, true);
  const options = { id: "overview gap", parameters, overlays: false, still: true, height, label: title };
  const drawn = chart(context, "gap_evidence", options);
  return panel(
    "c7",
    title,
    { help: "gap_evidence", note: "mean share of a row's evidence" },
    drawn,
    scales ? scaleLegends(scales) : null,
  );
}

/** @param {ScaleInfo[]} scales */
const scaleLegends = (scales) =>
  h(
    "div",
    { class: "legends" },
    scales.map(({ map, low, high }) => legend(map, low, high)),
  );

/**
 * A figure of the comparison under its own title and reading.
 * @param {RunContext} context
 * @param {string} name
 * @param {string} span
 * @param {number} height
 * @param {boolean} still
 */
function figurePanelOf(context, name, span, height, still) {
  const parameters = { epoch: context.epoch };
  const { title = "…", reading = "" } = figureBehind(context, name, parameters, false)?.layout.meta ?? {};
  const options = { parameters, overlays: false, still, height, label: title };
  return panel(span, title, { help: name }, h("p", { class: "note reading" }, reading), chart(context, name, options));
}

/**
 * The alerts of the comparison up to the epoch.
 * @param {RunContext} context
 */
const alertsOf = ({ run, epoch }) => run.alerts.filter((alert) => alert.source === "gap" && alert.epoch <= epoch);

/**
 * @param {RunContext} context
 */
function alertsPanel(context) {
  const alerts = alertsOf(context);
  if (!alerts.length) {
    const words = `No feature speaks for the label in the training rows alone, up to this ${context.run.unit}.`;
    return panel("c5", "Alerts", { help: "alerts" }, h("p", { class: "note" }, words));
  }
  const csv = () => alertNumbers(alerts, context.vocabulary, context.run.unit);
  return panel("c5", "Alerts", { help: "alerts", csv }, alertList(context, alerts));
}

const CARRIER_TITLES = ["feature", "row", "label", "value", "share of its evidence"];

/**
 * The training rows in which the features of the alerts speak most for the label: look at these first.
 * @param {RunContext} context
 */
function carriersPanel(context) {
  const rows = alertsOf(context).flatMap((alert) => alert.rows);
  if (!rows.length) return null;
  const head = CARRIER_TITLES.map((title) => h("th", { scope: "col" }, title));
  const cells = rows.map((row) =>
    h(
      "tr",
      {},
      row.map((cell) => h("td", { title: cell }, cell)),
    ),
  );
  const table = h("table", { class: "carriers" }, h("tr", {}, head), cells);
  const note = "row: its number in the live rows";
  const about = { help: "gap_rows", note, csv: () => rowNumbers(CARRIER_TITLES, rows) };
  return panel("c7", "Training rows that carry it most", about, table);
}
