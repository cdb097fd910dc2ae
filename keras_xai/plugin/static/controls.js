/** Settings of the rail. They are built once for a view and follow the selection, so that a drag is never cut. */
import { h } from "./dom.js";
import { set, state } from "./state.js";

let follow = [];
let built = "";

/**
 * Fills the rail with a view's settings, anew only when `key` changed.
 * @param {HTMLElement} root
 * @param {string} key everything that decides which settings there are
 * @param {() => HTMLElement[]} build
 */
export function settings(root, key, build) {
  if (key !== built) {
    built = key;
    follow = [];
    root.replaceChildren(...build());
  }
  for (const one of follow) one();
}

/** A titled group. */
export const group = (title, ...controls) => h("div", { class: "group" }, h("h2", {}, title), ...controls);

/** One of a few, side by side. */
export function segments(name, label, options, standard = state[name]) {
  const buttons = options.map(([value, text]) =>
    h("button", { type: "button", onclick: () => set({ [name]: value }) }, text),
  );
  follow.push(() =>
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", (state[name] || standard) === options[i][0])),
  );
  return h("div", { class: "seg", role: "group", "aria-label": label }, buttons);
}

/** One of many. */
export function choice(name, label, options, standard = "") {
  const node = h(
    "select",
    {
      "aria-label": label,
      onchange: () => set({ [name]: typeof state[name] === "number" ? Number(node.value) : node.value }),
    },
    options.map(([value, text]) => h("option", { value }, text)),
  );
  follow.push(() => {
    node.value = String(state[name] === "" ? standard : state[name]);
  });
  return node;
}

/** A number on a line. */
export function range(name, label, low, high, unit = "") {
  const output = h("output", {});
  const input = h("input", {
    type: "range",
    min: low,
    max: high,
    "aria-label": label,
    oninput: () => set({ [name]: Number(input.value) }),
  });
  follow.push(() => {
    input.value = String(state[name]);
    output.textContent = `${state[name]}${unit}`;
  });
  return h("div", { class: "range" }, input, output);
}
