/** The one selection that every view follows. It lives in localStorage under the log directory: a reload comes back. */

/** @typedef {typeof DEFAULTS} State */
const DEFAULTS = {
  view: "overview",
  /** null: the latest, which follows new epochs as they arrive */
  epoch: /** @type {number | null} */ (null),
  focus: "",
  /** names of the runs laid over the charts */
  runs: /** @type {string[]} */ ([]),
  /** names of all runs in the order in which they were met: the place is the colour, and stays */
  seen: /** @type {string[]} */ ([]),
  source: "",
  statistic: "rms",
  /** "variables" or "layers"; "" for what the size of the model suggests */
  by: "",
  variable: "",
  method: "",
  input: 0,
  values: "magnitude",
  display: "overlay",
  colours: "",
  opacity: 85,
  clip: 99,
  /** the slice of volumes that is shown; null: of each sample the one with the largest share of its map */
  depth: /** @type {number | null} */ (null),
  sort: "probe",
  /** "fixed", or "chosen": the rows that the gallery's rule chose at the epoch */
  gallery: "fixed",
  /** samples that stand first, each as the probe's hash and its row: see `core/pins.js` */
  pins: /** @type {string[]} */ ([]),
  /** of bars and shades: "common" to all samples, or each sample its "own" */
  scale: "common",
  /** the chosen sample of the gallery; −1: the first in the order of the settings */
  sample: 0,
  compare: "off",
  first: /** @type {number | null} */ (null),
  second: /** @type {number | null} */ (null),
  firstMethod: "",
  secondMethod: "",
  other: "",
  layer: "",
  /** the cell of the confusion matrix whose rows are listed, "true,predicted"; "" for those with the largest loss */
  cell: "",
  /** the number of the label or output that predictions are shown of; "" for the one that is explained, else the first */
  label: "",
  /** what colours a point of the map: "label", "prediction" or "held_out"; "" for the first there is */
  points: "",
  /** what is typed to find runs, layers, features, alerts and samples */
  runFilter: "",
  layerFilter: "",
  featureFilter: "",
  alertFilter: "",
  sampleFilter: "",
  /** "" for all */
  alertVerdict: "",
  alertSource: "",
  /** "" for all, "until" or "at" the slider's epoch */
  alertWhen: "",
  sampleClass: "",
  wrongOnly: false,
  /** column of the table of runs that it is sorted by, from its small or its large end; "grouped" by path or "flat" */
  runSort: "name",
  runsDown: false,
  runRows: "grouped",
  /** groups of runs that are closed */
  folded: /** @type {string[]} */ ([]),
  /** pixels */
  railWidth: 216,
};

/** What belongs to a person's own screen: it is in no link. @type {(keyof State)[]} */
const OWN = ["seen", "folded", "railWidth"];

/** @type {State} */
export const state = { ...DEFAULTS };

const PREFIX = "keras_xai:";
const STORE_AFTER = 250; // milliseconds: a drag changes the selection sixty times a second, and the storage is slow
const DIRECTORIES_READ = 20;

/** @typedef {(changed: string[]) => void} Listener */

/** Where the selection is kept, and who is called when it changes. */
class Store {
  #key = "";
  #timer = 0;
  /** @type {Set<Listener>} */
  #listeners = new Set();

  /** @param {Listener} listener */
  subscribe(listener) {
    this.#listeners.add(listener);
  }

  /** @param {string} directory */
  open(directory) {
    this.#key = PREFIX + directory;
    try {
      const stored = JSON.parse(localStorage.getItem(this.#key) ?? "{}");
      for (const [name, standard] of Object.entries(DEFAULTS)) {
        if (stored[name] !== undefined && hasTypeOf(stored[name], standard))
          Object.assign(state, { [name]: stored[name] });
      }
    } catch {
      /* a full or forbidden storage costs only the memory of the place */
    }
  }

  /** @param {Partial<State>} change */
  set(change) {
    const names = /** @type {(keyof State)[]} */ (Object.keys(change));
    const changed = names.filter((name) => state[name] !== change[name]);
    Object.assign(state, change);
    this.#timer ||= setTimeout(() => this.write(), STORE_AFTER);
    if (!changed.length) return;
    for (const listener of this.#listeners) listener(changed);
  }

  /** Writes what differs from the defaults, where something waits to be written. */
  write() {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (!this.#key) return;
    const entries = /** @type {[keyof State, any][]} */ (Object.entries(state));
    const chosen = Object.fromEntries(entries.filter(([name, value]) => value !== DEFAULTS[name]));
    try {
      localStorage.setItem(this.#key, JSON.stringify(chosen));
    } catch {
      /* as above */
    }
  }
}

/**
 * Whether a value that was stored has the type that the selection has today.
 * @param {unknown} value
 * @param {unknown} standard
 */
function hasTypeOf(value, standard) {
  if (Array.isArray(standard)) return Array.isArray(value) && value.every((part) => typeof part === "string");
  if (standard === null) return value === null || Number.isInteger(value);
  return typeof value === typeof standard;
}

/**
 * What of the selection a link holds: all that is not as it is at first, in words.
 * @returns {[name: string, value: string][]}
 */
export function shared() {
  const names = /** @type {(keyof State)[]} */ (Object.keys(DEFAULTS));
  return names
    .filter((name) => !OWN.includes(name) && String(state[name]) !== String(DEFAULTS[name]))
    .flatMap((name) => [state[name]].flat().map((value) => /** @type {[string, string]} */ ([name, String(value)])));
}

/**
 * The selection that a link holds: what it does not name is as it is at first, what has another type is left out.
 * @param {[name: string, value: string][]} entries
 * @returns {Partial<State>}
 */
export function selectionOf(entries) {
  /** @type {Record<string, any>} */
  const selection = {};
  for (const [name, standard] of Object.entries(DEFAULTS)) {
    if (OWN.includes(/** @type {keyof State} */ (name))) continue;
    const texts = entries.filter(([entry]) => entry === name).map(([, text]) => text);
    const value = Array.isArray(standard) ? texts : parsed(texts[0], standard);
    selection[name] = value !== undefined && hasTypeOf(value, standard) ? value : standard;
  }
  return selection;
}

/**
 * @param {string | undefined} text
 * @param {unknown} standard
 */
function parsed(text, standard) {
  if (text === undefined || typeof standard === "string") return text;
  if (typeof standard === "boolean") return text === "true";
  return text.trim() === "" ? undefined : Number(text);
}

/** The runs last looked at, of whatever log directory: asked for before it is known which one this is. */
export function lastFocus() {
  try {
    const keys = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
    const names = keys
      .slice(-DIRECTORIES_READ)
      .map((key) => String(JSON.parse(localStorage.getItem(key) ?? "").focus ?? ""));
    return [...new Set([...names, ""])];
  } catch {
    return [""];
  }
}

const store = new Store();
addEventListener("pagehide", () => store.write());

/**
 * Reads what was stored for this log directory; what no longer has the right type is the default again.
 * @param {string} directory
 */
export const open = (directory) => store.open(directory);

/**
 * Changes the selection, stores it and tells every listener which names changed.
 * @param {Partial<State>} change
 */
export const set = (change) => store.set(change);

/** @param {Listener} listener */
export const subscribe = (listener) => store.subscribe(listener);
