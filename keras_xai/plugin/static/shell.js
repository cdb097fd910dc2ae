/** Wires: one selection, five views, one slider. */
import { ask, askAhead, fetchNow, forgetRefusals, know, onAnswer, refusal } from "./api.js";
import { drawCharts } from "./chart.js";
import { followHost, setColours, themeName } from "./colour.js";
import { settings } from "./controls.js";
import { count, h, message, percent, position, tip } from "./dom.js";
import { EpochSlider } from "./epoch_slider.js";
import { importanceDrift, importanceDriftSettings } from "./importance_drift.js";
import { overview } from "./overview.js";
import {
  askAttributions,
  probeAttributions,
  probeAttributionsSettings,
  stepAttributions,
} from "./probe_attributions.js";
import { mappings, mappingsSettings, stepMappings } from "./mappings.js";
import { meet, place, runs } from "./runs.js";
import { open, set, state, subscribe } from "./state.js";
import { weightGradients, weightGradientsSettings } from "./weight_gradients.js";

const NOTHING = { key: () => "", build: () => [] };
const VIEWS = {
  overview: { title: "Overview", draw: overview, settings: NOTHING },
  weight_gradients: { title: "Weight gradients", draw: weightGradients, settings: weightGradientsSettings },
  probe_attributions: {
    title: "Attributions",
    draw: probeAttributions,
    step: stepAttributions,
    ask: askAttributions,
    settings: probeAttributionsSettings,
  },
  importance_drift: { title: "Importance & drift", draw: importanceDrift, settings: importanceDriftSettings },
  mappings: { title: "Mappings", draw: mappings, step: stepMappings, settings: mappingsSettings },
};
const KEYS = [
  [["←", "→"], "epoch"],
  [["⇧", "→"], "next alert"],
  [["space"], "play"],
  [["1", "…", String(Object.keys(VIEWS).length)], "view"],
  [["C"], "compare"],
];
const ALL_KEYS = [...KEYS, [["Home", "End"], "first, last epoch"], [["?"], "this list"]];
const FIRST_POLL = 1500;
const SLOWEST_POLL = 10_000;
const REST = 90; // milliseconds

/** Everything the server said of the runs, and when. */
let index = null;
let lost = "";
let slider = null;
/** The run that was in focus at the last render. */
let shown = "";
let frame = 0;
let resting = 0;
const parts = {};

const hints = (keys) =>
  h(
    "div",
    { class: "hints" },
    keys.map(([names, text]) => [
      h(
        "span",
        {},
        names.map((name) => (name === "…" ? "…" : h("kbd", {}, name))),
      ),
      h("span", {}, text),
    ]),
  );

function shell() {
  document.documentElement.lang = "en";
  document.title = "Explain";
  document.head.append(h("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }));
  parts.tabs = h(
    "div",
    { role: "tablist", "aria-label": "Views" },
    Object.entries(VIEWS).map(([key, { title }]) =>
      h(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${key}`,
          "aria-controls": "view",
          onclick: () => set({ view: key }),
          onkeydown: turnTab,
        },
        title,
      ),
    ),
  );
  parts.said = h("span", {});
  parts.cost = h("span", {});
  parts.noted = h("button", { type: "button", class: "link", hidden: true, onclick: () => parts.notes.showModal() });
  parts.notes = h("dialog", { class: "notes", "aria-label": "Notes", onclick: () => parts.notes.close() });
  parts.runs = h("ul", { class: "runs", "aria-label": "Runs" });
  parts.settings = h("section", { class: "settings", "aria-label": "Settings" });
  parts.view = h(
    "main",
    { id: "view", tabindex: -1, role: "tabpanel" },
    message("Reading the runs", "Attributions first, charts a moment later."),
  );
  parts.transport = h("footer", { class: "transport", "aria-label": "Epoch" });
  parts.keys = h(
    "dialog",
    { "aria-label": "Keyboard", onclick: () => parts.keys.close() },
    h("h3", {}, "Keyboard"),
    hints(ALL_KEYS),
  );
  parts.told = h("div", { class: "hidden", role: "status", "aria-live": "polite" });
  const help = h(
    "button",
    {
      type: "button",
      class: "help",
      "aria-label": "Keyboard",
      title: "Keyboard",
      onclick: () => parts.keys.showModal(),
    },
    "?",
  );
  document.body.append(
    h("header", { class: "bar" }, parts.tabs, h("div", { class: "status" }, parts.said, parts.cost, parts.noted, help)),
    h(
      "aside",
      { class: "rail", "aria-label": "Runs and settings" },
      h("section", {}, h("h2", {}, "Runs"), parts.runs),
      parts.settings,
      hints(KEYS),
    ),
    parts.view,
    parts.transport,
    parts.keys,
    parts.notes,
    h("div", { id: "tip", class: "tip", hidden: true }),
    parts.told,
  );
  slider = new EpochSlider(parts.transport);
}

/** Arrow keys move along the tabs, as tabs do. */
function turnTab(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || event.shiftKey) return;
  event.preventDefault();
  event.stopPropagation();
  const keys = Object.keys(VIEWS);
  const next = keys[(keys.indexOf(state.view) + step + keys.length) % keys.length];
  set({ view: next });
  document.getElementById(`tab-${next}`).focus();
}

/** What a view needs to know. */
function contextNow() {
  const cards = index.runs;
  const card = cards.find((one) => one.name === state.focus) ?? cards[0];
  const names = new Set(cards.map((one) => one.name));
  const run = card.error ? undefined : ask("run", { run: card.name }, card.stamp);
  const picked = state.runs.filter(
    (name) => names.has(name) && (name === card.name || cards.find((one) => one.name === name).epochs),
  );
  if (!picked.includes(card.name)) picked.push(card.name);
  const stampOf = (name) => cards.find((one) => one.name === name)?.stamp ?? "";
  const epochs = run?.epochs ?? [];
  return {
    cards,
    card,
    run,
    picked,
    place,
    stampOf,
    name: card.name,
    theme: themeName(),
    // A tall window gives its charts more height, a row at a time.
    spare: Math.round(Math.max(0, Math.min(120, (innerHeight - 800) / 2))),
    figureStamp: picked.map(stampOf).join("|"),
    epoch: !epochs.length ? null : state.epoch === null ? epochs.at(-1) : epochs[position(epochs, state.epoch)],
  };
}

function update() {
  frame = 0;
  if (!index) return;
  if (!VIEWS[state.view]) state.view = "overview";
  if (!index.runs.length) return drawNothing();
  const context = contextNow();
  tip({}, "");
  const held = document.activeElement?.dataset?.key;
  document.body.dataset.view = state.view;
  document.body.style.setProperty("--spare", `${context.spare}px`);
  for (const tab of parts.tabs.children) {
    const on = tab.id === `tab-${state.view}`;
    tab.setAttribute("aria-selected", String(on));
    tab.tabIndex = on ? 0 : -1;
  }
  parts.view.setAttribute("aria-labelledby", `tab-${state.view}`);
  parts.runs.replaceChildren(...runs(context.cards));
  if (shown !== context.name)
    requestAnimationFrame(() => parts.runs.querySelector(".focus")?.scrollIntoView({ block: "nearest" }));
  shown = context.name;
  drawStatus(context);
  slider.update(context);
  drawView(context);
  if (held) document.querySelector(`[data-key="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
  drawCharts().catch((error) => {
    parts.told.textContent = String(error.message);
  });
}

/** The view itself: words where it has nothing to show. */
function drawView(context) {
  const { run, card, name } = context;
  const { draw, settings: own } = VIEWS[state.view];
  const scroll = parts.view.scrollTop;
  const wrong = card.error || (run ? "" : refusal("run", { run: name }));
  if (!run || card.error)
    parts.view.replaceChildren(wrong ? message("This run could not be read", wrong) : message("Reading the run", name));
  else if (!card.epochs) parts.view.replaceChildren(noEpochs(card));
  else {
    settings(parts.settings, [state.view, name, own.key(context)].join("|"), () => own.build(context));
    parts.view.replaceChildren();
    draw(parts.view, context);
    parts.view.scrollTop = scroll;
    return;
  }
  settings(parts.settings, "", () => []);
}

const noEpochs = (card) =>
  message(
    "No epochs yet",
    `${card.name} has ${card.probe ? `written its probe of ${card.probe.size} samples` : "begun"} but no epoch. The first arrives when the first epoch ends; this page looks every few seconds.`,
  );

function drawNothing() {
  parts.runs.replaceChildren();
  parts.said.replaceChildren();
  parts.cost.replaceChildren();
  settings(parts.settings, "", () => []);
  parts.view.replaceChildren(
    message(
      "No explanations here yet",
      `Nothing below ${index.log_dir || "the log directory"} was written by keras_xai. Add the callback to fit() and this page fills as it trains.`,
      "model.fit(x, y, callbacks=[kx.Explain(log_dir, probe)])",
    ),
  );
}

const ago = (seconds) =>
  seconds < 90
    ? `${Math.max(0, Math.round(seconds))} s ago`
    : seconds < 5400
      ? `${Math.round(seconds / 60)} min ago`
      : seconds < 172_800
        ? `${Math.round(seconds / 3600)} h ago`
        : `${Math.round(seconds / 86_400)} days ago`;

/** Last epoch seen, whether it is still being written to, what the callbacks cost. */
function drawStatus({ card, run }) {
  const since = card.last ? index.now + (performance.now() - index.at) / 1000 - card.last.wall_time : Infinity;
  // Silence of several epochs' length is an end, or a very long epoch: it says how long ago, and does not guess further.
  const writing = card.last ? since < Math.max(30, 4 * (card.last.seconds ?? 0)) : true;
  const words = card.error
    ? "this run could not be read"
    : !card.last
      ? card.probe
        ? "probe written, training started"
        : "waiting for the first epoch"
      : [writing ? "writing, " : "", "last epoch ", h("b", {}, String(card.last.epoch)), `, ${ago(since)}`];
  parts.said.replaceChildren(
    h("i", { class: `dot ${lost ? "lost" : writing ? "live" : ""}` }),
    lost ? "the server does not answer, trying again" : h("span", {}, words),
  );
  const once = run?.cost_once >= 0.05 ? ` beside ${run.cost_once.toFixed(1)} s once to compile` : "";
  parts.cost.replaceChildren(
    ...(run?.cost > 0 ? ["callbacks cost ", h("b", {}, percent(run.cost)), ` of the training time${once}`] : []),
  );
  const notes = run?.notes ?? [];
  parts.noted.hidden = !notes.length;
  parts.noted.textContent = count(notes.length, "note");
  parts.notes.replaceChildren(
    h("h3", {}, "What the callbacks noted"),
    ...notes
      .slice(-40)
      .map((note) =>
        h(
          "p",
          {},
          h("span", { class: "note" }, note.epoch === null ? "" : `epoch ${note.epoch} `),
          h("span", { class: note.stopped ? "alarm" : "" }, note.text),
        ),
      ),
  );
}

/** A step of the slider paints the maps alone where the view can, at once or when they arrive, and the words when it rests. */
function selected(names) {
  clearTimeout(resting);
  resting = 0;
  if (names.length === 1 && names[0] === "epoch" && stepped()) {
    slider.update(contextNow());
    resting = setTimeout(rest, REST);
  } else update();
}

/** Whether the view is content with its maps. */
function stepped() {
  const context = index?.runs.length ? contextNow() : null;
  return Boolean(context?.run && VIEWS[state.view].step?.(context));
}

function rest() {
  resting = 0;
  update();
}

function answered() {
  if (!resting || !stepped()) update();
}

const schedule = () => {
  frame ||= requestAnimationFrame(update);
};

function frameHeight() {
  try {
    return window.frameElement ? window.frameElement.offsetHeight : 1;
  } catch {
    return 1; // a host of another origin does not say
  }
}

/** Looks for new epochs. The slider stays where it is, unless it stands on the latest. */
async function poll(wait) {
  await new Promise((done) => setTimeout(done, wait));
  // TensorBoard keeps the frame of a tab that one left, without a height; a frame that is not laid out keeps its old one.
  const asleep = document.hidden || innerHeight === 0 || frameHeight() === 0;
  if (!asleep) {
    try {
      const before = JSON.stringify([index.runs, lost]);
      const next = await fetchNow("index");
      if (lost) forgetRefusals();
      lost = "";
      index = { ...next, at: performance.now() };
      meet(index.runs);
      if (JSON.stringify([index.runs, lost]) !== before) {
        wait = FIRST_POLL;
        update();
      } else {
        wait = Math.min(SLOWEST_POLL, wait * 1.25);
        if (index.runs.length) drawStatus(contextNow());
      }
    } catch (error) {
      lost = String(error.message);
      if (index.runs.length) drawStatus(contextNow());
    }
  }
  poll(asleep ? FIRST_POLL : wait);
}

function keyboard() {
  addEventListener("keydown", (event) => {
    if (
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      parts.keys.open ||
      parts.notes.open ||
      /^(SELECT|TEXTAREA)$/.test(event.target.tagName) ||
      event.target.type === "range"
    )
      return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && event.shiftKey) slider.alert(step);
    else if (step) slider.step(step);
    else if (event.key === "Home") slider.go(0);
    else if (event.key === "End") slider.go(Infinity);
    else if (event.key === " " && event.target.tagName !== "BUTTON") slider.play();
    else if (/^[1-9]$/.test(event.key) && Object.keys(VIEWS)[event.key - 1])
      set({ view: Object.keys(VIEWS)[event.key - 1] });
    else if (event.key === "c")
      set({ view: "probe_attributions", compare: state.compare === "off" ? "epochs" : "off" });
    else if (event.key === "?") parts.keys.showModal();
    else return;
    event.preventDefault();
  });
}

/** What the view will ask for when the run is known, asked for while the run's own words are still being drawn. */
async function askForView() {
  if (!index.runs.length) return;
  const { card } = contextNow();
  if (card.error) return;
  await askAhead("run", { run: card.name }, card.stamp);
  const context = contextNow();
  if (context.run && card.epochs) VIEWS[state.view]?.ask?.(context);
}

/**
 * Once the frame stands.
 * @param {{style: Promise<any>, index: Promise<any>, theme: Promise<any>, plotly: () => void}} asked what was asked for before this module was there
 */
export async function start(asked) {
  followHost(schedule);
  try {
    const { run, ...told } = await asked.index;
    index = { ...told, at: performance.now() };
    if (run) know("run", { run: run.name }, run.stamp, run);
    open(index.log_dir);
    meet(index.runs);
    askForView(); // the server reads while the page is still being made
    if (state.view !== "probe_attributions") asked.plotly(); // which keeps the server from its maps where these come first
    const [theme] = await Promise.all([asked.theme, asked.style]);
    setColours(theme);
    shell();
    subscribe(selected);
    onAnswer(answered);
    keyboard();
    new ResizeObserver(schedule).observe(document.body);
    update();
    poll(FIRST_POLL);
  } catch (error) {
    await asked.style;
    document.body.replaceChildren(
      message(
        "The runs could not be read",
        `The server answered, but not with records: ${error.message} Reload to try again; the training is not affected.`,
      ),
    );
  }
}
