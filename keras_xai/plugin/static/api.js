/**
 * Fetches. `ask` gives what is known at once and fetches what is not; when an answer arrives everybody who listens is
 * told and asks again. An older answer stands in until the new one is there, so that nothing flickers.
 */

/** @type {Map<string, {value?: any, error?: string, stamp?: string, pending?: string, answered?: Promise<any>, awaited: boolean, size: number}>} */
const answers = new Map();
const listeners = new Set();
const MOST = 400; // answers kept,
const ROOM = 3e8; // and bytes: a hundred epochs of large maps
let held = 0;
let told = 0;

/** Calls back after answers arrived, at most once a frame. */
export const onAnswer = (listener) => listeners.add(listener);

function tell() {
  told ||= requestAnimationFrame(() => {
    told = 0;
    for (const listener of listeners) listener();
  });
}

/** An address of this plugin, relative to the page's base. */
const address = (path, parameters) => {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters))
    for (const one of Array.isArray(value) ? value : [value])
      if (one !== undefined && one !== null && one !== "") query.append(name, one);
  const text = query.toString();
  return `./${path}${text ? `?${text}` : ""}`;
};

/** What the server said, or its words why not. */
export async function answerOf(url) {
  const response = await fetch(url);
  if (!response.ok)
    throw new Error((await response.text()).slice(0, 300) || `${response.status} ${response.statusText}`);
  return response.headers.get("Content-Type")?.startsWith("application/json")
    ? response.json()
    : arrays(await response.arrayBuffer());
}

/** Fetches once, past the kept answers. */
export const fetchNow = (path, parameters = {}) => answerOf(address(path, parameters));

const VIEWS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array };

/**
 * `uint32 length | JSON header | arrays` as the header's object with every array under its name: {shape, data}. An array
 * with the ends of its scales, `low` and `high`, holds bytes that stand for floats: `Steps`.
 */
export function arrays(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const out = { ...header };
  for (const { name, dtype, shape, offset, low, high } of header.arrays) {
    const length = shape.reduce((a, b) => a * b, 1);
    const data = new VIEWS[dtype](buffer, 4 + size + offset, length);
    out[name] = low ? new Steps(shape, data, low, high) : { shape, data };
  }
  return out;
}

/** Maps as bytes that count 255 steps between the ends of each row's scale; as numbers where somebody asks for those. */
class Steps {
  #data;

  constructor(shape, steps, low, high) {
    Object.assign(this, { shape, steps, low, high, length: steps.length / low.length });
  }

  get data() {
    if (this.#data) return this.#data;
    this.#data = new Float32Array(this.steps.length);
    for (let row = 0; row < this.low.length; row++)
      this.fill(this.#data.subarray(row * this.length, (row + 1) * this.length), row);
    return this.#data;
  }

  /** What one step of a row stands for. */
  step(row) {
    return (this.high[row] - this.low[row]) / 255;
  }

  /** The numbers of one row. */
  fill(out, row) {
    const [low, step, from] = [this.low[row], this.step(row), row * this.length];
    for (let i = 0; i < out.length; i++) out[i] = low + this.steps[from + i] * step;
    return out;
  }
}

/**
 * What is known under these parameters, undefined while nothing is.
 * @param {string} stamp changes when the server has something newer
 */
export function ask(path, parameters, stamp = "") {
  const entry = entryOf(address(path, parameters), stamp);
  entry.awaited = entry.pending !== undefined;
  return entry.value;
}

/** Keeps words that came with another answer. */
export const know = (path, parameters, stamp, value) =>
  answers.set(address(path, parameters), { value, stamp, size: 0, awaited: false });

/** What is known under these parameters as of this stamp; nothing is fetched. */
export function known(path, parameters, stamp = "") {
  const entry = answers.get(address(path, parameters));
  return entry?.stamp === stamp ? entry.value : undefined;
}

/** Fetches what may be asked for soon. Nobody is told when it arrives, unless somebody asks for it until then. */
export const askAhead = (path, parameters, stamp = "") => entryOf(address(path, parameters), stamp).answered;

function entryOf(url, stamp) {
  let entry = answers.get(url);
  if (entry) {
    answers.delete(url); // the map is in order of use, the oldest first
    answers.set(url, entry);
  } else {
    answers.set(url, (entry = { size: 0, awaited: false }));
    makeRoom(url);
  }
  if (entry.stamp !== stamp && entry.pending !== stamp) {
    entry.pending = stamp;
    entry.answered = answerOf(url)
      .then(
        (value) => {
          const size = sizeOf(value);
          if (answers.get(url) === entry) held += size - entry.size;
          Object.assign(entry, { value, error: undefined, size });
        },
        (error) => Object.assign(entry, { error: String(error.message) }),
      )
      .then(() => {
        entry.stamp = stamp;
        if (entry.pending === stamp) entry.pending = undefined;
        if (entry.awaited) tell();
      });
  }
  return entry;
}

/** What an array takes in memory, as it came. */
export const bytesOf = (array) => (array.steps ?? array.data).byteLength;

const sizeOf = (value) => (value?.arrays ?? []).reduce((sum, { name }) => sum + bytesOf(value[name]), 0);

/** Lets go of what was not asked for the longest. */
function makeRoom(wanted) {
  for (const [url, { pending, size }] of answers) {
    if (answers.size <= MOST && held <= ROOM) return;
    if (pending !== undefined || url === wanted) continue;
    answers.delete(url);
    held -= size;
  }
}

/** The server's words where an answer was refused. */
export const refusal = (path, parameters) => answers.get(address(path, parameters))?.error;

/** Forgets refusals, so that "try again" tries again. */
export function forgetRefusals() {
  for (const [url, entry] of answers)
    if (entry.error) {
      answers.delete(url);
      held -= entry.size;
    }
}
