/** The run picker: a tick overlays a run in the charts, a click on its name makes it the focus of every other chart. */
import { runColour } from "./colour.js";
import { count, h } from "./dom.js";
import { set, state } from "./state.js";

/** The place of a run's first sight, which is its colour for good. */
export const place = (name) => Math.max(0, state.seen.indexOf(name));

/** Remembers new runs, and turns to one that is there. */
export function meet(cards) {
  const fresh = cards.map((card) => card.name).filter((name) => !state.seen.includes(name));
  const change = fresh.length ? { seen: [...state.seen, ...fresh] } : {};
  if (!cards.some((card) => card.name === state.focus)) {
    const first = cards.find((card) => card.alerts) ?? newest(cards) ?? cards.find((card) => !card.error) ?? cards[0];
    if (first) Object.assign(change, { focus: first.name, runs: [...new Set([...state.runs, first.name])] });
  }
  if (Object.keys(change).length) set(change);
}

const newest = (cards) =>
  cards
    .filter((card) => card.last)
    .reduce((best, card) => (!best || card.last.wall_time > best.last.wall_time ? card : best), null);

/** What a run has to say for itself in two words. */
function mark(card) {
  if (card.error) return ["unreadable", true];
  if (card.alerts) return [count(card.alerts, "alert"), true];
  const [kind, number] = Object.entries(card.flags).sort((a, b) => b[1] - a[1])[0] ?? [];
  if (kind) return [`${number} ${kind}`, true];
  if (card.not_finite) return ["not finite", true];
  if (card.faults) return ["not whole", true];
  return card.epochs ? ["", false] : ["waiting", false];
}

/** @returns {HTMLElement[]} one entry a run */
export function runs(cards) {
  const on = new Set(state.runs);
  return cards.map((card) => {
    const [text, alarm] = mark(card);
    const focused = card.name === state.focus;
    const toggle = () => {
      if (on.has(card.name)) on.delete(card.name);
      else on.add(card.name);
      set({ runs: [...on] });
    };
    // A tick that only came with the focus goes with it; ticks of one's own stay.
    const kept = on.size === 1 && on.has(state.focus) ? [] : [...on];
    const focus = () =>
      set({
        focus: card.name,
        runs: [...new Set([...kept, card.name])],
        sample: 0,
        variable: "",
        method: "",
        source: "",
        input: 0,
        layer: "",
      });
    return h(
      "li",
      { class: focused ? "focus" : "" },
      h("button", {
        class: "box",
        type: "button",
        role: "checkbox",
        "aria-checked": String(on.has(card.name)),
        "aria-label": `Overlay ${card.name} in the charts`,
        "data-key": `tick ${card.name}`,
        style: { color: runColour(place(card.name)) },
        onclick: toggle,
      }),
      h(
        "button",
        {
          class: "name",
          type: "button",
          "aria-current": focused ? "true" : null,
          title: card.error ? `${card.name}: ${card.error}` : card.name,
          "data-key": `focus ${card.name}`,
          onclick: focus,
        },
        card.name,
      ),
      h("span", { class: `mark ${alarm ? "alarm" : ""}` }, text),
    );
  });
}
