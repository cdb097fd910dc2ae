/** The alerts in words: what happened, what to do next, and the features of each. */
import { eventsOf } from "../core/alerts.js";
import { h, percent, signed, signedPercent } from "../core/dom.js";
import { set } from "../core/state.js";
import { named } from "../core/updates.js";
import { measuredAt, row, shareWords } from "../marks/importance.js";
import { findAlerts } from "./alert_finder.js";
import { linkToSamples } from "./links.js";

const FEATURES_OF_ALERT = 3;
const ROWS_OF_ALERT = 5; // that set it off
const ENTRIES = 14; // shown without being asked for

/**
 * One entry an event; a click leads to what shows it.
 * @param {RunContext} context
 * @param {AlertRecord[]} alerts
 */
export function alertList(context, alerts) {
  const { finder, found } = findAlerts(context, eventsOf(alerts));
  const none = found.length ? null : h("p", { class: "note" }, "No alert is found.");
  const entries = found.map((event) => eventEntry(context, event));
  const folded = entries.slice(ENTRIES);
  const rest = folded.length ? fold(context.name, folded) : null;
  return h("div", {}, finder, none, h("ul", { class: "alerts" }, entries.slice(0, ENTRIES), rest));
}

/** The run whose folded alerts are shown: the list is made anew at every drawing. */
let unfolded = "";

/**
 * What of a long list is shown when one asks for it.
 * @param {string} run
 * @param {HTMLElement[]} entries
 */
function fold(run, entries) {
  const ontoggle = () => {
    if (details.open) unfolded = run;
    else if (unfolded === run) unfolded = "";
  };
  const title = h("summary", {}, `${entries.length} more`);
  const details = h("details", { open: unfolded === run, ontoggle }, title, h("ul", {}, entries));
  return h("li", {}, details);
}

/**
 * @param {RunContext} context
 * @param {AlertRecord[]} event
 */
function eventEntry(context, event) {
  const [first] = event;
  const last = Math.max(...event.map((alert) => alert.lasted));
  const when = last > first.epoch ? `${named(context.run, first.epoch)} to ${last}` : first.moment;
  const title = first.sentence || (context.vocabulary.verdicts[first.verdict] ?? first.verdict);
  const head = h("span", {}, title[0].toUpperCase() + title.slice(1));
  const notes = [];
  const changed = event.find((alert) => alert.changed_words)?.changed_words;
  if (changed) notes.push(changed);
  if (event.some((alert) => alert.learning_rate_rising)) notes.push("while the learning rate was rising");
  const taught = event.find((alert) => alert.set_off_by.length)?.set_off_by;
  if (taught) notes.push(`set off by training rows ${taught.slice(0, ROWS_OF_ALERT).map(rowWords).join(", ")}`);
  const standing = event.some((alert) => alert.epoch === context.epoch) ? "now" : "";
  const attributes = {
    type: "button",
    class: `${standing} ${first.alarm ? "" : "calm"}`,
    "data-key": `alert ${first.cause} ${first.source}`,
    onclick: () => set(leadsTo(context.run, first)),
  };
  const mark = h("span", { class: first.alarm ? "alarm" : "note" }, when);
  const button = h(
    "button",
    attributes,
    h("span", { class: "head" }, head, mark),
    notes.map((note) => h("span", { class: "note" }, note)),
    h("span", { class: "note advice" }, first.advice),
    movesTable(context, event),
  );
  return h("li", {}, button);
}

/** @param {TaughtRow} row */
const rowWords = ({ row, label }) => (label ? `${row} (${label})` : String(row));

/**
 * What shows the cause of an alert.
 * @param {Run} run
 * @param {AlertRecord} alert
 * @returns {Partial<import("../core/state.js").State>}
 */
function leadsTo(run, { source, epoch }) {
  if (source === "gap") return { view: "reliance_gap", epoch };
  if (source === "rule" || !run.methods.length) return { epoch };
  return linkToSamples(run, epoch);
}

/** The titles of an alert's features, by its source. @type {Partial<Record<AlertSource, string[]>>} */
const TITLES = {
  gap: ["feature", "in the probe", "in the training rows", "z"],
  rule: ["feature", "measured", "limit"],
};
const TITLES_OF_CHANGES = ["feature", "share", "now", "z"];

/**
 * The features of an event that moved; which rows differ is said of the event.
 * @param {RunContext} context
 * @param {AlertRecord[]} event
 */
function movesTable(context, event) {
  const rows = event.flatMap((alert) => moveRows(context, alert, event[0].source));
  if (!rows.length) return null;
  const titles = TITLES[event[0].source] ?? [...TITLES_OF_CHANGES, `seen on, ${context.run.unit}`];
  const head = titles.map((title) => h("th", { scope: "col" }, title));
  return h("table", {}, h("tr", {}, head), rows);
}

/** By the sign of the mean signed attribution. @type {Record<number, string>} */
const SPEAKS = { 1: " speaks for the explained class", "-1": " speaks against the explained class" };

/**
 * @param {RunContext} context
 * @param {AlertRecord} alert
 * @param {AlertSource} first the source of its event, which decides what the columns are
 */
function moveRows(context, alert, first) {
  const { source } = alert;
  if (source === "rule") return alert.features.map(([name, limit, value]) => plainRow(name, [value, limit], []));
  if (source === "gap" && first !== "gap") {
    const seenOn = `gap, ${alert.epoch}`;
    return alert.features.map(([name, probe, live, , z]) =>
      plainRow(name, [], [`${signedPercent(probe)} → ${signedPercent(live)}`, "–", signed(z, 1), seenOn]),
    );
  }
  if (source === "gap") {
    return alert.features.map(([name, probe, live, , z]) => plainRow(name, [probe, live], [signed(z, 1)]));
  }
  return changeRows(context, alert, source);
}

/**
 * A feature, some shares, and what else is said of it.
 * @param {string} name
 * @param {(number | null)[]} shares
 * @param {string[]} words
 */
function plainRow(name, shares, words) {
  const cells = [...shares.map(signedPercent), ...words].map((cell) => h("td", {}, cell));
  return h("tr", {}, h("td", { title: name }, name), cells);
}

/**
 * @param {RunContext} context
 * @param {AlertRecord} alert
 * @param {Source} source
 */
function changeRows({ run, name, epoch, server, vocabulary }, alert, source) {
  const importance = run.sources[source] ? server.read("importance", { run: name, source }, run.stamp) : undefined;
  const shares = importance ? row(importance.share, measuredAt(importance, epoch)) : null;
  const moves = alert.features.filter(([, , , , z]) => z !== null).slice(0, FEATURES_OF_ALERT);
  return moves.map(([feature, before, after, direction, z]) => {
    const hasShares = source !== "data"; // the data score is of other units
    const place = importance && hasShares ? importance.names.indexOf(feature) : -1;
    const cells = [
      h("td", { title: `${feature}${SPEAKS[direction] ?? ""}` }, feature),
      h("td", {}, hasShares ? `${percent(before)} → ${percent(after)}` : "–"),
      h("td", {}, shares && place >= 0 ? shareWords(shares[place]) : "–"),
      h("td", {}, signed(z, 1)),
      h("td", {}, `${vocabulary.sources[source]}, ${alert.epoch}`),
    ];
    return h("tr", {}, cells);
  });
}
