/** Wires: one selection, all views, one slider. */
import { address, openLink } from "./core/address.js";
import { ago } from "./core/times.js";
import { Server } from "./core/api.js";
import { Charts } from "./core/chart.js";
import { followHost, setColours, themeName } from "./core/colour.js";
import { SettingsRail } from "./core/controls.js";
import { copyLink } from "./core/copy_link.js";
import { clamp, count, h, hideTip, message, percent, position } from "./core/dom.js";
import { PanelTools } from "./core/panel_tools.js";
import { open, set, state, subscribe } from "./core/state.js";
import { EpochSlider } from "./epoch_slider.js";
import { BEFORE, moment } from "./core/updates.js";
import { railEdge } from "./rail_edge.js";
import { RailToggle } from "./rail_toggle.js";
import { drawnOf, missingOfLink, place, registerRuns, RunList } from "./runs.js";
import { ImportanceDriftView } from "./views/importance_drift.js";
import { MappingsView } from "./views/mappings.js";
import { OverviewView } from "./views/overview.js";
import { PredictionsView } from "./views/predictions.js";
import { ProbeAttributionsView } from "./views/probe_attributions.js";
import { RelianceGapView } from "./views/reliance_gap.js";
import { RunsTableView } from "./views/runs_table.js";
import { WeightGradientsView } from "./views/weight_gradients.js";

/** The tabs, in their order, by the names that the server titles them by; the first has the key 0. */
const VIEWS = {
  runs: RunsTableView,
  overview: OverviewView,
  weight_gradients: WeightGradientsView,
  probe_attributions: ProbeAttributionsView,
  importance_drift: ImportanceDriftView,
  reliance_gap: RelianceGapView,
  predictions: PredictionsView,
  mappings: MappingsView,
};
const VIEW_NAMES = Object.keys(VIEWS);

/** The keys and what they do; "epoch" is said in the unit of the run. @type {[keys: string[], text: string][]} */
const KEYS = [
  [["←", "→"], "epoch"],
  [["⇧", "→"], "next alert"],
  [["space"], "play"],
  [["0", "…", String(VIEW_NAMES.length - 1)], "view"],
  [["C"], "compare"],
];
const FIRST_VIEW = "overview";
/** @type {[keys: string[], text: string][]} */
const ALL_KEYS = [
  ...KEYS,
  [["Home", "End"], "first, last epoch"],
  [["⇧", "drag"], "zoom into a chart"],
  [["/"], "filter"],
  [["?"], "this list"],
];
/** What changes the list of runs, and nothing else but the table of runs. */
const OF_RUN_LIST = ["runFilter", "folded", "runSort", "runsDown"];
const FIRST_POLL = 1500; // milliseconds
const PENDING_POLL = 100; // while runs are listed that were not read yet
const SLOWEST_POLL = 10_000;
const POLL_GROWTH = 1.25;
const REST = 90; // milliseconds after a step of the slider until the words follow
// Milliseconds that the first drawing waits for what the view shows: drawing without it first takes as long as it does to come.
const LONGEST_WAIT = 100;
const NOTES_LISTED = 40;

/** The index, and when it came by the page's own clock. @typedef {Index & {at: number}} DatedIndex */

/**
 * What was asked for before this module was there.
 * @typedef {object} Requests
 * @property {Promise<unknown>} style
 * @property {Promise<Index & {run?: Run}>} index
 * @property {Promise<Presentation>} theme
 * @property {() => void} preloadPlotly
 */

/**
 * Starts the page once the frame stands.
 * @param {Requests} requests
 */
export async function start(requests) {
  /** @type {Shell | null} */
  let shell = null;
  followHost(() => shell?.schedule());
  try {
    const { run, ...index } = await requests.index;
    shell = new Shell({ ...index, at: performance.now() }, run);
    await shell.start(requests);
  } catch (error) {
    await requests.style;
    const words = `The server answered, but not with records: ${/** @type {Error} */ (error).message}`;
    const advice = "Reload to try again; the training is not affected.";
    document.body.replaceChildren(message("The runs could not be read", `${words} ${advice}`));
  }
}

/** The page: it owns the server's answers, the charts and the views, and decides what is drawn when. */
class Shell {
  #server = new Server(() => this.#answered());
  #charts = new Charts(this.#server);
  #tools = new PanelTools();
  /** @type {Record<string, View>} */
  #views = Object.fromEntries(Object.entries(VIEWS).map(([name, ViewClass]) => [name, new ViewClass()]));
  #index;
  /** @type {Vocabulary | null} */
  #vocabulary = null;
  /** @type {Frame | null} */
  #frame = null;
  /** the server's last failure to answer */
  #lost = "";
  /** the run in focus at the last drawing */
  #focus = "";
  #scheduled = 0;
  #resting = 0;
  /** whether the first drawing still waits for what the view shows */
  #isOpening = true;

  /**
   * @param {DatedIndex} index
   * @param {Run} [run] that came with it
   */
  constructor(index, run) {
    this.#index = index;
    if (run) this.#server.prime("run", { run: run.name }, run.stamp, run);
    open(index.place);
    openLink();
    registerRuns(index.runs);
  }

  /** @param {Requests} requests */
  async start(requests) {
    const loaded = this.#load(); // the server reads while the page is still being made
    // Plotly keeps the server from its maps where these come first.
    if (state.view !== "probe_attributions" && state.view !== "runs") requests.preloadPlotly();
    const [theme] = await Promise.all([requests.theme, requests.style]);
    setColours(theme);
    this.#vocabulary = theme.vocabulary;
    this.#frame = new Frame(theme.vocabulary, () => this.#pinned());
    subscribe((changed) => this.#selected(changed));
    address.follow();
    addEventListener("keydown", (event) => this.#pressed(event));
    new ResizeObserver(() => this.schedule()).observe(document.body);
    await Promise.race([loaded, pause(LONGEST_WAIT)]);
    this.#isOpening = false;
    this.#update();
    this.#poll(waitAfter(this.#index.runs));
    if (this.#index.runs.length) afterCharts(async () => (await import("./core/tour.js")).welcome());
  }

  /** @returns {Context} */
  #context() {
    const cards = this.#index.runs;
    const byName = new Map(cards.map((card) => [card.name, card]));
    const card = byName.get(state.focus) ?? cards[0];
    const { name } = card;
    const run = card.error ? undefined : this.#server.read("run", { run: name }, card.stamp);
    const ticked = state.runs.filter((other) => other === name || byName.get(other)?.epochs);
    // Epochs and steps have no axis in common; what a run counts in is known from its first update on.
    const picked = card.epochs
      ? ticked.filter((other) => other === name || byName.get(other)?.unit === card.unit)
      : [...ticked];
    const laid = new Set(picked);
    const drawn = drawnOf(picked, name);
    if (!drawn.includes(name)) drawn.push(name);
    const stop = stopOf(run);
    /** @param {string} other */
    const stampOf = (other) => byName.get(other)?.stamp ?? "";
    return {
      server: this.#server,
      charts: this.#charts,
      vocabulary: /** @type {Vocabulary} */ (this.#vocabulary),
      cards,
      card,
      name,
      run,
      picked: drawn,
      place,
      stampOf,
      figureStamp: drawn.map(stampOf).join("|"),
      now: this.#index.now + (performance.now() - this.#index.at) / 1000,
      theme: themeName(),
      // A tall window gives its charts more height, a row at a time; in one of a laptop both rows are to be seen.
      spare: Math.round(clamp((innerHeight - 800) / 2, -32, 120)),
      epoch: stop === BEFORE && !this.#showsBefore ? (run?.epochs[0] ?? null) : stop,
      stop,
      apart: ticked.filter((other) => other !== name && !laid.has(other)),
      undrawn: Math.max(0, picked.length - drawn.length),
    };
  }

  /** What a link names, so that it shows the same when more was written: the run, and the epoch that is seen. */
  #pinned() {
    if (!this.#index.runs.length) return {};
    const { name, stop } = this.#context();
    return stop === null ? { focus: name } : { focus: name, epoch: stop };
  }

  /** Whether the view has something to show of before training. */
  get #showsBefore() {
    return state.view === "probe_attributions";
  }

  /** of the drawing that stands: another one begins at its top */
  #viewShown = "";

  get #view() {
    return this.#views[state.view];
  }

  // Drawing.

  #update() {
    cancelAnimationFrame(this.#scheduled);
    this.#scheduled = 0;
    const frame = this.#frame;
    if (!frame || this.#isOpening) return;
    this.#server.quiet();
    if (!this.#view) state.view = FIRST_VIEW;
    if (!this.#index.runs.length) {
      frame.showNothing(this.#index.log_dir);
      return;
    }
    const context = this.#context();
    hideTip();
    const focusedKey = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.key;
    document.body.dataset.view = state.view;
    document.body.style.setProperty("--spare", `${context.spare}px`);
    frame.showTab(state.view);
    frame.showUnit(context.run?.unit ?? context.card.unit);
    frame.showRuns(context.cards, this.#focus !== context.name);
    this.#focus = context.name;
    frame.showStatus(context, this.#lost);
    frame.slider.update(context);
    this.#drawView(frame, context);
    this.#tools.follow(context);
    if (focusedKey) refocus(focusedKey);
    this.#charts.draw().catch((error) => frame.announce(String(error.message)));
  }

  /**
   * The view itself: words where it has nothing to show.
   * @param {Frame} frame
   * @param {Context} context
   */
  #drawView(frame, context) {
    const words = this.#view.ofRuns ? null : wordsInstead(context);
    if (words) {
      frame.view.replaceChildren(...headings(context), words);
      frame.rail.clear();
      return;
    }
    const drawn = /** @type {RunContext} */ (context);
    const view = this.#view;
    const scroll = this.#viewShown === state.view ? frame.main.scrollTop : 0;
    this.#viewShown = state.view;
    const key = [state.view, context.name, view.settingsKey(drawn)].join("|");
    frame.rail.show(key, () => view.settings(drawn, frame.rail));
    const lines = [...missingOfLink(context.cards, context.run, this.#index.log_dir), ...remarks(context, view)];
    const notes = lines.map((remark) => h("p", { class: "note remark" }, remark));
    frame.view.replaceChildren(...headings(context), ...notes);
    view.draw(frame.view, drawn);
    frame.main.scrollTop = scroll;
  }

  /** Draws at the next frame. */
  schedule() {
    this.#scheduled ||= requestAnimationFrame(() => this.#update());
  }

  // What makes it draw: the selection, answers, news.

  /**
   * A step of the slider paints the maps alone where the view can, at once or when they arrive, and the words when it rests.
   * @param {string[]} changed
   */
  #selected(changed) {
    clearTimeout(this.#resting);
    this.#resting = 0;
    if (this.#index.runs.length && changed.every((name) => OF_RUN_LIST.includes(name))) {
      this.#frame?.showRuns(this.#index.runs, false);
      if (this.#view instanceof RunsTableView) this.#view.show();
      return;
    }
    const onlyEpoch = changed.length === 1 && changed[0] === "epoch";
    if (!onlyEpoch || !this.#step()) {
      this.#update();
      return;
    }
    this.#frame?.slider.update(this.#context());
    this.#resting = setTimeout(() => {
      this.#resting = 0;
      this.#update();
    }, REST);
  }

  /** Whether the view showed the epoch on what stands. */
  #step() {
    if (!this.#index.runs.length) return false;
    const context = this.#context();
    return isDrawable(context) && !this.#view.ofRuns && this.#view.step(context);
  }

  #answered() {
    if (!this.#resting || !this.#step()) this.#update();
  }

  /** Asks for what the view will read when the run is known, while the run's own words are still being drawn. */
  async #load() {
    if (!this.#index.runs.length) return;
    const { card } = this.#context();
    if (card.error) return;
    await this.#server.prefetch("run", { run: card.name }, card.stamp);
    const context = this.#context();
    if (isDrawable(context)) this.#view?.load(context);
    await this.#server.awaited();
  }

  /**
   * Looks for new epochs, again and again. The slider stays where it is, unless it stands on the latest.
   * @param {number} wait
   */
  async #poll(wait) {
    await pause(wait);
    const next = isAsleep() ? FIRST_POLL : await this.#lookForNews(wait);
    this.#poll(next);
  }

  /**
   * Fetches the index, draws what it changes, and says how long to wait before the next time.
   * @param {number} wait
   */
  async #lookForNews(wait) {
    const before = JSON.stringify([this.#index.runs, this.#lost]);
    try {
      const index = await this.#server.fetchNow("index");
      if (this.#lost) this.#server.forgetRefusals();
      this.#lost = "";
      this.#index = { ...index, at: performance.now() };
      registerRuns(index.runs);
      if (JSON.stringify([this.#index.runs, this.#lost]) !== before) {
        this.#update();
        return waitAfter(index.runs);
      }
      wait = Math.min(SLOWEST_POLL, wait * POLL_GROWTH);
    } catch (error) {
      this.#lost = String(/** @type {Error} */ (error).message);
    }
    if (this.#index.runs.length) this.#frame?.showStatus(this.#context(), this.#lost);
    return wait;
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const frame = this.#frame;
    const target = /** @type {HTMLInputElement} */ (event.target);
    const typing = /^(SELECT|TEXTAREA|INPUT)$/.test(target.tagName) && target.type !== "checkbox";
    if (!frame || frame.isDialogOpen || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = stepOf(event.key);
    const numbered = /^[0-9]$/.test(event.key) ? VIEW_NAMES[Number(event.key)] : undefined;
    if (step && event.shiftKey) frame.slider.alert(step);
    else if (step) frame.slider.step(step);
    else if (event.key === "Home") frame.slider.go(0);
    else if (event.key === "End") frame.slider.go(Infinity);
    else if (event.key === " " && target.tagName !== "BUTTON") frame.slider.play();
    else if (numbered) set({ view: numbered });
    else if (event.key === "c")
      set({ view: "probe_attributions", compare: state.compare === "off" ? "epochs" : "off" });
    else if (event.key === "?") frame.showKeys();
    else if (event.key === "/") frame.find();
    else return;
    event.preventDefault();
  }
}

/**
 * How long to wait for the next look after one that brought news.
 * @param {Card[]} cards
 */
const waitAfter = (cards) => (cards.some((card) => card.pending) ? PENDING_POLL : FIRST_POLL);

/**
 * @param {Context} context
 * @returns {context is RunContext}
 */
function isDrawable(context) {
  return Boolean(context.run && context.epoch !== null && !context.card.error);
}

/**
 * The stop of the slider as a recorded update, or before training; null where there is neither.
 * @param {Run | undefined} run
 */
function stopOf(run) {
  const epochs = run?.epochs ?? [];
  if (run?.before && (!epochs.length || state.epoch === BEFORE)) return BEFORE;
  if (!epochs.length) return null;
  return state.epoch === null ? epochs[epochs.length - 1] : epochs[position(epochs, state.epoch)];
}

/**
 * What is said in place of a view; null where the view can be drawn.
 * @param {Context} context
 */
function wordsInstead({ card, run, name, server, epoch }) {
  const wrong = card.error || (run ? "" : server.refusal("run", { run: name }));
  if (wrong) return message("This run could not be read", wrong);
  if (!run) return message("Reading the run", name);
  if (epoch !== null) return null;
  const written = card.probe ? `written its probe of ${card.probe.whole_size} samples` : "begun";
  if (!card.before) {
    const wait = "The first arrives when the first epoch ends; this page looks every few seconds.";
    return message("No epochs yet", `${name} has ${written} but no epoch. ${wait}`);
  }
  const wait = "What the training changes comes with its first update; this page looks every few seconds.";
  const words = message("Training has begun", `${name} has ${written} and the maps of the untrained model. ${wait}`);
  const onclick = () => set({ view: "probe_attributions" });
  words.append(h("button", { class: "link", type: "button", onclick }, "See the maps of before training →"));
  return words;
}

/**
 * The headings of a view, for those who listen; the overview has one of its own to see.
 * @param {Context} context
 */
function headings(context) {
  if (state.view === "overview" && !wordsInstead(context)) return [];
  const title = h("h1", { class: "hidden" }, context.vocabulary.views[state.view]);
  return [title, h("h2", { class: "hidden" }, `Run ${context.name}`)];
}

/**
 * What has to be known of all that a view shows.
 * @param {Context} context
 * @param {View} view
 * @returns {string[]}
 */
function remarks({ run, card, apart, epoch, stop, undrawn, picked }, view) {
  /** @type {string[]} */
  const lines = [];
  if (view.ofRuns) return lines;
  if (undrawn) lines.push(`${picked.length} of ${picked.length + undrawn} ticked runs are drawn.`);
  if (run && epoch !== null && stop !== epoch) {
    lines.push(`Before training this view has no record: ${moment(run, epoch)}, the first, is shown.`);
  }
  if (apart.length) {
    const others = apart.length > 1 ? `${apart.join(", ")} count` : `${apart[0]} counts`;
    const unit = card.unit === "epoch" ? "step" : "epoch";
    lines.push(
      `${others} in ${unit}s and ${apart.length > 1 ? "are" : "is"} not laid over ${card.name}, which counts in ${card.unit}s.`,
    );
  }
  return lines;
}

/**
 * After what the page opens with: nothing that comes later waits for this.
 * @param {() => void} task
 */
const afterCharts = (task) => setTimeout(task, 1000);

/** @param {number} milliseconds */
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** @param {string} key */
const stepOf = (key) => ({ ArrowLeft: -1, ArrowRight: 1 })[key] ?? 0;

/**
 * Gives the focus back to what had it before a drawing.
 * @param {string} key
 */
function refocus(key) {
  const node = /** @type {HTMLElement | null} */ (document.querySelector(`[data-key="${CSS.escape(key)}"]`));
  node?.focus({ preventScroll: true });
}

/**
 * Whether nobody can see the page. TensorBoard keeps the frame of a tab that was left, without a height; a frame that is not
 * laid out keeps its old one.
 */
function isAsleep() {
  return document.hidden || innerHeight === 0 || frameHeight() === 0;
}

function frameHeight() {
  try {
    const frame = /** @type {HTMLElement | null} */ (window.frameElement);
    return frame ? frame.offsetHeight : 1;
  } catch {
    return 1; // a host of another origin does not say
  }
}

/**
 * @param {[keys: string[], text: string][]} keys
 * @param {Unit} unit of the run
 */
function keyHints(keys, unit) {
  return keys.flatMap(([names, text]) => {
    const caps = names.map((name) => (name === "…" ? "…" : h("kbd", {}, name)));
    return [h("span", {}, caps), h("span", {}, text.replace("epoch", unit))];
  });
}

/** What stands around the views: tabs, status, runs, settings, slider and dialogs. */
class Frame {
  #tabs;
  #pinned;
  #linkDialog;
  #words = h("span", {});
  #cost = h("span", { class: "cost" });
  #notes = h("dialog", { class: "notes", "aria-label": "Notes", onclick: () => this.#notes.close() });
  #notesButton = h("button", {
    type: "button",
    class: "link",
    hidden: true,
    onclick: () => this.#notes.showModal(),
  });
  #runs = new RunList();
  #runsKey = /** @type {unknown[]} */ ([]);
  #settings = h("section", { class: "settings", "aria-label": "Settings" });
  #transport = h("footer", { class: "transport", "aria-label": "Epoch" });
  #toggle = new RailToggle();
  #hints = h("div", { class: "hints" });
  #allHints = h("div", { class: "hints" });
  #unit = "";
  #keys = h(
    "dialog",
    { "aria-label": "Keyboard", onclick: () => this.#keys.close() },
    h("h3", {}, "Keyboard"),
    this.#allHints,
    h("button", { type: "button", class: "link tour-again", onclick: () => this.#showTour() }, "Show the tour"),
  );
  #announcements = h("div", { class: "hidden", role: "status", "aria-live": "polite" });

  view = h(
    "div",
    { id: "view", role: "tabpanel", tabindex: 0 },
    message("Reading the runs", "Attributions first, charts a moment later."),
  );
  main = h("main", { tabindex: -1 }, this.view);
  rail = new SettingsRail(this.#settings);
  slider = new EpochSlider(this.#transport);

  /**
   * @param {Vocabulary} vocabulary
   * @param {() => Partial<import("./core/state.js").State>} pinned what a link says in place of the selection
   */
  constructor(vocabulary, pinned) {
    this.#pinned = pinned;
    document.documentElement.lang = "en";
    document.title = "Explain";
    document.head.append(h("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }));
    const tabs = VIEW_NAMES.map((name) => tab(name, vocabulary.views[name]));
    this.#tabs = h("div", { role: "tablist", "aria-label": "Views" }, tabs);
    const help = h(
      "button",
      { type: "button", class: "help", "aria-label": "Keyboard", title: "Keyboard", onclick: () => this.showKeys() },
      "?",
    );
    const { button, dialog } = copyLink(
      () => address.link(this.#pinned()),
      (words) => this.announce(words),
    );
    this.#linkDialog = dialog;
    const status = h("div", { class: "status" }, this.#words, this.#cost, this.#notesButton, button, help);
    document.body.append(
      h("header", { class: "bar" }, this.#tabs, status),
      h(
        "aside",
        { class: "rail", "aria-label": "Runs and settings" },
        this.#toggle.node,
        this.#runs.node,
        this.#settings,
        this.#hints,
        railEdge(),
      ),
      this.main,
      this.#transport,
      this.#keys,
      this.#notes,
      dialog,
      h("div", { id: "tip", class: "tip", hidden: true }),
      this.#announcements,
    );
  }

  /**
   * Says what the keys step through.
   * @param {Unit} unit
   */
  showUnit(unit) {
    if (unit === this.#unit) return;
    this.#unit = unit;
    this.#hints.replaceChildren(...keyHints(KEYS, unit));
    this.#allHints.replaceChildren(...keyHints(ALL_KEYS, unit));
    this.#transport.setAttribute("aria-label", unit === "epoch" ? "Epoch" : "Step");
    this.#transport.classList.toggle("steps", unit === "step"); // whose words are longer
  }

  get isDialogOpen() {
    return this.#keys.open || this.#notes.open || this.#linkDialog.open;
  }

  showKeys() {
    this.#keys.showModal();
  }

  async #showTour() {
    this.#keys.close(); // first: it gives back the focus, which the tour takes
    const { Tour } = await import("./core/tour.js");
    new Tour().open();
  }

  /** Goes to the filter of the view, else to that of the runs. */
  find() {
    const selector = ".filter-input";
    const input = this.view.querySelector(selector) ?? document.querySelector(selector);
    /** @type {HTMLInputElement | null} */ (input)?.select();
  }

  /**
   * Tells those who listen.
   * @param {string} words
   */
  announce(words) {
    this.#announcements.textContent = words;
  }

  /** @param {string} name */
  showTab(name) {
    for (const node of /** @type {Iterable<HTMLElement>} */ (this.#tabs.children)) {
      const selected = node.id === `tab-${name}`;
      if (selected && node.tabIndex) node.scrollIntoView({ block: "nearest", inline: "nearest" });
      node.setAttribute("aria-selected", String(selected));
      node.tabIndex = selected ? 0 : -1;
    }
    this.view.setAttribute("aria-labelledby", `tab-${name}`);
  }

  /**
   * @param {Card[]} cards
   * @param {boolean} scroll to the run in focus
   */
  showRuns(cards, scroll) {
    const { focus, runs, seen, runFilter, folded, railWidth } = state;
    const key = [cards, focus, runs, seen, runFilter, folded, railWidth, themeName()];
    if (!scroll && key.every((part, i) => part === this.#runsKey[i])) return;
    this.#runsKey = key;
    document.body.style.setProperty("--rail-width", `${railWidth}px`);
    this.#toggle.show(focus, cards.length);
    this.#runs.show(cards, scroll);
  }

  /**
   * Last update seen, whether it is still being written to, what the callbacks cost.
   * @param {Context} context
   * @param {string} lost
   */
  showStatus({ card, run, now }, lost) {
    const since = card.last ? now - card.last.wall_time : Infinity;
    // Silence of several updates' length is an end, or a very long one: it says how long ago, and does not guess further.
    const writing = card.last ? since < Math.max(30, 4 * (card.last.seconds ?? 0)) : true;
    const words = lost ? "the server does not answer, trying again" : h("span", {}, statusWords(card, writing, since));
    let light = writing ? "live" : "";
    if (lost) light = "lost";
    this.#words.replaceChildren(h("i", { class: `dot ${light}` }), words);
    this.#cost.replaceChildren(...costWords(run));
    this.#words.title = this.#cost.textContent ?? "";
    this.#showNotes(run?.notes ?? []);
  }

  /** @param {Run["notes"]} notes */
  #showNotes(notes) {
    this.#notesButton.hidden = !notes.length;
    this.#notesButton.textContent = count(notes.length, "note");
    const lines = notes.slice(-NOTES_LISTED).map((note) => {
      const when = h("span", { class: "note" }, note.moment && `${note.moment} `);
      return h("p", {}, when, h("span", { class: note.stopped ? "alarm" : "" }, note.text));
    });
    this.#notes.replaceChildren(h("h3", {}, "What the callbacks noted"), ...lines);
  }

  /**
   * Where no run was written.
   * @param {string} directory
   */
  showNothing(directory) {
    this.#runs.clear();
    this.#words.replaceChildren();
    this.#cost.replaceChildren();
    this.rail.clear();
    const words = `Nothing below ${directory || "the log directory"} was written by keras_xai.`;
    const advice = "Add the callback to fit() and this page fills as it trains.";
    const code = "model.fit(x, y, callbacks=[kx.Explain(log_dir, probe)])";
    const titles = [h("h1", { class: "hidden" }, "Explain"), h("h2", { class: "hidden" }, "Runs")];
    this.slider.showNothing();
    this.view.replaceChildren(...titles, message("No explanations here yet", `${words} ${advice}`, code));
  }
}

/**
 * @param {Card} card
 * @param {boolean} writing
 * @param {number} since seconds
 * @returns {Child}
 */
function statusWords(card, writing, since) {
  if (card.error) return "this run could not be read";
  if (!card.last) return waitingWords(card);
  const [, unit, number, of = ""] = /^(\w+) (\d+)(.*)$/.exec(card.last.moment) ?? [];
  return [writing ? "writing, " : "", `last ${unit} `, h("b", {}, number), `${of}, ${ago(since)}`];
}

/** @param {Card} card */
function waitingWords(card) {
  if (card.before) return "the untrained model is written, training started";
  return card.probe ? "probe written, training started" : "waiting for the first epoch";
}

/**
 * @param {Run | undefined} run
 * @returns {(string | Node)[]}
 */
function costWords(run) {
  if (!run || run.cost === null || run.cost <= 0) return [];
  const once = run.cost_once >= 0.05 ? ` beside ${run.cost_once.toFixed(1)} s once to compile` : "";
  return ["callbacks cost ", h("b", {}, percent(run.cost)), ` of the training time${once}`];
}

/**
 * @param {string} name
 * @param {string} title
 */
function tab(name, title) {
  const attributes = {
    type: "button",
    role: "tab",
    id: `tab-${name}`,
    "aria-controls": "view",
    onclick: () => set({ view: name }),
    onkeydown: turnTab,
  };
  return h("button", attributes, title);
}

/**
 * Arrow keys move along the tabs, as tabs do.
 * @param {KeyboardEvent} event
 */
function turnTab(event) {
  const step = stepOf(event.key);
  if (!step || event.shiftKey) return;
  event.preventDefault();
  event.stopPropagation();
  const next = VIEW_NAMES[(VIEW_NAMES.indexOf(state.view) + step + VIEW_NAMES.length) % VIEW_NAMES.length];
  set({ view: next });
  document.getElementById(`tab-${next}`)?.focus();
}
