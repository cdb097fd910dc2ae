/** The one selection that every view follows. It lives in localStorage under the log directory: a reload comes back. */

/** @typedef {typeof defaults} State */
const defaults = {
  view: "overview",
  /** null: the latest, which follows new epochs as they arrive */
  epoch: /** @type {number | null} */ (null),
  focus: "",
  /** names of the runs laid over the charts */
  runs: /** @type {string[]} */ ([]),
  /** names of all runs in the order of first sight: the place is the colour, and stays */
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
  sort: "probe",
  /** of bars and shades: "common" to all samples, or each sample its "own" */
  scale: "common",
  sample: 0,
  compare: "off",
  first: /** @type {number | null} */ (null),
  second: /** @type {number | null} */ (null),
  firstMethod: "",
  secondMethod: "",
  other: "",
  layer: "",
  /** what colours a point of the map: "label", "prediction" or "held_out"; "" for the first there is */
  points: "",
};

export const state = { ...defaults };
const listeners = new Set();
let place = "";

/** The runs last looked at, of whatever log directory: asked for before it is known which one this is. */
export function lastFocus() {
  try {
    const kept = Object.keys(localStorage).filter((name) => name.startsWith("keras_xai:"));
    return [
      ...new Set([...kept.slice(-20).map((name) => String(JSON.parse(localStorage.getItem(name)).focus ?? "")), ""]),
    ];
  } catch {
    return [""];
  }
}

/** Reads what was kept for this log directory; what no longer has the right type is the default again. */
export function open(directory) {
  place = `keras_xai:${directory}`;
  try {
    const kept = JSON.parse(localStorage.getItem(place) ?? "{}");
    for (const [name, standard] of Object.entries(defaults)) {
      const value = kept[name];
      if (value === undefined) continue;
      const fits = Array.isArray(standard)
        ? Array.isArray(value) && value.every((one) => typeof one === "string")
        : standard === null
          ? value === null || Number.isInteger(value)
          : typeof value === typeof standard;
      if (fits) state[name] = value;
    }
  } catch {
    /* a full or forbidden storage costs only the memory of the place */
  }
}

/** Changes the selection, keeps it and tells everybody what changed. @param {Partial<State>} change */
export function set(change) {
  const changed = Object.keys(change).filter((name) => state[name] !== change[name]);
  Object.assign(state, change);
  keeping ||= setTimeout(keep, 250); // a drag changes it sixty times a second, and the storage is slow
  if (changed.length) for (const listener of listeners) listener(changed);
}

let keeping = 0;

function keep() {
  clearTimeout(keeping);
  keeping = 0;
  try {
    if (place)
      localStorage.setItem(
        place,
        JSON.stringify(Object.fromEntries(Object.entries(state).filter(([name, value]) => value !== defaults[name]))),
      );
  } catch {
    /* as above */
  }
}
addEventListener("pagehide", () => keeping && keep());

export const subscribe = (listener) => listeners.add(listener);
