/** Overview: what happened in this run? One screen, nothing to set. */
import { alarmsOf, CHANGES, firstChange } from "../core/alerts.js";
import { chart, figureBehind, scoreKeys } from "../core/chart.js";
import { legend, token } from "../core/colour.js";
import { adviceWords } from "../core/documentation.js";
import { absent, Deferred, h, key, panel, percent } from "../core/dom.js";
import { sharesOverTime } from "../core/panel_numbers.js";
import { set } from "../core/state.js";
import {
  alertedFeatures,
  cellsOf,
  importanceMaps,
  sliceOrder,
  lacking,
  largest,
  measuredAt,
  nowWords,
  order,
  row,
} from "../marks/importance.js";
import { markedSample } from "../marks/input_pixels.js";
import { slope } from "../marks/slopes.js";
import { figurePanel } from "./figure_panel.js";
import { linkToSamples } from "./links.js";
import { compactEvidence } from "./reliance_gap.js";
import { samplesPanel } from "./samples_panel.js";
import { BaseView } from "./view.js";

const CHART_HEIGHT = 192;
const SLOPE_HEIGHT = 184;
const FEATURES = 7; // of a table, drawn as slopes
const MOVED = 3; // features that rose, and that fell
const FALLEN = 2; // of a table: features that fell most, beside the most important ones
const MARKED_SIZE = 72; // pixels of the sample beside the sentence
const MARKED_FEATURES = 3;
const ROWS_UNTIL_KNOWN = 6;

export class OverviewView extends BaseView {
  /** @type {{name: string, summary: Summary} | null} the last words: they stand in until those of the epoch are there */
  #last = null;

  /**
   * @param {HTMLElement} root
   * @param {RunContext} context
   */
  draw(root, context) {
    const { run, name, epoch, server } = context;
    const summary = server.read("summary", { run: name, epoch }, run.stamp) ?? this.#lastOf(name);
    if (!summary) return root.append(h("p", { class: "note" }, "…"));
    this.#last = { name, summary };
    const source = sourceOf(run);
    const importance = source ? server.read("importance", { run: name, source }, run.stamp) : undefined;
    const deferred = new Deferred();
    const importances = importancePanel(context, importance, summary, deferred);
    // What stood in the training rows from the start comes first.
    const panels = summary.gap
      ? [
          compactEvidence(context, CHART_HEIGHT + context.spare),
          importances,
          driftPanel(context, source, "c4"),
          lossPanel(context),
          healthPanel(context),
        ]
      : [
          driftPanel(context, source, "c7"),
          importances,
          ...secondRow(context, storyPanel(context, importance, summary, deferred)),
        ];
    panels.unshift(lead(summary, context, importance), facts(summary));
    panels.push(
      ...figurePanel(context, { name: "slice_accuracy", span: "c7", ofEpoch: true }),
      ...figurePanel(context, { name: "slice_importance", span: "c5", still: true, ofEpoch: true }),
    );
    root.append(h("div", { class: "grid" }, panels));
    deferred.fill();
  }

  /** @param {string} name */
  #lastOf(name) {
    return this.#last?.name === name ? this.#last.summary : null;
  }
}

/**
 * The source that a run is looked at by: live rows see more than the fixed probe.
 * @param {Run} run
 * @returns {Source | undefined}
 */
const sourceOf = (run) => /** @type {Source[]} */ (["live", "clean"]).find((source) => run.sources[source]);

/**
 * The sentence, and beside it where on a picture the features lie that it names.
 * @param {Summary} summary
 * @param {RunContext} context
 * @param {Importance | undefined} importance
 */
function lead(summary, context, importance) {
  const { run, epoch } = context;
  const advice = summary.advice ? h("p", { class: "advice" }, adviceWords(summary.advice, context.theme)) : null;
  const detail = h("p", {}, summary.detail, " ", leadLink(summary, run, epoch));
  const heading = h("h2", { class: "hidden" }, "What was recorded");
  const words = h("div", {}, h("h1", {}, summary.sentence), faults(summary), advice, detail, checks(summary), heading);
  return h("div", { class: "lead c12" }, words, importance && markedFeatures(context, importance, summary));
}

/**
 * A sample with frames around the blocks of the alarm that the sentence tells; null where no picture says more than the words.
 * @param {RunContext} context
 * @param {Importance} importance
 * @param {Summary} summary
 */
function markedFeatures({ run, name, epoch, server }, importance, summary) {
  const cells = cellsOf(run, importance);
  if (!summary.alarm || !cells || !run.probe?.stored) return null;
  const sources = summary.gap ? ["gap"] : CHANGES;
  const alert = alarmsOf(run).find(
    ({ epoch: at, source, features }) =>
      at <= epoch && sources.includes(source) && features.some(([feature]) => feature === summary.feature),
  );
  const named = (alert?.features ?? []).slice(0, MARKED_FEATURES).map(([feature]) => feature);
  const marked = named.map((feature) => importance.names.indexOf(feature)).filter((cell) => cell >= 0);
  const inputs = marked.length ? server.read("inputs", { run: name }, "once") : undefined;
  if (!inputs) return null;
  const words = `${named.join(", ")} on sample 0`;
  const picture = markedSample(inputs, cells, marked, MARKED_SIZE, words);
  return picture && h("figure", { title: words }, picture);
}

/**
 * The way to what shows what the sentence says; null where there is none.
 * @param {Summary} summary
 * @param {Run} run
 * @param {number} epoch
 */
function leadLink(summary, run, epoch) {
  if (summary.gap) return viewLink("gap", { view: "reliance_gap" }, "See training rows beside probe →");
  if (!firstChange(run, epoch) || !run.methods.length) return null;
  return viewLink("samples", linkToSamples(run, epoch), "See the samples that moved most →");
}

/**
 * @param {string} name
 * @param {Partial<import("../core/state.js").State>} change
 * @param {string} words
 */
const viewLink = (name, change, words) =>
  h("button", { class: "link", type: "button", "data-key": name, onclick: () => set(change) }, words);

/**
 * What of the watch broke: said first, and in red.
 * @param {Summary} summary
 */
function faults(summary) {
  if (!summary.faults.length) return null;
  const items = summary.faults.map((fault) => h("li", {}, fault));
  return h("ul", { class: "faults alarm" }, items);
}

/**
 * The rules of the training checks that are broken or could not be judged, and the screen of the data; null without any.
 * @param {Summary} summary
 */
function checks(summary) {
  const sentences = [...summary.checks, summary.unjudged, summary.screen].filter(Boolean);
  if (!sentences.length) return null;
  const items = sentences.map((sentence) => {
    const end = sentence.indexOf(":");
    return h("li", {}, h("b", {}, sentence.slice(0, end)), sentence.slice(end));
  });
  return h("ul", { class: "checks" }, items);
}

/** @param {Summary} summary */
function facts(summary) {
  const items = summary.facts.map((fact) => {
    const value = h("b", {}, fact.value, " ", h("span", { class: "was" }, fact.was));
    const note = h("span", { class: "note", title: fact.note }, fact.note);
    return h("div", { class: fact.alarm ? "alarm" : "" }, value, note);
  });
  return h("div", { class: "facts c12" }, items);
}

/**
 * @param {RunContext} context
 * @param {Source | undefined} source
 * @param {string} span
 */
function driftPanel(context, source, span) {
  const out = panel(span, "Drift score", { help: "drift_score", note: source ? scoreKeys(context) : "" });
  if (!source) {
    out.append(absent(context.run, "ImportanceDrift", "Not watched", "kx.ImportanceDrift(log_dir, probe)"));
    return out;
  }
  const height = CHART_HEIGHT + context.spare;
  const label = `Drift score over ${context.run.unit}s with its limit`;
  out.append(chart(context, "drift_score", { id: "overview drift", height, label }));
  return out;
}

/**
 * @param {Run} run
 * @param {string} otherwise
 */
const importanceNote = (run, otherwise) => h("p", { class: "note" }, sourceOf(run) ? "…" : otherwise);

/**
 * Importance at the first epoch, before the alert and now: maps of an image, slopes of anything else.
 * @param {RunContext} context
 * @param {Importance | undefined} importance
 * @param {Summary} summary
 * @param {Deferred} deferred
 */
function importancePanel(context, importance, summary, deferred) {
  const { run, epoch, spare } = context;
  if (!importance) return panel("c5", "Importance", { help: "importance" }, importanceNote(run, "Not recorded."));
  const at = measuredAt(importance, epoch);
  const first = measuredAt(importance, importance.epochs[0]);
  const cells = cellsOf(run, importance);
  const gaps = lacking(run, importance, epoch);
  const before = measuredAt(importance, summary.before);
  if (!cells) {
    const note = `share, ${run.unit} ${importance.epochs[before]} → ${importance.epochs[at]}`;
    const about = { help: "importance", note, csv: () => sharesOverTime(importance, run.unit) };
    const out = panel("c5", "Most important features", about, gaps);
    return deferred.add(out, slopeBetween(context, importance, before, at, leading(importance, before, at)));
  }
  const places = [{ place: first, title: run.unit === "epoch" ? "First epoch" : "First update" }];
  if (summary.alarm && before > 0 && before < at) places.push({ place: before, title: "Before the alert" });
  places.push({ place: at, title: nowWords(importance, epoch) });
  const maps = places.map(({ place, title }) => {
    return { title, epoch: importance.epochs[place], values: row(importance.share, place) };
  });
  const high = Math.max(...maps.map(({ values }) => largest(values)));
  const scale = legend("sequential", "0\u00a0%", percent(high));
  const figures = importanceMaps(run, maps, cells, importance.names, spare);
  return panel(
    "c5",
    "Where the importance lies",
    { help: "importance_cells", note: scale, csv: () => sharesOverTime(importance, run.unit) },
    figures,
    sliceOrder(cells),
    gaps,
  );
}

/**
 * The most important features, and those that were important before and fell most.
 * @param {Importance} importance
 * @param {number} before
 * @param {number} at
 */
function leading(importance, before, at) {
  const [from, to] = [row(importance.share, before), row(importance.share, at)];
  const fallen = order(from.map((share, i) => share - to[i])).slice(0, FALLEN);
  const others = order(to).filter((i) => !fallen.includes(i));
  return [...others.slice(0, FEATURES - FALLEN), ...fallen];
}

/**
 * @param {RunContext} context
 * @param {Importance} importance
 * @param {number} before
 * @param {number} after
 * @param {number[]} features
 * @returns {(width: number) => Node}
 */
function slopeBetween(context, importance, before, after, features) {
  const [from, to] = [row(importance.share, before), row(importance.share, after)];
  const alerted = alertedFeatures(context.run, context.epoch);
  const data = { from, to, names: importance.names, alerted, features };
  return (width) => slope(width, SLOPE_HEIGHT + context.spare, data);
}

/**
 * @param {RunContext} context
 * @param {string} span
 */
function lossPanel(context, span = "c4") {
  const { logs } = context.run;
  if (!logs.includes("loss"))
    return panel(span, "Loss", { help: "loss" }, h("p", { class: "note" }, "No loss in the logs."));
  const colour = token("text-2");
  const keys = h("span", {}, key("training", colour), logs.includes("val_loss") && key("validation", colour, "dotted"));
  return panel(
    span,
    "Loss",
    { help: "loss", note: keys },
    chart(context, "loss", { height: CHART_HEIGHT + context.spare, label: `Loss over ${context.run.unit}s` }),
  );
}

/**
 * What else tells of the run: the blocks that rose and fell since before an alert, which the maps beside it do not name; else
 * samples; null where none were explained.
 * @param {RunContext} context
 * @param {Importance | undefined} importance
 * @param {Summary} summary
 * @param {Deferred} deferred
 * @returns {HTMLElement | null}
 */
function storyPanel(context, importance, summary, deferred) {
  const { run, epoch, spare } = context;
  const changed = firstChange(run, epoch) !== undefined;
  if (changed && importance && cellsOf(run, importance)) return movedPanel(context, importance, summary, deferred);
  return samplesPanel(context, summary, CHART_HEIGHT + spare, deferred);
}

/**
 * Loss, story and health; without a story the others take its room.
 * @param {RunContext} context
 * @param {HTMLElement | null} story
 */
function secondRow(context, story) {
  if (story) return [lossPanel(context), story, healthPanel(context)];
  return [lossPanel(context, "c7"), healthPanel(context, "c5")];
}

/**
 * The features that rose and fell most since before the alert.
 * @param {RunContext} context
 * @param {Importance} importance
 * @param {Summary} summary
 * @param {Deferred} deferred
 */
function movedPanel(context, importance, summary, deferred) {
  const title = "What rose and fell";
  const before = measuredAt(importance, summary.before);
  const at = measuredAt(importance, context.epoch);
  const [from, to] = [row(importance.share, before), row(importance.share, at)];
  const moved = order(to.map((value, i) => Math.abs(value - from[i])));
  const rise = moved.filter((i) => to[i] > from[i]).slice(0, MOVED);
  const fall = moved.filter((i) => to[i] <= from[i]).slice(0, MOVED);
  const note = `share, ${context.run.unit} ${importance.epochs[before]} → ${importance.epochs[at]}`;
  const out = panel("c4", title, {
    help: "importance_change",
    note,
    csv: () => sharesOverTime(importance, context.run.unit),
  });
  return deferred.add(out, slopeBetween(context, importance, before, at, [...rise, ...fall]));
}

/**
 * @param {RunContext} context
 * @param {string} span
 */
function healthPanel(context, span = "c4") {
  const title = "Gradient health";
  if (!context.run.variables.length) {
    return panel(
      span,
      title,
      { help: "gradient_health" },
      absent(context.run, "WeightGradients", "Not recorded", "kx.WeightGradients(log_dir)"),
    );
  }
  const parameters = { compact: 1 };
  const figure = figureBehind(context, "heat_map", parameters, false);
  const rows = figure?.layout.meta?.rows?.length ?? ROWS_UNTIL_KNOWN;
  const scale = figure?.layout.meta?.scale;
  const note = scale ? legend(scale.map, `RMS ${scale.low}`, scale.high) : "";
  const heatMap = chart(context, "heat_map", {
    id: "overview health",
    parameters,
    overlays: false,
    height: Math.min(188 + context.spare, 26 + 22 * rows),
    label: `Size of the gradients by layer and ${context.run.unit}`,
    onrow: (variable) => ({ view: "weight_gradients", variable }),
  });
  return panel(span, title, { help: "gradient_health", note }, heatMap);
}
