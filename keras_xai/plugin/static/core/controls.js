/** Settings of the rail. They are built once for a view and follow the selection, so that a drag is never cut. */
import { h } from "./dom.js";
import { set, state } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {[value: string | number, text: string][]} Options */

/**
 * Sets one name of the selection.
 * @param {keyof State} name
 * @param {string | number} value
 */
const choose = (name, value) => set({ [name]: value });

/**
 * A titled group of controls.
 * @param {string} title
 * @param {Child[]} controls
 */
export const group = (title, ...controls) => h("div", { class: "group" }, h("h2", {}, title), ...controls);

export class SettingsRail {
  #root;
  #key = "";
  /** @type {(() => void)[]} what moves each control to the selection */
  #followers = [];

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
  }

  /**
   * Shows a view's settings; they are built anew only when `key` changed.
   * @param {string} key everything that decides which settings there are
   * @param {() => HTMLElement[]} build
   */
  show(key, build) {
    if (key !== this.#key) {
      this.#key = key;
      this.#followers = [];
      this.#root.replaceChildren(...build());
    }
    for (const follow of this.#followers) follow();
  }

  clear() {
    this.show("", () => []);
  }

  /**
   * One of a few, side by side.
   * @param {keyof State} name
   * @param {string} label
   * @param {Options} options
   * @param {State[keyof State]} [standard] what is pressed where nothing was chosen
   */
  segments(name, label, options, standard = state[name]) {
    const buttons = options.map(([value, text]) =>
      h("button", { type: "button", onclick: () => choose(name, value) }, text),
    );
    this.#followers.push(() =>
      buttons.forEach((button, i) => {
        const pressed = (state[name] || standard) === options[i][0];
        button.setAttribute("aria-pressed", String(pressed));
      }),
    );
    return h("div", { class: "seg", role: "group", "aria-label": label }, buttons);
  }

  /**
   * One of many.
   * @param {keyof State} name
   * @param {string} label
   * @param {Options} options
   * @param {string} [standard] what is shown where nothing was chosen
   */
  choice(name, label, options, standard = "") {
    const node = h(
      "select",
      {
        "aria-label": label,
        onchange: () => choose(name, typeof state[name] === "number" ? Number(node.value) : node.value),
      },
      options.map(([value, text]) => h("option", { value }, text)),
    );
    this.#followers.push(() => {
      node.value = String(state[name] === "" ? standard : state[name]);
    });
    return node;
  }

  /**
   * A number on a line.
   * @param {keyof State} name
   * @param {string} label
   * @param {number} low
   * @param {number} high
   * @param {string} [unit]
   * @param {string} [automatic] what a button says that chooses no number
   */
  range(name, label, low, high, unit = "", automatic = "") {
    const output = h("output", {});
    const button = h("button", { type: "button", onclick: () => set({ [name]: null }) }, automatic);
    const input = h("input", {
      type: "range",
      min: low,
      max: high,
      "aria-label": label,
      oninput: () => choose(name, Number(input.value)),
    });
    this.#followers.push(() => {
      const value = state[name];
      input.value = String(value ?? (low + high) / 2);
      input.classList.toggle("open", value === null);
      output.textContent = value === null ? "" : `${value}${unit}`;
      button.setAttribute("aria-pressed", String(value === null));
    });
    const slider = h("div", { class: "range" }, input, output);
    return automatic ? h("div", {}, slider, h("div", { class: "seg" }, button)) : slider;
  }
}
