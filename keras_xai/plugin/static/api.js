/**
 * Fetches. `ask` gives what is known at once and fetches what is not; when an answer arrives everybody who listens is
 * told and asks again. An older answer stands in until the new one is there, so that nothing flickers.
 */

/** @type {Map<string, {value?: any, error?: string, stamp?: string, pending?: string}>} */
const answers = new Map();
const listeners = new Set();
const MOST = 400;
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
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined && one !== null && one !== "") query.append(name, one);
  const text = query.toString();
  return `./${path}${text ? `?${text}` : ""}`;
};

/** What the server said, or its words why not. */
async function answerOf(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error((await response.text()).slice(0, 300) || `${response.status} ${response.statusText}`);
  return response.headers.get("Content-Type")?.startsWith("application/json") ? response.json() : arrays(await response.arrayBuffer());
}

/** Fetches once, past the kept answers. */
export const fetchNow = (path, parameters = {}) => answerOf(address(path, parameters));

const VIEWS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array };

/** `uint32 length | JSON header | arrays` as the header's object with every array under its name: {shape, data}. */
export function arrays(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const out = { ...header };
  for (const { name, dtype, shape, offset } of header.arrays) {
    const length = shape.reduce((a, b) => a * b, 1);
    out[name] = { shape, data: new VIEWS[dtype](buffer, 4 + size + offset, length) };
  }
  return out;
}

/**
 * What is known under these parameters, undefined while nothing is.
 * @param {string} stamp changes when the server has something newer
 */
export function ask(path, parameters, stamp = "") {
  const url = address(path, parameters);
  let entry = answers.get(url);
  if (entry) {
    answers.delete(url); // the map is in order of use, the oldest first
    answers.set(url, entry);
  } else {
    answers.set(url, (entry = {}));
    if (answers.size > MOST) for (const [old, { pending }] of answers) if (pending === undefined && old !== url) { answers.delete(old); break; }
  }
  if (entry.stamp !== stamp && entry.pending !== stamp) {
    entry.pending = stamp;
    answerOf(url)
      .then((value) => Object.assign(entry, { value, error: undefined }), (error) => Object.assign(entry, { error: String(error.message) }))
      .then(() => {
        entry.stamp = stamp;
        if (entry.pending === stamp) entry.pending = undefined;
        tell();
      });
  }
  return entry.value;
}

/** The server's words where an answer was refused. */
export const refusal = (path, parameters) => answers.get(address(path, parameters))?.error;

/** Forgets refusals, so that "try again" tries again. */
export function forgetRefusals() {
  for (const [url, entry] of answers) if (entry.error) answers.delete(url);
}
