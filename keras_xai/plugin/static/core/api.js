/** The server's answers: fetched once, kept, and read by everybody who draws. */

const ANSWERS_KEPT = 400;
const BYTES_KEPT = 3e8; // a hundred epochs of large maps

/**
 * An answer, or the wait for one. An older answer stands in until the new one is there, so that nothing flickers.
 * @typedef {object} Entry
 * @property {any} [value]
 * @property {string} [error] the server's words where it refused
 * @property {string} [stamp] of the value
 * @property {string} [pending] the stamp that was asked for and has not come
 * @property {Promise<void>} [answered]
 * @property {boolean} awaited whether somebody read it while it was pending
 * @property {number} size bytes
 */

/**
 * An address of this plugin, relative to the page's base.
 * @param {string} path
 * @param {Query} parameters
 */
export function address(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const part of Array.isArray(value) ? value : [value]) {
      if (part !== undefined && part !== null && part !== "") query.append(name, String(part));
    }
  }
  const text = query.toString();
  return text ? `./${path}?${text}` : `./${path}`;
}

/**
 * Fetches an answer; where the server refuses, its words are the error's.
 * @param {string} url
 * @returns {Promise<any>}
 */
export async function fetchAnswer(url) {
  const response = await fetch(url);
  if (!response.ok) {
    const words = (await response.text()).slice(0, 300);
    throw new Error(words || `${response.status} ${response.statusText}`);
  }
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  return isJson ? response.json() : parseFramed(await response.arrayBuffer());
}

const ARRAY_TYPES = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array };

/**
 * `uint32 length | JSON header | arrays` as the header's object with every array under its name.
 * @param {ArrayBuffer} buffer
 * @returns {Framed & Record<string, any>}
 */
export function parseFramed(buffer) {
  const headerBytes = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, headerBytes)));
  const answer = { ...header };
  for (const { name, dtype, shape, offset, low, high } of /** @type {ArrayHeader[]} */ (header.arrays)) {
    const length = shape.reduce((product, side) => product * side, 1);
    const data = new ARRAY_TYPES[dtype](buffer, 4 + headerBytes + offset, length);
    const quantized = low && high && data instanceof Uint8Array;
    answer[name] = quantized ? new Quantized(shape, data, low, high) : { shape, data };
  }
  return answer;
}

/** Maps as bytes that count 255 steps between the ends of each row's scale; as numbers where somebody reads `data`. */
export class Quantized {
  /** @type {Float32Array | undefined} */
  #data;

  /**
   * @param {number[]} shape
   * @param {Uint8Array} steps
   * @param {number[]} low of each row
   * @param {number[]} high of each row
   */
  constructor(shape, steps, low, high) {
    this.shape = shape;
    this.steps = steps;
    this.low = low;
    this.high = high;
    /** values of a row */
    this.length = steps.length / low.length;
  }

  get data() {
    if (this.#data) return this.#data;
    const data = new Float32Array(this.steps.length);
    for (let row = 0; row < this.low.length; row++) {
      this.fill(data.subarray(row * this.length, (row + 1) * this.length), row);
    }
    this.#data = data;
    return data;
  }

  /**
   * The value of one step of a row.
   * @param {number} row
   */
  step(row) {
    return (this.high[row] - this.low[row]) / 255;
  }

  /**
   * Writes the numbers of one row into `values`.
   * @param {Float32Array} values
   * @param {number} row
   */
  fill(values, row) {
    const low = this.low[row];
    const step = this.step(row);
    const from = row * this.length;
    for (let i = 0; i < values.length; i++) values[i] = low + this.steps[from + i] * step;
    return values;
  }
}

/**
 * What an array takes in memory, as it came.
 * @param {AnyTensor} array
 */
export const bytesOf = (array) => ("steps" in array && array.steps ? array.steps : array.data).byteLength;

/** @param {any} answer */
const sizeOf = (answer) => {
  const headers = /** @type {ArrayHeader[]} */ (answer?.arrays ?? []);
  return headers.reduce((sum, { name }) => sum + bytesOf(answer[name]), 0);
};

/** The answers of one server. */
export class Server {
  /** @type {Map<string, Entry>} by address, in the order of use, the oldest first */
  #entries = new Map();
  #bytes = 0;
  #frame = 0;
  #onAnswer;

  /** @param {() => void} onAnswer is called after answers arrived that somebody waits for, at most once a frame */
  constructor(onAnswer) {
    this.#onAnswer = onAnswer;
  }

  /**
   * The answer as far as it is here, undefined before the first one; what is not here is fetched.
   * @template {keyof Answers} Route
   * @param {Route} route
   * @param {Query} parameters
   * @param {string} [stamp] changes when the server has something newer
   * @returns {Answers[Route] | undefined}
   */
  read(route, parameters, stamp = "") {
    const entry = this.#entryOf(address(route, parameters), stamp);
    entry.awaited = entry.pending !== undefined;
    return entry.value;
  }

  /**
   * Keeps an answer that came with another one.
   * @template {keyof Answers} Route
   * @param {Route} route
   * @param {Query} parameters
   * @param {string} stamp
   * @param {Answers[Route]} value
   */
  prime(route, parameters, stamp, value) {
    this.#entries.set(address(route, parameters), { value, stamp, size: 0, awaited: false });
  }

  /**
   * The answer where it is here and as new as this stamp; nothing is fetched.
   * @template {keyof Answers} Route
   * @param {Route} route
   * @param {Query} parameters
   * @param {string} [stamp]
   * @returns {Answers[Route] | undefined}
   */
  peek(route, parameters, stamp = "") {
    const entry = this.#entries.get(address(route, parameters));
    return entry?.stamp === stamp ? entry.value : undefined;
  }

  /**
   * Fetches what may be read soon. Nobody is called when it arrives, unless somebody reads it until then.
   * @param {keyof Answers} route
   * @param {Query} parameters
   * @param {string} [stamp]
   */
  prefetch(route, parameters, stamp = "") {
    return this.#entryOf(address(route, parameters), stamp).answered;
  }

  /** When all that was read and is not here yet has come. */
  async awaited() {
    const entries = [...this.#entries.values()].filter((entry) => entry.awaited);
    await Promise.all(entries.map((entry) => entry.answered));
  }

  /** Calls nobody for what has come until now: it is being drawn. */
  quiet() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
  }

  /**
   * Fetches past the answers that are kept.
   * @template {keyof Answers} Route
   * @param {Route} route
   * @param {Query} [parameters]
   * @returns {Promise<Answers[Route]>}
   */
  fetchNow(route, parameters = {}) {
    return fetchAnswer(address(route, parameters));
  }

  /**
   * The server's words where it refused an answer.
   * @param {keyof Answers} route
   * @param {Query} parameters
   */
  refusal(route, parameters) {
    return this.#entries.get(address(route, parameters))?.error;
  }

  /** Forgets refusals, so that "try again" tries again. */
  forgetRefusals() {
    for (const [url, entry] of this.#entries) {
      if (!entry.error) continue;
      this.#entries.delete(url);
      this.#bytes -= entry.size;
    }
  }

  /**
   * @param {string} url
   * @param {string} stamp
   */
  #entryOf(url, stamp) {
    let entry = this.#entries.get(url);
    if (entry) {
      this.#entries.delete(url); // to stand at the end of the order of use
      this.#entries.set(url, entry);
    } else {
      entry = { size: 0, awaited: false };
      this.#entries.set(url, entry);
      this.#makeRoom(url);
    }
    if (entry.stamp !== stamp && entry.pending !== stamp) {
      entry.pending = stamp;
      entry.answered = this.#fetch(url, entry, stamp);
    }
    return entry;
  }

  /**
   * @param {string} url
   * @param {Entry} entry
   * @param {string} stamp
   */
  async #fetch(url, entry, stamp) {
    try {
      const value = await fetchAnswer(url);
      const size = sizeOf(value);
      if (this.#entries.get(url) === entry) this.#bytes += size - entry.size;
      Object.assign(entry, { value, error: undefined, size });
    } catch (error) {
      entry.error = String(/** @type {Error} */ (error).message);
    }
    entry.stamp = stamp;
    if (entry.pending === stamp) entry.pending = undefined;
    if (entry.awaited) this.#announce();
  }

  #announce() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#onAnswer();
    });
  }

  /**
   * Lets go of what was not read for the longest.
   * @param {string} newest stays
   */
  #makeRoom(newest) {
    for (const [url, { pending, size }] of this.#entries) {
      if (this.#entries.size <= ANSWERS_KEPT && this.#bytes <= BYTES_KEPT) return;
      if (pending !== undefined || url === newest) continue;
      this.#entries.delete(url);
      this.#bytes -= size;
    }
  }
}
