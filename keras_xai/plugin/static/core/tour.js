/** The first visit: four steps that point at what the page is worked with. Shown once; "?" brings it back. */
import { clamp, h } from "./dom.js";

const SEEN = "keras_xai.tour"; // in localStorage: for all log directories
const GAP = 8; // pixels between what is pointed at and the words
const EDGE = 2; // pixels of the window that the ring keeps clear
const FOLLOW = 250; // milliseconds: the page is drawn again under the tour

/** @type {{targets: string[], title: string, text: string}[]} the first target that is on the page is pointed at */
const STEPS = [
  {
    targets: [".transport"],
    title: "One slider for all views",
    text: "Every view shows the run as it stood here. ← and → step, the space bar plays, ⇧ → goes to the next alert.",
  },
  {
    targets: ["[role=tablist]"],
    title: "The views of one training",
    text: "The overview says what happened; the others show why: what trains it, what it looks at, what it relies on.",
  },
  {
    targets: ["main .lead", "main .alerts", ".runs"],
    title: "The verdict first",
    text: "What changed, since when, and what to do about it. Red means that something is wrong; a link leads to what shows it.",
  },
  {
    targets: ["main .panel > header"],
    title: "Every panel explains itself, and can be taken out",
    text: "(i) says what good and bad look like. ⋯ saves pictures and numbers. In a chart drag with ⇧ to zoom, double-click to reset.",
  },
];

/** Shows the tour to whoever never saw it. */
export function welcome() {
  try {
    if (localStorage.getItem(SEEN)) return;
  } catch {
    return; // where nothing can be kept it would come at every visit
  }
  new Tour().open();
}

export class Tour {
  #at = 0;
  #timer = 0;
  #before = /** @type {HTMLElement | null} */ (document.activeElement);
  #ring = h("div", { class: "tour-ring" });
  #title = h("h4", { id: "tour-title" });
  #text = h("p", { id: "tour-text" });
  #count = h("span", { class: "note" });
  #next = h("button", { type: "button", class: "primary", onclick: () => this.#go(1) });
  #card = h(
    "div",
    {
      class: "popup tour",
      role: "dialog",
      "aria-labelledby": "tour-title",
      "aria-describedby": "tour-text",
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#pressed(event),
    },
    this.#title,
    this.#text,
    h(
      "footer",
      {},
      this.#count,
      h("button", { type: "button", class: "link", onclick: () => this.#close() }, "Skip"),
      this.#next,
    ),
  );

  open() {
    if (document.querySelector(".tour")) return;
    document.body.append(this.#ring, this.#card);
    this.#timer = setInterval(() => this.#place(), FOLLOW);
    this.#show();
    this.#next.focus({ preventScroll: true });
  }

  #show() {
    const { title, text } = STEPS[this.#at];
    this.#title.textContent = title;
    this.#text.textContent = text;
    this.#count.textContent = `${this.#at + 1} of ${STEPS.length}`;
    this.#next.textContent = this.#at + 1 < STEPS.length ? "Next" : "Done";
    this.#place();
  }

  /** Sets ring and words beside what they point at, which may have been drawn anew. */
  #place() {
    const nodes = STEPS[this.#at].targets.map((name) => document.querySelector(name));
    const box = (nodes.find(Boolean) ?? document.body).getBoundingClientRect();
    const [left, top] = [Math.max(EDGE, box.left - GAP), Math.max(EDGE, box.top - GAP)];
    Object.assign(this.#ring.style, {
      left: `${left}px`,
      top: `${top}px`,
      width: `${Math.min(innerWidth - EDGE, box.right + GAP) - left}px`,
      height: `${Math.min(innerHeight - EDGE, box.bottom + GAP) - top}px`,
    });
    const { offsetWidth, offsetHeight } = this.#card;
    const below = box.bottom + 2 * GAP + offsetHeight < innerHeight;
    const cardTop = below ? box.bottom + 2 * GAP : box.top - 2 * GAP - offsetHeight;
    this.#card.style.left = `${clamp(box.left + GAP, GAP, Math.max(GAP, innerWidth - offsetWidth - GAP))}px`;
    this.#card.style.top = `${clamp(cardTop, GAP, Math.max(GAP, innerHeight - offsetHeight - GAP))}px`;
  }

  /** @param {number} step */
  #go(step) {
    this.#at = Math.max(0, this.#at + step);
    if (this.#at < STEPS.length) this.#show();
    else this.#close();
  }

  #close() {
    clearInterval(this.#timer);
    this.#ring.remove();
    this.#card.remove();
    this.#before?.focus({ preventScroll: true });
    try {
      localStorage.setItem(SEEN, "seen");
    } catch {
      /* then it comes again */
    }
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    event.stopPropagation(); // the keys of the page rest
    if (event.key === "Escape") this.#close();
    else if (event.key === "ArrowRight") this.#go(1);
    else if (event.key === "ArrowLeft") this.#go(-1);
    else return;
    event.preventDefault();
  }
}
