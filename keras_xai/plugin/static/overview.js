/** Overview: what happened in this run? One screen, nothing to set. */
import { ask } from "./api.js";
import { chart, figureBehind } from "./chart.js";
import { legend, runColour, token } from "./colour.js";
import { absent, h, key, panel, percent } from "./dom.js";
import { importanceMaps, lacking, largest, measuredAt, notFiniteSince, order, row, slope } from "./marks.js";
import { set } from "./state.js";

/** What the server has to say at this epoch; the last words stand in until they are there. */
let words = null;

/** The way to the samples that moved most, in a method that can see the cause. */
export function towardsSamples(run, epoch) {
  const seeing = ["saliency", "grad_cam", "input_x_gradient"].find((name) =>
    run.methods.some((method) => method.name === name),
  );
  return {
    view: "probe_attributions",
    epoch,
    method: seeing ?? run.methods[0]?.name ?? "",
    sort: "change",
    compare: "off",
  };
}

export function overview(root, context) {
  const { run, name, epoch } = context;
  const summary = ask("summary", { run: name, epoch }, run.stamp) ?? (words?.name === name ? words.summary : null);
  if (!summary) return root.append(h("p", { class: "note" }, "…"));
  words = { name, summary };
  const source = run.sources.live ? "live" : run.sources.clean ? "clean" : "";
  const importance = source ? ask("importance", { run: name, source }, run.stamp) : null;
  const first = run.alerts.find((alert) => alert.epoch <= epoch);

  root.append(
    h(
      "div",
      { class: "grid" },
      lead(summary, run, epoch, first),
      facts(summary),
      driftPanel(context, source),
      looksPanel(context, importance, summary),
      lossPanel(context),
      movedPanel(context, importance, summary),
      healthPanel(context),
    ),
  );
  for (const fill of pending.splice(0)) fill();
}

/** Marks that need to know their width are drawn when their panel stands. */
const pending = [];

function lead(summary, run, epoch, first) {
  const button = h(
    "button",
    {
      class: "link",
      type: "button",
      "data-key": "samples",
      onclick: () => set(towardsSamples(run, Math.max(epoch, first.epoch))),
    },
    "See the samples that moved most →",
  );
  return h(
    "div",
    { class: "lead c12" },
    h("h1", {}, summary.sentence),
    faults(summary),
    h("p", {}, summary.detail, " ", first && run.methods.length ? button : null),
  );
}

/** What of the watch broke: said first, and in red. */
const faults = (summary) =>
  summary.faults.length
    ? h(
        "ul",
        { class: "faults alarm" },
        summary.faults.map((fault) => h("li", {}, fault)),
      )
    : null;

const facts = (summary) =>
  h(
    "div",
    { class: "facts c12" },
    summary.facts.map((fact) =>
      h(
        "div",
        { class: fact.alarm ? "alarm" : "" },
        h("b", {}, fact.value, " ", h("span", { class: "was" }, fact.was)),
        h("span", { class: "note", title: fact.note }, fact.note),
      ),
    ),
  );

/** Which line is which: the sources of a run that stands alone, or the runs; `both` names the sources first. */
export function scoreKeys(context, both = false) {
  const own = Object.keys(context.run.sources);
  const colour = runColour(context.place(context.name));
  const sources = own.length > 1 && (both || context.picked.length === 1);
  const runs = context.picked.filter((name) => !sources || name !== context.name).slice(0, 4);
  return [
    ...(sources ? own.map((source) => key(SEEN_BY[source], colour, DASHES[source])) : []),
    ...runs.map((name) => key(name, runColour(context.place(name)))),
  ];
}
export const SEEN_BY = { live: "live rows", clean: "fixed probe", data: "data score" };
const DASHES = { live: "solid", clean: "dotted", data: "dashed" };

function driftPanel(context, source) {
  const title = panel("c7", "Drift score", source ? scoreKeys(context) : "");
  if (!source)
    title.append(absent(context.run, "ImportanceDrift", "Not watched", "kx.ImportanceDrift(log_dir, probe)"));
  else
    title.append(
      chart(context, "drift_score", {
        id: "overview drift",
        height: 192 + context.spare,
        label: "Drift score over epochs with its limit",
      }),
    );
  return title;
}

function looksPanel(context, importance, summary) {
  const { run, epoch } = context;
  const cells = run.probe?.kind === "image" ? run.probe.cells : null;
  if (!importance)
    return panel(
      "c5",
      "Importance",
      "",
      h("p", { class: "note" }, run.sources.clean || run.sources.live ? "…" : "Not recorded."),
    );
  const at = measuredAt(importance, epoch);
  const now = row(importance.share, at);
  const first = measuredAt(importance, importance.epochs[0]);
  if (cells && cells[0] * cells[1] === importance.names.length) {
    const before = measuredAt(importance, summary.before);
    const list = [
      [first, "First epoch"],
      [before, "Before the alert"],
      [at, nowWords(importance, epoch)],
    ].filter(([place, title], i) => i !== 1 || (summary.alarm && place > 0 && place < at && title));
    return panel(
      "c5",
      "Where the importance lies",
      legend(
        "sequential",
        "0\u00a0%",
        percent(Math.max(...list.map(([place]) => largest(row(importance.share, place))))),
      ),
      importanceMaps(
        list.map(([place, title]) => ({
          title,
          epoch: importance.epochs[place],
          values: row(importance.share, place),
        })),
        cells,
        importance.names,
      ),
      lacking(importance, epoch) ?? "",
    );
  }
  const out = panel(
    "c5",
    "Most important features",
    `share, epoch ${importance.epochs[first]} → ${importance.epochs[at]}`,
    lacking(importance, epoch) ?? "",
  );
  pending.push(() =>
    out.append(
      slope(out.clientWidth, 184 + context.spare, {
        from: row(importance.share, first),
        to: now,
        names: importance.names,
        alerted: alertedBy(run, epoch),
        shown: order(now).slice(0, 7),
      }),
    ),
  );
  return out;
}

/** What the newest of several maps is called: where the importance ended it is not of now. */
export const nowWords = (importance, epoch) => (notFiniteSince(importance, epoch) === null ? "Now" : "Last finite");

/** Features that an alert up to here names, three each. */
export const alertedBy = (run, epoch) =>
  new Set(
    run.alerts
      .filter((alert) => alert.epoch <= epoch)
      .flatMap((alert) => alert.features.slice(0, 3).map(([name]) => name)),
  );

function lossPanel(context) {
  const keys = h(
    "span",
    {},
    key("training", token("text-2")),
    context.run.logs.includes("val_loss") && key("validation", token("text-2"), "dotted"),
  );
  if (!context.run.logs.includes("loss"))
    return panel("c4", "Loss", "", h("p", { class: "note" }, "No loss in the logs."));
  return panel("c4", "Loss", keys, chart(context, "loss", { height: 192 + context.spare, label: "Loss over epochs" }));
}

function movedPanel(context, importance, summary) {
  const { run, epoch } = context;
  if (!importance)
    return panel(
      "c4",
      "What rose and fell",
      "",
      h("p", { class: "note" }, run.sources.clean || run.sources.live ? "…" : "Importance was not recorded."),
    );
  const [before, at] = [measuredAt(importance, summary.before), measuredAt(importance, epoch)];
  const [from, to] = [row(importance.share, before), row(importance.share, at)];
  const moved = order(to.map((value, i) => Math.abs(value - from[i])));
  const rise = moved.filter((i) => to[i] > from[i]).slice(0, 3);
  const fall = moved.filter((i) => to[i] <= from[i]).slice(0, 3);
  const out = panel("c4", "What rose and fell", `share, epoch ${importance.epochs[before]} → ${importance.epochs[at]}`);
  pending.push(() =>
    out.append(
      slope(out.clientWidth, 184 + context.spare, {
        from,
        to,
        names: importance.names,
        alerted: alertedBy(run, epoch),
        shown: [...rise, ...fall],
      }),
    ),
  );
  return out;
}

function healthPanel(context) {
  if (!context.run.variables.length)
    return panel(
      "c4",
      "Gradient health",
      "",
      absent(context.run, "WeightGradients", "Not recorded", "kx.WeightGradients(log_dir)"),
    );
  const parameters = { compact: 1 };
  const rows = figureBehind(context, "heat_map", parameters, false)?.layout.meta?.rows.length ?? 6;
  return panel(
    "c4",
    "Gradient health",
    "log RMS, layer × epoch",
    chart(context, "heat_map", {
      id: "overview health",
      parameters,
      overlays: false,
      height: Math.min(188 + context.spare, 26 + 22 * rows),
      label: "Size of the gradients by layer and epoch",
      onrow: (variable) => ({ view: "weight_gradients", variable }),
    }),
  );
}
