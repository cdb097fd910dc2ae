/** Small words for elements and numbers. Names of features, classes and runs only ever arrive as text nodes. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {Element} node
 * @param {Record<string, any>} attributes `onclick` and the like are listeners, `style` an object, null is left out
 * @param {any[]} children
 */
function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "style") Object.assign(node.style, value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** @returns {HTMLElement} */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
/** @returns {SVGElement} */
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/** A straight line from [a, b] to [p, q]. */
export const linear = (a, b, p, q) => (x) => p + ((x - a) / (b - a || 1)) * (q - p);

/** 53 %, 4.6 %, 0.21 %: the same two telling digits as the server's words. */
export const percent = (x) =>
  Number.isFinite(x) ? `${(100 * x).toFixed(x >= 0.0995 ? 0 : x >= 0.00995 ? 1 : 2)}\u00a0%` : "–";

/** A minus sign as wide as a plus. */
export const signed = (x, digits) => (x === null ? "–" : `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(digits)}`);

/** Three digits, whatever the size. */
export const short = (x) => {
  if (!Number.isFinite(x)) return "–";
  const size = Math.abs(x);
  return (size !== 0 && (size < 1e-3 || size >= 1e5) ? x.toExponential(1) : String(Number(x.toPrecision(4)))).replace(
    "-",
    "−",
  );
};

export const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

/** The start and the end of a long name: names differ at both. */
export const clip = (text, most) =>
  text.length <= most
    ? text
    : `${text.slice(0, Math.ceil(most / 2))}…${text.slice(text.length - Math.floor(most / 2) + 1)}`;

const pen = document.createElement("canvas").getContext("2d");

/** How wide a word is in a chart, in pixels. */
export function widthOf(text, weight) {
  pen.font = `${weight} 11px Roboto, "Helvetica Neue", Arial, sans-serif`;
  return pen.measureText(text).width;
}

/** A text of a chart that goes into so many pixels, cut in its middle where it must be. */
export function fitted(text, room, weight) {
  let most = text.length;
  while (most > 3 && widthOf(clip(text, most), weight) > room) most--;
  return clip(text, most);
}

/** The place of the nearest earlier number in a sorted list; the first where none is earlier. */
export function position(sorted, value) {
  let at = 0;
  while (at + 1 < sorted.length && sorted[at + 1] <= value) at++;
  return at;
}

/** One box for every exact value under the pointer. */
export function tip(event, text) {
  const box = document.getElementById("tip");
  if (!box) return;
  box.hidden = !text;
  if (!text) return;
  box.textContent = text;
  box.style.left = `${clamp(event.clientX + 12, 4, innerWidth - box.offsetWidth - 8)}px`;
  const above = event.clientY - box.offsetHeight - 12;
  box.style.top = `${above < 0 ? event.clientY + 16 : above}px`;
}

/** Shows `say(event)` while the pointer is over the node. */
export function hint(node, say) {
  node.addEventListener("pointermove", (event) => tip(event, say(event)));
  node.addEventListener("pointerleave", (event) => tip(event, ""));
  return node;
}

/** A panel: a rule, a title that says what it shows, a note at its right. */
export const panel = (span, title, note, ...children) =>
  h(
    "section",
    { class: `panel ${span}` },
    h("header", {}, h("h3", {}, title), h("span", { class: "note" }, note)),
    ...children,
  );

/** Words where a view would stand: what is missing, why, and the line that would help. */
export const message = (title, text, code) =>
  h("div", { class: "empty" }, h("h3", {}, title), h("p", {}, text), code && h("code", {}, code));

/** Where nothing was recorded: that the callback broke, and why, or that nobody asked for it. */
export const absent = (run, callback, title, code) =>
  run.stops[callback]
    ? h("div", { class: "empty" }, h("h3", {}, title), h("p", { class: "alarm" }, run.stops[callback]))
    : message(title, `${callback} was not among this run's callbacks.`, code);

/** A line's name in the note of its panel. */
export const key = (name, colour, dash) =>
  h(
    "span",
    { class: "key" },
    h("i", { style: { borderColor: colour, borderTopStyle: dash ?? "solid" } }),
    clip(name, 28),
  );
