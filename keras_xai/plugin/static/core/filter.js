/** Filters by text: a regular expression where it is one, else the text itself; small letters find both cases. */
import { h, thousands } from "./dom.js";
import { set, state } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {{test: (text: string) => boolean, valid: boolean}} Matcher `valid`: whether the text is a regular expression */

/**
 * What a text matches; everything where it is empty.
 * @param {string} text
 * @returns {Matcher}
 */
export function matcher(text) {
  if (!text) return { test: () => true, valid: true };
  const flags = /\p{Lu}/u.test(text.replace(/\\./gu, "")) ? "u" : "iu"; // a class as \S is no capital letter
  try {
    const pattern = new RegExp(text, flags);
    return { test: (name) => pattern.test(name), valid: true };
  } catch {
    return { test: plain(text, flags), valid: false };
  }
}

/**
 * @param {string} text
 * @param {string} flags
 * @returns {(name: string) => boolean}
 */
function plain(text, flags) {
  if (!flags.includes("i")) return (name) => name.includes(text);
  const small = text.toLowerCase();
  return (name) => name.toLowerCase().includes(small);
}

/** The boxes outlive a drawing: who types keeps the caret. @type {Map<string, FilterBox>} */
const boxes = new Map();

/**
 * A box in which the text of a filter is typed.
 * @param {"runFilter" | "layerFilter" | "featureFilter" | "alertFilter" | "sampleFilter"} name of the selection
 * @param {string} label
 * @param {string} [place] where there are two boxes of one filter
 */
export function filterBox(name, label, place = "") {
  const id = `${name} ${place}`.trim();
  let box = boxes.get(id);
  if (!box) {
    box = new FilterBox(name, id);
    boxes.set(id, box);
  }
  box.show(label);
  return box;
}

class FilterBox {
  #name;
  #input;
  #mark = h("span", { class: "filter-mark", hidden: true }, "plain text");
  #count = h("output", { class: "filter-count" });

  /**
   * @param {"runFilter" | "layerFilter" | "featureFilter" | "alertFilter" | "sampleFilter"} name
   * @param {string} id
   */
  constructor(name, id) {
    this.#name = name;
    this.#input = h("input", {
      type: "search",
      class: "filter-input",
      spellcheck: "false",
      autocomplete: "off",
      "data-key": `filter ${id}`,
      oninput: (/** @type {InputEvent} */ event) => event.isComposing || this.#typed(),
      oncompositionend: () => this.#typed(),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#pressed(event),
    });
    this.node = h("div", { class: "filter" }, this.#input, this.#mark, this.#count);
  }

  /** @param {string} label */
  show(label) {
    const text = state[this.#name];
    if (this.#input.value !== text) this.#input.value = text;
    this.#input.placeholder = label;
    this.#input.setAttribute("aria-label", label);
    this.node.setAttribute("aria-label", label);
    const { valid } = matcher(text);
    this.#mark.hidden = valid;
    this.#mark.title = valid ? "" : "No regular expression: these letters are looked for.";
    this.node.classList.toggle("active", Boolean(text));
  }

  /**
   * Says how many are shown of how many.
   * @param {number} shown
   * @param {number} all
   */
  count(shown, all) {
    const text = state[this.#name] || shown < all ? `${thousands(shown)} of ${thousands(all)}` : "";
    if (this.#count.textContent !== text) this.#count.textContent = text;
    return this.node;
  }

  #typed() {
    set({ [this.#name]: this.#input.value });
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.key !== "Escape") return;
    if (this.#input.value) {
      this.#input.value = "";
      this.#typed();
    } else {
      this.#input.blur();
    }
    event.preventDefault();
  }
}

/**
 * One of a few, which narrows a list.
 * @param {"alertVerdict" | "alertSource" | "alertWhen" | "sampleClass"} name of the selection
 * @param {string} label
 * @param {[value: string, text: string][]} options
 */
export function choice(name, label, options) {
  const node = h(
    "select",
    { "aria-label": label, "data-key": `choice ${name}`, onchange: () => set({ [name]: node.value }) },
    options.map(([value, text]) => h("option", { value }, text)),
  );
  node.value = state[name];
  return node;
}

/**
 * The names that a filter finds, by their numbers; null where nothing is typed.
 * @param {"layerFilter" | "featureFilter"} filter
 * @param {string[]} names
 * @returns {number[] | null}
 */
export function foundRows(filter, names) {
  if (!state[filter]) return null;
  const { test } = matcher(state[filter]);
  return [...names.keys()].filter((row) => test(names[row]));
}

/**
 * Rows by their numbers, as the server takes them: 0-2.7 for 0, 1, 2 and 7.
 * @param {number[]} numbers in their order
 */
export function ranges(numbers) {
  /** @type {[number, number][]} */
  const out = [];
  for (const number of numbers) {
    const last = out[out.length - 1];
    if (last && number === last[1] + 1) last[1] = number;
    else out.push([number, number]);
  }
  return out.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(".");
}
