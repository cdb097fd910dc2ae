/** Importance and drift: the score and its limit, the alerts in words, who rose and who fell. */
import { ask } from "./api.js";
import { chart, figureBehind } from "./chart.js";
import { legend, runColour } from "./colour.js";
import { group, segments } from "./controls.js";
import { absent, h, message, panel, percent, position, short, signed } from "./dom.js";
import { draw } from "./image.js";
import { changeFigure, importanceMaps, lacking, largest, measuredAt, order, row } from "./marks.js";
import { nowWords, scoreKeys, SEEN_BY, towardsSamples } from "./overview.js";
import { set, state } from "./state.js";

/** The source looked at: the one chosen, else the live rows, which see more. */
export const sourceOf = (run) =>
  [state.source, "live", "clean"].find((source) => run.sources[source] && source !== "data") ?? "";

export function importanceDrift(root, context) {
  const { run, name, epoch } = context;
  const source = sourceOf(run);
  if (!source) {
    return root.append(
      absent(run, "ImportanceDrift", "This run watches no importance", "kx.ImportanceDrift(log_dir, probe)"),
    );
  }
  const importance = ask("importance", { run: name, source }, run.stamp);
  const score = panel(
    "c7",
    "Drift score",
    scoreKeys(context, true),
    chart(context, "drift_score", {
      id: "drift score",
      height: 204 + context.spare,
      label: "Drift score over epochs with its limit and the alerts",
    }),
    h(
      "p",
      { class: "note" },
      rateWords(run, epoch),
      " Score: the largest move of one feature in units of its own usual step.",
    ),
  );
  const alerts = panel(
    "c5",
    "Alerts",
    run.alerts.length && run.methods.length ? "click: see the samples that moved most" : "",
    run.alerts.length
      ? alertList(context, importance)
      : h("p", { class: "note" }, ask("summary", { run: name, epoch }, run.stamp)?.watch ?? "…"),
  );
  const ranks = panel(
    "c7",
    "Rank of the ten most important features",
    `${SEEN_BY[source]}, rank 1 on top`,
    chart(context, "rank_bump", {
      parameters: { source, epoch },
      overlays: false,
      height: 296 + context.spare,
      label: "Rank of the ten most important features over epochs",
    }),
  );
  const lack = importance && lacking(importance, epoch);
  if (lack) ranks.append(lack);
  root.append(
    h(
      "div",
      { class: "grid" },
      score,
      alerts,
      ranks,
      mapsPanel(context, importance, source),
      ...differences(context, importance, source),
    ),
  );
}

function rateWords(run, epoch) {
  const rates = run.learning_rate.filter((rate) => rate !== null);
  if (!rates.length) return "Learning rate not known.";
  const now = run.learning_rate[position(run.epochs, epoch)];
  return new Set(rates).size === 1
    ? `Learning rate ${short(now)}, steady.`
    : `Learning rate ${short(now)}, was ${short(rates[0])} at first.`;
}

/** A share; what was not measured is not nothing. */
const shareWords = (share) => (Number.isFinite(share) ? percent(share) : "not measured");

const TITLES = { "data changed": "The training data changed", "reliance moved": "The model moved its reliance" };

/** The sign of the mean signed attribution. */
const SPEAKS = { 1: " speaks for the explained class", "-1": " speaks against the explained class" };

/** Alerts of one cause, which are one entry, in the order of their first ones. */
function eventsOf(alerts) {
  const byEvent = new Map();
  for (const alert of alerts) byEvent.set(alert.event, [...(byEvent.get(alert.event) ?? []), alert]);
  return [...byEvent.values()];
}

function alertList(context, seen) {
  const { run, epoch } = context;
  return h(
    "ul",
    { class: "alerts" },
    eventsOf(run.alerts).map((event) => {
      const [first] = event;
      const last = Math.max(...event.map((alert) => alert.lasted));
      const changed = event.find((alert) => alert.changed_words)?.changed_words;
      const notes = [
        changed,
        event.some((alert) => alert.learning_rate_rising) && "while the learning rate was rising",
      ].filter(Boolean);
      const cells = event.flatMap((alert) => alertRows(context, alert, seen));
      return h(
        "li",
        {},
        h(
          "button",
          {
            type: "button",
            class: event.some((alert) => alert.epoch === epoch) ? "now" : "",
            "data-key": `alert ${first.epoch} ${first.source}`,
            onclick: () => set(run.methods.length ? towardsSamples(run, first.epoch) : { epoch: first.epoch }),
          },
          h(
            "span",
            { class: "head" },
            h("span", {}, TITLES[first.verdict] ?? first.verdict),
            h("span", { class: "alarm" }, `epoch ${first.epoch}${last > first.epoch ? ` to ${last}` : ""}`),
          ),
          notes.map((note) => h("span", { class: "note" }, note)),
          cells.length
            ? h(
                "table",
                {},
                h(
                  "tr",
                  {},
                  ["feature", "share", "now", "z", "seen by, epoch"].map((title) => h("th", { scope: "col" }, title)),
                ),
                cells,
              )
            : null,
        ),
      );
    }),
  );
}

/** The features of one alert that moved, three at most; which rows differ is said of the event. */
function alertRows({ run, name, epoch }, alert, seen) {
  const of =
    alert.source === sourceOf(run)
      ? seen
      : alert.source in run.sources
        ? ask("importance", { run: name, source: alert.source }, run.stamp)
        : null;
  const now = of ? row(of.share, measuredAt(of, epoch)) : null;
  const moved = alert.features.filter(([, , , , z]) => z !== null);
  return moved.slice(0, 3).map(([feature, before, after, direction, z]) => {
    const place = of ? of.names.indexOf(feature) : -1;
    const share = alert.source === "data" ? "–" : `${percent(before)} → ${percent(after)}`;
    return h(
      "tr",
      {},
      h("td", { title: `${feature}${SPEAKS[direction] ?? ""}` }, feature),
      h("td", {}, share),
      h("td", {}, place >= 0 && alert.source !== "data" ? shareWords(now[place]) : "–"),
      h("td", {}, signed(z, 1)),
      h("td", {}, `${SEEN_BY[alert.source]}, ${alert.epoch}`),
    );
  });
}

function mapsPanel(context, importance, source) {
  const { run, epoch } = context;
  const cells = run.probe?.kind === "image" ? run.probe.cells : null;
  if (importance && cells && cells[0] * cells[1] === importance.names.length)
    return imageMaps(context, importance, cells);
  const scale = figureBehind(context, "importance_map", { source, epoch }, false)?.layout.meta?.scale;
  return panel(
    "c5",
    "Importance by feature and epoch",
    scale ? legend(scale.map, scale.low, scale.high) : "",
    chart(context, "importance_map", {
      parameters: { source, epoch },
      overlays: false,
      height: 286 + context.spare,
      label: "Importance by feature and epoch",
    }),
  );
}

function imageMaps(context, importance, cells) {
  const { run, epoch } = context;
  const first = run.alerts.find((alert) => alert.epoch <= epoch);
  const at = measuredAt(importance, epoch);
  const base = first
    ? Math.max(0, position(importance.epochs, first.epoch) - 1)
    : measuredAt(importance, importance.epochs[0]);
  const [before, now] = [row(importance.share, base), row(importance.share, at)];
  const maps = importanceMaps(
    [
      { title: first ? "Before the alert" : "First epoch", epoch: importance.epochs[base], values: before },
      { title: nowWords(importance, epoch), epoch: importance.epochs[at], values: now },
    ],
    cells,
    importance.names,
  );
  const { figure, scale } = changeFigure(
    before,
    now,
    cells,
    importance.names,
    `epoch ${importance.epochs[base]} → ${importance.epochs[at]}`,
  );
  maps.append(figure);
  const scales = h(
    "div",
    { class: "legends" },
    legend("sequential", "0\u00a0%", percent(Math.max(largest(before), largest(now)))),
    scale,
  );
  return panel("c5", "Importance as a map of the input", "", maps, scales, strip(context, importance, cells));
}

/** The map at every epoch, or at twenty-four of them; a click goes there. */
function strip(context, importance, cells) {
  const { run, epoch } = context;
  const alerted = new Set(run.alerts.map((alert) => alert.epoch));
  const n = importance.epochs.length;
  const shown =
    n <= 24
      ? importance.epochs.map((_, i) => i)
      : [...new Set(Array.from({ length: 24 }, (_, k) => Math.round((k * (n - 1)) / 23)))];
  const high = largest(importance.share.data);
  const now = shown.reduce((best, i) => (importance.epochs[i] <= epoch ? i : best), shown[0]);
  return h(
    "div",
    { class: "mini" },
    shown.map((i) => {
      const canvas = h("canvas", {});
      draw(canvas, {
        values: row(importance.share, i),
        height: cells[0],
        width: cells[1],
        hi: high,
        size: 32,
        ratio: cells[0] / cells[1],
        map: "sequential",
      });
      const at = importance.epochs[i];
      return h(
        "button",
        {
          type: "button",
          class: `${i === now ? "now" : ""} ${alerted.has(at) ? "tick" : ""}`,
          "aria-label": `Importance at epoch ${at}`,
          "data-key": `strip ${at}`,
          onclick: () => set({ epoch: at }),
        },
        canvas,
        String(at),
      );
    }),
  );
}

/** Several runs: who relies on what, side by side at this epoch or the nearest earlier one. */
function differences(context, importance, source) {
  const others = context.picked.filter((name) => name !== context.name);
  if (!importance || !others.length) return [];
  const columns = [context.name, ...others]
    .slice(0, 6)
    .map((name) => ({
      name,
      found: name === context.name ? importance : ask("importance", { run: name, source }, context.stampOf(name)),
    }))
    .filter(({ found }) => found?.epochs.length)
    .map(({ name, found }) => {
      const at = measuredAt(found, context.epoch);
      return {
        name,
        epoch: found.epochs[at],
        share: new Map(found.names.map((feature, i) => [feature, row(found.share, at)[i]])),
      };
    })
    .filter(({ share }, i, all) => i === 0 || [...share.keys()].some((feature) => all[0].share.has(feature)));
  if (columns.length < 2) return [];
  const own = columns[0].share;
  const difference = (feature) =>
    Math.max(
      0,
      ...columns
        .slice(1)
        .map(({ share }) => Math.abs(own.get(feature) - (share.get(feature) ?? NaN)))
        .filter(Number.isFinite),
    );
  const features = [...own.keys()];
  const shown = order(features.map(difference))
    .slice(0, 10)
    .map((i) => features[i]);
  const head = h(
    "tr",
    {},
    h("th", { scope: "col" }, "feature"),
    columns.map(({ name, epoch }) =>
      h(
        "th",
        { scope: "col", style: { color: runColour(context.place(name)) } },
        epoch === context.epoch ? name : `${name} (epoch ${epoch})`,
      ),
    ),
    h("th", { scope: "col" }, "largest difference"),
  );
  const body = shown.map((feature) =>
    h(
      "tr",
      {},
      h("td", {}, feature),
      columns.map(({ share }) => h("td", {}, share.has(feature) ? shareWords(share.get(feature)) : "–")),
      h("td", {}, `${(100 * difference(feature)).toFixed(2)} points`),
    ),
  );
  return [
    panel(
      "c12",
      "Where the ticked runs differ most",
      `share of importance, ${SEEN_BY[source]}, epoch ${context.epoch}`,
      h("table", {}, head, body),
    ),
  ];
}

/** The settings of this view and what they depend on. */
export const importanceDriftSettings = {
  key: (context) => Object.keys(context.run?.sources ?? {}).join(),
  build: (context) =>
    context.run?.sources.live && context.run.sources.clean
      ? [
          group(
            "Importance measured on",
            segments(
              "source",
              "Importance measured on",
              [
                ["clean", "Fixed probe"],
                ["live", "Live rows"],
              ],
              sourceOf(context.run),
            ),
          ),
        ]
      : [],
};
