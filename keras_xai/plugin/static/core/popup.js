/** A small window beside the button that opened it: one at a time, closed by Escape, by a click elsewhere, or with its button. */
import { clamp, h } from "./dom.js";

const GAP = 4; // pixels between the button and its window

export class Popup {
  #node;
  #key = "";

  /** @param {string} name of the class */
  constructor(name) {
    const onkeydown = (/** @type {KeyboardEvent} */ event) => this.#pressed(event);
    this.#node = h("div", { class: `popup ${name}`, tabindex: -1, hidden: true, onkeydown });
    document.body.append(this.#node);
    addEventListener("pointerdown", (event) => this.#closeOutside(event.target), true);
    addEventListener("focusin", (event) => this.#closeOutside(event.target));
    addEventListener("blur", () => this.close(false)); // a click on the page around the frame
  }

  get isOpen() {
    return !this.#node.hidden;
  }

  /**
   * Opens beside a button of a panel, or closes where it stands open there.
   * @param {HTMLElement} button
   * @param {string} label
   * @param {Child[]} children
   */
  toggle(button, label, ...children) {
    const key = button.dataset.key ?? "";
    if (this.isOpen && key === this.#key) {
      this.close();
      return;
    }
    this.close(false);
    this.#key = key;
    this.#node.setAttribute("aria-label", label);
    this.show(...children);
    (this.#items[0] ?? this.#node).focus({ preventScroll: true });
  }

  /**
   * Fills the window, which opens where it is closed.
   * @param {Child[]} children
   */
  show(...children) {
    const content = h("div", {}, ...children);
    const isMenu = [...content.children].every((child) => child.role === "menuitem");
    this.#node.role = isMenu ? "menu" : "dialog";
    this.#node.replaceChildren(...content.childNodes);
    this.#node.hidden = false;
    this.follow();
  }

  /** Finds the button again after a drawing, and closes without one. */
  follow() {
    if (!this.isOpen) return;
    const button = this.#button;
    if (!button) {
      this.close(false);
      return;
    }
    button.setAttribute("aria-expanded", "true");
    const box = button.getBoundingClientRect();
    const opensLeft = button.classList.contains("panel-menu");
    const left = opensLeft ? box.right - this.#node.offsetWidth : box.left;
    const below = box.bottom + GAP;
    const fits = below + this.#node.offsetHeight < innerHeight;
    this.#node.style.left = `${clamp(left, GAP, Math.max(GAP, innerWidth - this.#node.offsetWidth - GAP))}px`;
    this.#node.style.top = `${fits ? below : Math.max(GAP, box.top - GAP - this.#node.offsetHeight)}px`;
  }

  /** @param {boolean} [focus] whether its button gets the focus */
  close(focus = true) {
    if (!this.isOpen) return;
    this.#node.hidden = true;
    const button = this.#button;
    button?.setAttribute("aria-expanded", "false");
    if (focus) button?.focus({ preventScroll: true });
  }

  /** @returns {HTMLElement | null} */
  get #button() {
    return document.querySelector(`.panel > header [data-key="${CSS.escape(this.#key)}"]`);
  }

  get #items() {
    const items = /** @type {Iterable<HTMLElement>} */ (this.#node.querySelectorAll("button, a[href]"));
    return [...items];
  }

  /** @param {EventTarget | null} target */
  #closeOutside(target) {
    const node = /** @type {Node | null} */ (target);
    if (!this.isOpen || this.#node.contains(node) || this.#button?.contains(node)) return;
    this.close(false);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    event.stopPropagation(); // the keys of the page rest
    const items = this.#items;
    const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 };
    const next = steps[/** @type {keyof typeof steps} */ (event.key)];
    if (event.key === "Escape") this.close();
    else if (event.key === "Tab" && this.#node.role === "menu") this.close();
    else if (next !== undefined && items.length) items.at(next % items.length)?.focus();
    else return;
    event.preventDefault();
  }
}
