/** Finds alerts: by their verdict, their source, when they were raised, and any word of theirs. */
import { h } from "../core/dom.js";
import { choice, filterBox, matcher } from "../core/filter.js";
import { state } from "../core/state.js";

/**
 * What is said of an alert.
 * @param {Vocabulary} vocabulary
 * @param {AlertRecord} alert
 */
function textOf(vocabulary, alert) {
  const words = [alert.sentence, vocabulary.verdicts[alert.verdict], vocabulary.sources[alert.source]];
  const names = alert.features.map(([name]) => name);
  return [...words, alert.moment, alert.advice, alert.changed_words ?? "", ...names].join("\n");
}

/**
 * The events of which an alert is found, and the boxes that find them; no boxes for a single event.
 * @param {RunContext} context
 * @param {AlertRecord[][]} events
 * @returns {{finder: HTMLElement | null, found: AlertRecord[][]}}
 */
export function findAlerts({ vocabulary, epoch }, events) {
  if (events.length < 2) return { finder: null, found: events };
  const { test } = matcher(state.alertFilter);
  const when = { until: (/** @type {number} */ at) => at <= epoch, at: (/** @type {number} */ at) => at === epoch };
  const isThen = when[/** @type {"until" | "at"} */ (state.alertWhen)] ?? (() => true);
  /** @param {AlertRecord} alert */
  const finds = (alert) =>
    (!state.alertVerdict || alert.verdict === state.alertVerdict) &&
    (!state.alertSource || alert.source === state.alertSource) &&
    isThen(alert.epoch) &&
    test(textOf(vocabulary, alert));
  const found = events.filter((event) => event.some(finds));
  const box = filterBox("alertFilter", "Filter alerts");
  const alerts = events.flat();
  /** @type {(names: string[], words: Record<string, string>, all: string) => [string, string][]} */
  const options = (names, words, all) => [
    ["", all],
    ...[...new Set(names)].filter(Boolean).map((name) => /** @type {[string, string]} */ ([name, words[name] ?? name])),
  ];
  const verdicts = options(
    [...alerts.map(({ verdict }) => verdict), state.alertVerdict],
    vocabulary.verdicts,
    "Any verdict",
  );
  const sources = options([...alerts.map(({ source }) => source), state.alertSource], vocabulary.sources, "Any source");
  const finder = h(
    "div",
    { class: "finder" },
    box.count(found.length, events.length),
    choice("alertVerdict", "Verdict", verdicts),
    choice("alertSource", "Source", sources),
    choice("alertWhen", "When", [
      ["", "Any time"],
      ["until", "Up to the slider"],
      ["at", "At the slider"],
    ]),
  );
  return { finder, found };
}
