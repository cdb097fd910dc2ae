/** Importance and drift: the score and its limit, the alerts in words, who rose and who fell. */
import { alarmsOf, firstChange } from "../core/alerts.js";
import { chart, figureBehind, scoreKeys } from "../core/chart.js";
import { legend, runColour } from "../core/colour.js";
import { group } from "../core/controls.js";
import { absent, h, panel, percent, position, short } from "../core/dom.js";
import { filterBox, foundRows, matcher, ranges } from "../core/filter.js";
import { draw } from "../core/image.js";
import { distinct } from "../core/names.js";
import { alertNumbers, ranksOverTime, sharesOfRuns, sharesOverTime } from "../core/panel_numbers.js";
import { set, state } from "../core/state.js";
import { moment, named } from "../core/updates.js";
import {
  CellPlane,
  cellsOf,
  changeFigure,
  importanceMaps,
  sliceOrder,
  lacking,
  largest,
  measuredAt,
  nowWords,
  order,
  row,
  shareWords,
} from "../marks/importance.js";
import { alertList } from "./alert_list.js";
import { BaseView } from "./view.js";

const STRIP = 24; // maps of a strip,
const ANCHORS = 12; // and of one that leaves epochs out
const FINDER_HEIGHT = 36; // pixels, with the gap below
const RUNS_COMPARED = 6;
const FEATURES_COMPARED = 10;
const HEAD_LETTERS = 24; // of a run above its column
const FEATURES_FILTERED = 8; // of more there is a filter

export class ImportanceDriftView extends BaseView {
  /** @param {RunContext} context */
  settingsKey({ run }) {
    return Object.keys(run.sources).join();
  }

  /**
   * @param {RunContext} context
   * @param {import("../core/controls.js").SettingsRail} rail
   */
  settings({ run, vocabulary }, rail) {
    if (!run.sources.live || !run.sources.clean) return [];
    const title = "Importance measured on";
    /** @param {Source} source @returns {[string, string]} */
    const option = (source) => {
      const name = vocabulary.sources[source];
      return [source, name[0].toUpperCase() + name.slice(1)];
    };
    return [group(title, rail.segments("source", title, [option("clean"), option("live")], sourceOf(run)))];
  }

  /**
   * @param {HTMLElement} root
   * @param {RunContext} context
   */
  draw(root, context) {
    const { run, name, server } = context;
    const source = sourceOf(run);
    if (!source) {
      const code = "kx.ImportanceDrift(log_dir, probe)";
      root.append(absent(run, "ImportanceDrift", "This run watches no importance", code));
      return;
    }
    const importance = server.read("importance", { run: name, source }, run.stamp);
    const panels = [
      scorePanel(context),
      alertsPanel(context),
      ranksPanel(context, source, importance),
      mapsPanel(context, source, importance),
      differencesPanel(context, source, importance),
    ];
    root.append(h("div", { class: "grid" }, panels));
  }
}

/**
 * The source looked at: the one chosen, else the live rows, which see more.
 * @param {Run} run
 * @returns {"live" | "clean" | undefined}
 */
function sourceOf(run) {
  const order = /** @type {("live" | "clean")[]} */ (["live", "clean"]);
  if (state.source === "clean") order.reverse();
  return order.find((source) => run.sources[source]);
}

/** @param {RunContext} context */
function scorePanel(context) {
  const score = chart(context, "drift_score", {
    id: "drift score",
    height: 204 + context.spare,
    label: `Drift score over ${context.run.unit}s with its limit and the alerts`,
  });
  const meaning = " Score: the largest move of one feature in units of its own usual step.";
  const note = h("p", { class: "note" }, rateWords(context.run, context.epoch), meaning);
  return panel("c7", "Drift score", { help: "drift_score", note: scoreKeys(context, true) }, score, note);
}

/**
 * @param {Run} run
 * @param {number} epoch
 */
function rateWords(run, epoch) {
  const rates = run.learning_rate.filter((rate) => rate !== null);
  if (!rates.length) return "Learning rate not known.";
  const rate = short(Number(run.learning_rate[position(run.epochs, epoch)]));
  if (new Set(rates).size === 1) return `Learning rate ${rate}, steady.`;
  return `Learning rate ${rate}, was ${short(rates[0])} at first.`;
}

/** @param {RunContext} context */
function alertsPanel(context) {
  const { run, name, epoch, server } = context;
  if (!run.alerts.length) {
    const watch = server.read("summary", { run: name, epoch }, run.stamp)?.watch ?? "…";
    return panel("c5", "Alerts", { help: "alerts" }, h("p", { class: "note" }, watch));
  }
  const csv = () => alertNumbers(run.alerts, context.vocabulary, run.unit);
  const note = run.methods.length ? "click: see what shows it" : "";
  return panel("c5", "Alerts", { help: "alerts", note, csv }, alertList(context, run.alerts));
}

/**
 * @param {RunContext} context
 * @param {Source} source
 * @param {Importance | undefined} importance
 */
function ranksPanel(context, source, importance) {
  const { epoch, run, vocabulary } = context;
  const finder = featureFinder(importance);
  const only = onlyFound(importance);
  const note = `${vocabulary.sources[source]}, rank 1 on top`;
  const title = only ? "Rank of the features that are found" : "Rank of the ten most important features";
  if (only === "none")
    return panel("c7", title, { help: "rank_bump", note }, finder, h("p", { class: "note" }, "No feature is found."));
  const ranks = chart(context, "rank_bump", {
    parameters: { source, epoch, only },
    overlays: false,
    height: 296 + context.spare - (finder ? FINDER_HEIGHT : 0),
    label: `Rank of the ten most important features over ${context.run.unit}s`,
  });
  const csv = importance && (() => ranksOverTime(importance, run.unit));
  const anchors = figureBehind(context, "rank_bump", { source, epoch, only }, false)?.layout.meta?.anchors;
  const some = anchors ? `, at ${anchors} of ${importance?.epochs.length ?? run.epochs.length} ${run.unit}s` : "";
  const gaps = importance ? lacking(run, importance, epoch) : null;
  return panel("c7", title, { help: "rank_bump", note: `${note}${some}`, csv }, finder, ranks, gaps);
}

/**
 * The box that finds features; null where all of them are in sight.
 * @param {Importance | undefined} importance
 */
function featureFinder(importance) {
  const names = importance?.names ?? [];
  const found = foundRows("featureFilter", names);
  if (names.length <= FEATURES_FILTERED && !found) return null;
  const box = filterBox("featureFilter", "Filter features").count(found?.length ?? names.length, names.length);
  return h("div", { class: "finder" }, box);
}

/**
 * The features that the filter finds, as a figure takes them; undefined for all, "none" where it finds none.
 * @param {Importance | undefined} importance
 */
function onlyFound(importance) {
  const found = importance ? foundRows("featureFilter", importance.names) : null;
  if (!found) return undefined;
  return found.length ? ranges(found) : "none";
}

/**
 * @param {RunContext} context
 * @param {Source} source
 * @param {Importance | undefined} importance
 */
function mapsPanel(context, source, importance) {
  const cells = importance ? cellsOf(context.run, importance) : null;
  if (importance && cells) return imageMaps(context, importance, cells);
  const title = `Importance by feature and ${context.run.unit}`;
  const only = onlyFound(importance);
  if (only === "none")
    return panel("c5", title, { help: "importance_map" }, h("p", { class: "note" }, "No feature is found."));
  const parameters = { source, epoch: context.epoch, only };
  const scale = figureBehind(context, "importance_map", parameters, false)?.layout.meta?.scale;
  const options = { parameters, overlays: false, height: 286 + context.spare, label: title };
  const csv = importance && (() => sharesOverTime(importance, context.run.unit));
  const scaleLegend = scale ? legend(scale.map, scale.low, scale.high) : "";
  return panel(
    "c5",
    title,
    { help: "importance_map", note: scaleLegend, csv },
    chart(context, "importance_map", options),
  );
}

/**
 * The importance as maps: before the alert and now, what changed, and a strip of all epochs.
 * @param {RunContext} context
 * @param {Importance} importance
 * @param {Cells} cells
 */
function imageMaps(context, importance, cells) {
  const { run, epoch, spare } = context;
  const { epochs, names, share } = importance;
  const alert = firstChange(run, epoch);
  const at = measuredAt(importance, epoch);
  const base = alert ? Math.max(0, position(epochs, alert.epoch) - 1) : measuredAt(importance, epochs[0]);
  const [before, after] = [row(share, base), row(share, at)];
  const list = [
    {
      title: alert ? "Before the alert" : `First ${run.unit === "epoch" ? "epoch" : "update"}`,
      epoch: epochs[base],
      values: before,
    },
    { title: nowWords(importance, epoch), epoch: epochs[at], values: after },
  ];
  const maps = importanceMaps(run, list, cells, names, spare);
  const note = `${run.unit} ${epochs[base]} → ${epochs[at]}`;
  const change = changeFigure(before, after, cells, names, note, spare);
  maps.append(change.figure);
  const high = Math.max(largest(before), largest(after));
  const legends = h("div", { class: "legends" }, legend("sequential", "0\u00a0%", percent(high)), change.scale);
  return panel(
    "c5",
    "Importance as a map of the input",
    { help: "importance_cells", csv: () => sharesOverTime(importance, run.unit) },
    maps,
    legends,
    sliceOrder(cells),
    strip(context, importance, cells),
  );
}

/**
 * The map at every epoch, or at twelve of them, alerts among these; a click goes there.
 * @param {RunContext} context
 * @param {Importance} importance
 * @param {Cells} cells
 */
function strip({ run, epoch }, { epochs, share }, cells) {
  const alerted = new Set(alarmsOf(run).map((alert) => alert.epoch));
  const places = anchorsOf(epochs, alerted);
  const hi = largest(share.data);
  const current = places.reduce((best, i) => (epochs[i] <= epoch ? i : best), places[0]);
  const plane = new CellPlane(cells);
  const { height, width } = plane;
  const buttons = places.map((i) => {
    const canvas = h("canvas", {});
    draw(canvas, {
      values: plane.laidOut(row(share, i)),
      height,
      width,
      hi,
      size: 32,
      ratio: height / width,
      map: "sequential",
    });
    const attributes = {
      type: "button",
      class: `${i === current ? "now" : ""} ${alerted.has(epochs[i]) ? "tick" : ""}`,
      "aria-label": `Importance at ${moment(run, epochs[i])}`,
      "data-key": `strip ${epochs[i]}`,
      onclick: () => set({ epoch: epochs[i] }),
    };
    return h("button", attributes, canvas, String(epochs[i]));
  });
  return h("div", { class: "mini" }, buttons);
}

/**
 * All places, or some evenly spread, each of which gives way to the first alert nearer to it than to any other.
 * @param {number[]} epochs
 * @param {Set<number>} alerted
 */
function anchorsOf(epochs, alerted) {
  const n = epochs.length;
  if (n <= STRIP) return epochs.map((_, i) => i);
  const even = Array.from({ length: ANCHORS }, (_, k) => Math.round((k * (n - 1)) / (ANCHORS - 1)));
  const half = (n - 1) / (ANCHORS - 1) / 2;
  const alerts = epochs.flatMap((epoch, i) => (alerted.has(epoch) ? [i] : []));
  return even.map((place, k) => {
    if (k === 0 || k === ANCHORS - 1) return place;
    return alerts.find((at) => Math.abs(at - place) < half) ?? place;
  });
}

/**
 * Several runs: who relies on what, side by side at this epoch or the nearest earlier one; null where there is one alone.
 * @param {RunContext} context
 * @param {Source} source
 * @param {Importance | undefined} importance
 */
function differencesPanel(context, source, importance) {
  const others = context.picked.filter((name) => name !== context.name);
  if (!importance || !others.length) return null;
  const names = [context.name, ...others].slice(0, RUNS_COMPARED);
  const columns = names.flatMap((name) => columnOf(context, name, source) ?? []);
  const [focus, ...rivals] = columns;
  const comparable = rivals.filter(({ shares }) => [...shares.keys()].some((feature) => focus.shares.has(feature)));
  if (!comparable.length) return null;
  /** @param {string} feature */
  const difference = (feature) => {
    const share = focus.shares.get(feature) ?? NaN;
    const differences = comparable.map(({ shares }) => Math.abs(share - (shares.get(feature) ?? NaN)));
    return Math.max(0, ...differences.filter(Number.isFinite));
  };
  const features = [...focus.shares.keys()].filter(matcher(state.featureFilter).test);
  const largestFirst = order(features.map(difference)).slice(0, FEATURES_COMPARED);
  const table = differencesTable(
    context,
    [focus, ...comparable],
    largestFirst.map((i) => features[i]),
    difference,
  );
  const csv = () => sharesOfRuns([focus, ...comparable]);
  const note = `share of importance, ${context.vocabulary.sources[source]}, ${named(context.run, context.epoch)}`;
  return panel("c12", "Where the ticked runs differ most", { help: "run_differences", note, csv }, table);
}

/** @typedef {{name: string, epoch: number, shares: Map<string, number>}} Column */

/**
 * @param {RunContext} context
 * @param {string} name
 * @param {Source} source
 * @returns {Column | null}
 */
function columnOf(context, name, source) {
  const importance = context.server.read("importance", { run: name, source }, context.stampOf(name));
  if (!importance?.epochs.length) return null;
  const at = measuredAt(importance, context.epoch);
  const values = row(importance.share, at);
  return {
    name,
    epoch: importance.epochs[at],
    shares: new Map(importance.names.map((feature, i) => [feature, values[i]])),
  };
}

/**
 * @param {RunContext} context
 * @param {Column[]} columns
 * @param {string[]} features
 * @param {(feature: string) => number} difference
 */
function differencesTable(context, columns, features, difference) {
  const labels = distinct(
    columns.map(({ name }) => name),
    HEAD_LETTERS,
  );
  const heads = columns.map(({ name, epoch }, i) => {
    const style = { color: runColour(context.place(name)) };
    const when = epoch === context.epoch ? "" : ` (${named(context.run, epoch)})`;
    return h("th", { scope: "col", style, title: name }, `${labels[i]}${when}`);
  });
  const rows = features.map((feature) => {
    const cells = columns.map(({ shares }) => {
      const share = shares.get(feature);
      return h("td", {}, share === undefined ? "–" : shareWords(share));
    });
    return h("tr", {}, h("td", {}, feature), cells, h("td", {}, `${(100 * difference(feature)).toFixed(2)} points`));
  });
  const first = h("th", { scope: "col" }, "feature");
  return h("table", {}, h("tr", {}, first, heads, h("th", { scope: "col" }, "largest difference")), rows);
}
