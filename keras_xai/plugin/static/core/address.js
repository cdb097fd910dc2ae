/**
 * The selection in the address of the host's page, `#keras_xai&xai.view=overview&xai.focus=run1`: what a link holds, what the
 * back button goes through. The host reads the first part alone and leaves the others as they are.
 */
import { selectionOf, set, shared, state, subscribe } from "./state.js";

const PLUGIN = "keras_xai";
const MARK = "xai.";
const WRITE_AFTER = 250; // milliseconds: browsers limit how often an address may change
/** What the back button undoes; anything else changes the entry that stands. */
const STEPS = ["view", "focus"];

/** The window whose address a person sees: the host's, or our own where the host's is not told. */
function hostWindow() {
  try {
    return window.parent.location.href ? window.parent : window;
  } catch {
    return window;
  }
}

/**
 * The parts of a hash.
 * @param {string} hash
 */
const partsOf = (hash) => hash.replace(/^#/, "").split("&").filter(Boolean);

/**
 * What a hash says of the selection.
 * @param {string} hash
 * @returns {[name: string, value: string][]}
 */
function entriesOf(hash) {
  return partsOf(hash)
    .filter((part) => part.startsWith(MARK))
    .flatMap((part) => {
      const [name, value = ""] = part.slice(MARK.length).split("=");
      try {
        return [/** @type {[string, string]} */ ([name, decodeURIComponent(value)])];
      } catch {
        return []; // not ours, or cut
      }
    });
}

/**
 * A hash with a selection, after whatever else it holds.
 * @param {string} hash
 * @param {[name: string, value: string][]} entries
 */
function hashWith(hash, entries) {
  const others = partsOf(hash).filter((part) => !part.startsWith(MARK));
  const ours = entries.map(([name, value]) => `${MARK}${name}=${encodeURIComponent(value)}`);
  return `#${[...others, ...ours].join("&")}`;
}

/** The address of the host's page, and the selection in it. */
class Address {
  #host = hostWindow();
  #timer = 0;
  /** the selection as it stands in the address */
  #written = "";
  /** whether the address changes by our own doing */
  #isReading = false;

  /** Follows the selection, and the address where somebody goes back or enters another link. */
  follow() {
    this.#written = JSON.stringify(shared());
    subscribe((changed) => this.#changed(changed));
    const read = () => this.#read();
    const { signal } = closed;
    for (const event of ["popstate", "hashchange"]) this.#host.addEventListener(event, read, { signal });
  }

  /** What a link said that was opened, null where there was none. */
  get linked() {
    const entries = entriesOf(this.#host.location.hash);
    return entries.length ? selectionOf(entries) : null;
  }

  /**
   * A link to what is seen.
   * @param {Partial<import("./state.js").State>} pinned what it says in place of the selection
   */
  link(pinned) {
    const own = shared().filter(([name]) => !(name in pinned));
    const more = Object.entries(pinned).map(([name, value]) => /** @type {[string, string]} */ ([name, String(value)]));
    const url = new URL(this.#host.location.href);
    if (this.#host !== window && !partsOf(url.hash).length) url.hash = PLUGIN;
    url.hash = hashWith(url.hash, [...own, ...more]);
    return url.href;
  }

  /** @param {string[]} changed */
  #changed(changed) {
    if (this.#isReading) return;
    if (STEPS.some((name) => changed.includes(name))) {
      this.#write("push");
      return;
    }
    this.#timer ||= setTimeout(() => this.#write("replace"), WRITE_AFTER);
  }

  /** @param {"push" | "replace"} how */
  #write(how) {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const { location, history } = this.#host;
    const isOurs = this.#host === window || partsOf(location.hash)[0] === PLUGIN;
    const entries = shared();
    const text = JSON.stringify(entries);
    if (!isOurs || text === this.#written) return;
    try {
      // The first step back leads to where the page began.
      if (how === "push") history.replaceState(history.state, "", hashWith(location.hash, JSON.parse(this.#written)));
      const hash = hashWith(location.hash, entries);
      if (how === "push") history.pushState(history.state, "", hash);
      else history.replaceState(history.state, "", hash);
      this.#written = text;
    } catch {
      /* too often for this browser: the next change writes it */
    }
  }

  #read() {
    const { linked } = this;
    if (!linked) return;
    this.#isReading = true;
    set(linked);
    this.#isReading = false;
    this.#written = JSON.stringify(shared());
  }
}

const closed = new AbortController();
addEventListener("pagehide", () => closed.abort());

export const address = new Address();

/**
 * What a link named and this log directory does not have (yet); until somebody chooses a run.
 * @type {{focus: string, runs: string[], epoch: number | null} | null}
 */
let opened = null;

/** Takes the selection of the link that the page was opened by, where there is one. */
export function openLink() {
  const { linked } = address;
  if (!linked) return;
  Object.assign(state, linked);
  opened = { focus: state.focus, runs: [...state.runs], epoch: state.epoch };
}

export const openedLink = () => opened;
export const forgetLink = () => {
  opened = null;
};
