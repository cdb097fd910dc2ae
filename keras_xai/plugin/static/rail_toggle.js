/** In a narrow window runs and settings stand folded in one line above the view, and this button shows them. */
import { h, thousands } from "./core/dom.js";

export class RailToggle {
  #open = false;
  #name = h("b", {});
  #count = h("span", {});
  node = h(
    "button",
    { type: "button", class: "railtoggle", "aria-expanded": "false", onclick: () => this.#toggle() },
    this.#name,
    this.#count,
  );

  /**
   * Says which run is looked at, and of how many.
   * @param {string} name
   * @param {number} runs
   */
  show(name, runs) {
    this.#name.textContent = name;
    this.#count.textContent = `${runs > 1 ? `1 of ${thousands(runs)} runs` : "run"} and settings`;
  }

  #toggle() {
    this.#open = !this.#open;
    this.node.setAttribute("aria-expanded", String(this.#open));
    this.node.parentElement?.classList.toggle("open", this.#open);
  }
}
