/** The run picker: a tick overlays a run in the charts, a click on its name makes it the focus of every other chart. */
import { runColour } from "./core/colour.js";
import { count, h } from "./core/dom.js";
import { set, state } from "./core/state.js";

/** What of the selection belongs to one run alone, as it is when another comes into focus. */
const OF_ANOTHER_RUN = { sample: 0, variable: "", method: "", source: "", input: 0, layer: "" };

/**
 * The place at which a run was met, which is its colour for good.
 * @param {string} name
 */
export const place = (name) => Math.max(0, state.seen.indexOf(name));

/**
 * Remembers new runs, and turns to one that is there.
 * @param {Card[]} cards
 */
export function registerRuns(cards) {
  const unmet = cards.map((card) => card.name).filter((name) => !state.seen.includes(name));
  /** @type {Partial<import("./core/state.js").State>} */
  const change = unmet.length ? { seen: [...state.seen, ...unmet] } : {};
  if (!cards.some((card) => card.name === state.focus)) {
    const focus = firstFocus(cards);
    if (focus) Object.assign(change, { focus: focus.name, runs: [...new Set([...state.runs, focus.name])] });
  }
  if (Object.keys(change).length) set(change);
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
  if (card.error) return ["unreadable", true];
  if (card.alerts) return [count(card.alerts, "alert"), true];
  const [commonest] = Object.entries(card.flags).sort(([, a], [, b]) => b - a);
  if (commonest) return [`${commonest[1]} ${commonest[0]}`, true];
  if (card.not_finite) return ["not finite", true];
  if (card.faults) return ["not whole", true];
  return card.epochs ? ["", false] : ["waiting", false];
}

/**
 * One entry a run.
 * @param {Card[]} cards
 */
export function runEntries(cards) {
  const ticked = new Set(state.runs);
  return cards.map((card) => runEntry(card, ticked));
}

/**
 * @param {Card} card
 * @param {Set<string>} ticked
 */
function runEntry(card, ticked) {
  const { name } = card;
  const [text, alarm] = mark(card);
  const focused = name === state.focus;
  const toggle = () => {
    if (ticked.has(name)) ticked.delete(name);
    else ticked.add(name);
    set({ runs: [...ticked] });
  };
  const focus = () => {
    // A tick that only came with the focus goes with it; ticks that were set stay.
    const stay = ticked.size === 1 && ticked.has(state.focus) ? [] : [...ticked];
    set({ focus: name, runs: [...new Set([...stay, name])], ...OF_ANOTHER_RUN });
  };
  const box = h("button", {
    class: "box",
    type: "button",
    role: "checkbox",
    "aria-checked": String(ticked.has(name)),
    "aria-label": `Overlay ${name} in the charts`,
    "data-key": `tick ${name}`,
    style: { color: runColour(place(name)) },
    onclick: toggle,
  });
  const attributes = {
    class: "name",
    type: "button",
    "aria-current": focused ? "true" : null,
    title: card.error ? `${name}: ${card.error}` : name,
    "data-key": `focus ${name}`,
    onclick: focus,
  };
  const words = h("span", { class: `mark ${alarm ? "alarm" : ""}` }, text);
  return h("li", { class: focused ? "focus" : "" }, box, h("button", attributes, name), words);
}
