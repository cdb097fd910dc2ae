/** The run picker: a tick overlays a run in the charts, a click on its name makes it the focus of every other chart. */
import { forgetLink, openedLink } from "./core/address.js";
import { runColour, runDash } from "./core/colour.js";
import { count, h } from "./core/dom.js";
import { filterBox } from "./core/filter.js";
import { natural } from "./core/names.js";
import { filtered, groupLabels, groupsOf, isFolded, labelsOf, toggleGroup } from "./core/run_groups.js";
import { set, state } from "./core/state.js";
import { Windowed } from "./core/windowed.js";

const ROW = 32; // pixels
const LETTER = 6.6; // pixels of a letter of a name
const BESIDE_NAME = 40; // pixels of the rail
const MARK = 64; // pixels of what is said of a run beside its name
const RUNS_FILTERED = 5; // of more there is a filter
const MAX_TICKED = 24; // that are drawn over the run in focus

/** What of the selection belongs to one run alone, as it is when another comes into focus. */
const OF_ANOTHER_RUN = { sample: 0, variable: "", method: "", source: "", input: 0, layer: "" };

/** @type {{seen: string[], places: Map<string, number>}} */
let met = { seen: [], places: new Map() };

/**
 * The place at which a run was met, which is its colour for good.
 * @param {string} name
 */
export function place(name) {
  if (met.seen !== state.seen) met = { seen: state.seen, places: new Map(state.seen.map((run, i) => [run, i])) };
  return met.places.get(name) ?? 0;
}

/**
 * Remembers new runs, and turns to one that is there: the one that a link names, as soon as it is there.
 * @param {Card[]} cards
 */
export function registerRuns(cards) {
  const known = new Set(state.seen);
  const unmet = cards.map((card) => card.name).filter((name) => !known.has(name));
  /** @type {Partial<import("./core/state.js").State>} */
  const change = unmet.length ? { seen: [...state.seen, ...unmet.sort(natural)] } : {};
  const linked = openedLink()?.focus;
  if (linked && linked !== state.focus && cards.some((card) => card.name === linked)) {
    Object.assign(change, { focus: linked, runs: openedLink()?.runs });
  } else if (!cards.some((card) => card.name === state.focus)) {
    const focus = firstFocus(cards);
    if (focus) Object.assign(change, { focus: focus.name, runs: [...new Set([...state.runs, focus.name])] });
  }
  if (Object.keys(change).length) set(change);
}

/**
 * What a link names and is not there, in words.
 * @param {Card[]} cards
 * @param {Run | undefined} run in focus
 * @param {string} directory
 */
export function missingOfLink(cards, run, directory) {
  const link = openedLink();
  if (!link) return [];
  const lines = [];
  const names = new Set(cards.map((card) => card.name));
  const missing = [...new Set([link.focus, ...link.runs])].filter((name) => name && !names.has(name));
  if (missing.length) {
    const words = missing.map((name) => `“${name}”`).join(", ");
    const instead = missing.includes(link.focus) ? `: ${state.focus} is shown instead` : "";
    lines.push(`The link names ${words}, not found below ${directory}${instead}.`);
  }
  const last = run?.epochs.at(-1);
  if (run && last !== undefined && link.epoch !== null && link.epoch > last && names.has(link.focus)) {
    lines.push(`The link names ${run.unit} ${link.epoch}; the last of ${run.name} is ${run.unit} ${last}.`);
  }
  return lines;
}

/**
 * Brings a run into focus. A tick that only came with the last focus goes with it; ticks that were set stay.
 * @param {string} name
 * @param {Partial<import("./core/state.js").State>} [more]
 */
export function focusRun(name, more = {}) {
  forgetLink();
  const stay = state.runs.length === 1 && state.runs[0] === state.focus ? [] : state.runs;
  const reset = name === state.focus ? {} : OF_ANOTHER_RUN;
  set({ focus: name, runs: [...new Set([...stay, name])], ...reset, ...more });
}

/**
 * The runs that are drawn over the one in focus, as many as can be told apart.
 * @param {string[]} ticked
 * @param {string} focus
 */
export function drawnOf(ticked, focus) {
  const others = ticked.filter((name) => name !== focus);
  return others.length > MAX_TICKED ? [focus, ...others.slice(0, MAX_TICKED)] : ticked;
}

/**
 * The run that a page opens with: one with an alert, else the newest, else one that can be read.
 * @param {Card[]} cards
 */
function firstFocus(cards) {
  return cards.find((card) => card.alerts) ?? newest(cards) ?? cards.find((card) => !card.error) ?? cards[0];
}

/**
 * @param {Card[]} cards
 * @returns {Card | undefined}
 */
function newest(cards) {
  let best;
  let latest = -Infinity;
  for (const card of cards) {
    if (!card.last || card.last.wall_time <= latest) continue;
    latest = card.last.wall_time;
    best = card;
  }
  return best;
}

/**
 * A run in two words, and whether they are an alarm.
 * @param {Card} card
 * @returns {[text: string, alarm: boolean]}
 */
function mark(card) {
  if (card.pending) return ["…", false];
  if (card.error) return ["unreadable", true];
  if (card.alerts) return [count(card.alerts, "alert"), true];
  const [commonest] = Object.entries(card.flags).sort(([, a], [, b]) => b - a);
  if (commonest) return [`${commonest[1]} ${commonest[0]}`, true];
  if (card.not_finite) return ["not finite", true];
  if (card.faults) return ["not whole", true];
  return card.epochs ? ["", false] : ["waiting", false];
}

/**
 * The box that lays a run over the charts, in the colour and the dash of its lines.
 * @param {string} name
 * @param {boolean} ticked
 * @param {string} [where] there are two of them
 */
export function tickBox(name, ticked, where = "") {
  const dash = runDash(place(name));
  return h("button", {
    class: `box ${dash === "solid" ? "" : "dashed"}`,
    type: "button",
    role: "checkbox",
    "aria-checked": String(ticked),
    "aria-label": `Overlay ${name} in the charts`,
    "data-key": `tick ${name}${where}`,
    style: { color: runColour(place(name)) },
    onclick: (/** @type {Event} */ event) => {
      event.stopPropagation();
      const others = state.runs.filter((run) => run !== name);
      set({ runs: others.length < state.runs.length ? others : [...others, name] });
    },
  });
}

/**
 * Buttons that tick all of some runs, or none of them.
 * @param {() => string[]} names
 */
export function tickButtons(names) {
  const all = () => set({ runs: [...new Set([...state.runs, ...names()])] });
  const none = () => {
    const shown = new Set(names());
    set({ runs: state.runs.filter((run) => !shown.has(run)) });
  };
  return h(
    "span",
    { class: "ticks", role: "group", "aria-label": "Overlay the runs that are shown" },
    "tick",
    h("button", { type: "button", class: "link", "data-key": "tick all", onclick: all }, "all"),
    h("button", { type: "button", class: "link", "data-key": "tick none", onclick: none }, "none"),
  );
}

/** A line of the list: a run, or the folder of those below. @typedef {{card: Card} | {group: string, size: number}} Line */

/** The runs in the rail: found by a filter, by their folders. */
export class RunList {
  #list = h("ul", { class: "runs", "aria-label": "Runs" });
  #tools = h("div", { class: "run-tools" });
  #buttons = tickButtons(() => this.#names);
  /** @type {Windowed<Line>} */
  #window = new Windowed(
    this.#list,
    this.#list,
    ROW,
    (line) => this.#entry(line),
    (height) => h("li", { class: "spacer", "aria-hidden": "true", style: { height: `${height}px` } }),
  );
  /** @type {string[]} of the runs that the filter finds */
  #names = [];
  /** @type {Set<string>} */
  #ticked = new Set();
  /** @type {Map<string, string>} */
  #labels = new Map();
  /** @type {Map<string, string>} */
  #groupLabels = new Map();

  node = h("section", { class: "run-list" }, h("h2", {}, "Runs"), this.#tools, this.#list);

  /**
   * @param {Card[]} cards
   * @param {boolean} reveal whether the run in focus is to be in sight
   */
  show(cards, reveal) {
    const groups = groupsOf(cards);
    const shown = filtered(groups);
    const letters = Math.floor((state.railWidth - BESIDE_NAME - MARK) / LETTER);
    this.#labels = labelsOf(groups, letters);
    this.#groupLabels = groupLabels(groups, letters);
    this.#ticked = new Set(state.runs);
    this.#names = shown.flatMap((group) => group.cards.map((card) => card.name));
    const box = filterBox("runFilter", "Filter runs", "rail");
    const wants = cards.length > RUNS_FILTERED || state.runFilter !== "";
    const tools = wants ? [box.count(this.#names.length, cards.length), this.#buttons] : [];
    if (tools.some((node) => node.parentNode !== this.#tools) || !wants) this.#tools.replaceChildren(...tools);
    /** @type {Line[]} */
    const lines = shown.flatMap(({ name, cards: members }) => [
      ...(name ? [{ group: name, size: members.length }] : []),
      ...(isFolded(name) ? [] : members.map((card) => ({ card }))),
    ]);
    this.#window.show(lines);
    if (!reveal) return;
    const at = lines.findIndex((line) => "card" in line && line.card.name === state.focus);
    requestAnimationFrame(() => this.#window.reveal(at));
  }

  clear() {
    this.#tools.replaceChildren();
    this.#window.show([]);
  }

  /** @param {Line} line */
  #entry(line) {
    if ("card" in line) return this.#run(line.card);
    const { group, size } = line;
    const folded = isFolded(group);
    const attributes = {
      type: "button",
      class: "group-name",
      title: group,
      "aria-expanded": String(!folded),
      "aria-label": `${group}, ${count(size, "run")}`,
      "data-key": `group ${group}`,
      onclick: () => toggleGroup(group),
    };
    const label = h("span", {}, this.#groupLabels.get(group) ?? group);
    return h("li", { class: "group-line" }, h("button", attributes, label), h("span", { class: "mark" }, size));
  }

  /** @param {Card} card */
  #run(card) {
    const { name } = card;
    const [text, alarm] = mark(card);
    const focused = name === state.focus;
    const attributes = {
      class: "name",
      type: "button",
      "aria-current": focused ? "true" : null,
      title: card.error ? `${name}: ${card.error}` : name,
      "data-key": `focus ${name}`,
      onclick: () => focusRun(name),
    };
    const words = h("span", { class: `mark ${alarm ? "alarm" : ""}` }, text);
    const label = h("button", attributes, this.#labels.get(name) ?? name);
    return h("li", { class: focused ? "focus" : "" }, tickBox(name, this.#ticked.has(name)), label, words);
  }
}
