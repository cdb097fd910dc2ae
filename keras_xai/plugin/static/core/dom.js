/** Small words for elements and numbers. Names of features, classes and runs only ever arrive as text nodes. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @template {Element} T
 * @param {T} node
 * @param {Record<string, any>} attributes `onclick` and the like are listeners, `style` an object, null is left out
 * @param {Child[]} children
 * @returns {T}
 */
function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "style") Object.assign(/** @type {any} */ (node).style, value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...nodesOf(children));
  return node;
}

/**
 * What of nested children is to be shown.
 * @param {Child[]} children
 * @returns {(Node | string)[]}
 */
function nodesOf(children) {
  /** @type {(Node | string)[]} */
  const nodes = [];
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) nodes.push(...nodesOf(child));
    else nodes.push(typeof child === "number" ? String(child) : child);
  }
  return nodes;
}

/**
 * An element of the page.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} attributes
 * @param {Child[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/**
 * An element of a drawing.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} attributes
 * @param {Child[]} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export const s = (tag, attributes, ...children) =>
  fill(/** @type {SVGElementTagNameMap[Tag]} */ (document.createElementNS(SVG, tag)), attributes, children);

/**
 * The drawing context of a canvas.
 * @param {HTMLCanvasElement} canvas
 */
export const context2d = (canvas) => /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
export const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/**
 * A linear scale from [a, b] to [p, q].
 * @param {number} a
 * @param {number} b
 * @param {number} p
 * @param {number} q
 * @returns {(x: number) => number}
 */
export const linear = (a, b, p, q) => (x) => p + ((x - a) / (b - a || 1)) * (q - p);

/**
 * 53 %, 4.6 %, 0.21 %: the same two telling digits as the server's words.
 * @param {number} x
 */
export function percent(x) {
  if (!Number.isFinite(x)) return "–";
  let digits = 2;
  if (x >= 0.0995) digits = 0;
  else if (x >= 0.00995) digits = 1;
  return `${(100 * x).toFixed(digits)}\u00a0%`;
}

/**
 * A share that has a sign: below nothing a feature speaks against the label.
 * @param {number | null} share
 */
export function signedPercent(share) {
  if (share === null) return "–";
  return share < 0 ? `−${percent(-share)}` : percent(share);
}

/**
 * A number with its sign; the minus is as wide as the plus.
 * @param {number | null} x
 * @param {number} digits
 */
export const signed = (x, digits) => (x === null ? "–" : `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(digits)}`);

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/**
 * A number with three significant digits, and from 1,000 on as a whole one; below 0.001 and from a million on a power of ten.
 * As `short` of `keras_xai.analysis.formatting`.
 * @param {number} x
 */
export function short(x) {
  if (!Number.isFinite(x)) return "–";
  const size = Math.abs(x);
  const rounded = Number(size.toPrecision(3));
  if (!rounded) return "0";
  const sign = x < 0 ? "−" : "";
  if (rounded >= 1e-3 && rounded < 1e3) return sign + String(rounded);
  if (rounded >= 1e3 && rounded < 1e6) return sign + thousands(Number(size.toFixed(0)));
  const [mantissa, exponent] = rounded.toExponential().split("e");
  const digits = Math.abs(Number(exponent))
    .toString()
    .replace(/\d/g, (digit) => SUPERSCRIPTS[Number(digit)]);
  const power = `10${Number(exponent) < 0 ? "⁻" : ""}${digits}`;
  return sign + (mantissa === "1" ? power : `${mantissa}×${power}`);
}

/**
 * Formatted numbers with their decimal points below each other where all are set flush right.
 * As `aligned` of `keras_xai.analysis.formatting`.
 * @param {string[]} numbers
 */
export function aligned(numbers) {
  const decimals = numbers.map((number) =>
    /^−?[\d,]+(\.\d+)?$/.test(number) ? (number.split(".")[1]?.length ?? 0) : null,
  );
  const most = Math.max(0, ...decimals.map(Number));
  return numbers.map((number, i) => {
    const count = decimals[i];
    if (count === null || count === most) return number;
    return number + (count === 0 ? "\u2008" : "") + "\u2007".repeat(most - count);
  });
}

/**
 * A whole number with a comma at each thousand.
 * @param {number} n
 */
export const thousands = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");

/**
 * 1 alert, 2 alerts
 * @param {number} n
 * @param {string} noun
 */
export const count = (n, noun) => `${thousands(n)} ${noun}${n === 1 ? "" : "s"}`;

/**
 * The start and the end of a long name: names differ at both.
 * @param {string} text
 * @param {number} length
 */
export function clip(text, length) {
  if (text.length <= length) return text;
  return `${text.slice(0, Math.ceil(length / 2))}…${text.slice(text.length - Math.floor(length / 2) + 1)}`;
}

const pen = context2d(document.createElement("canvas"));

/**
 * How wide a text is in a chart, in pixels.
 * @param {string} text
 * @param {number} weight
 */
export function widthOf(text, weight) {
  pen.font = `${weight} 11px Roboto, "Helvetica Neue", Arial, sans-serif`;
  return pen.measureText(text).width;
}

/**
 * A text of a chart that goes into so many pixels, cut in its middle where it must be.
 * @param {string} text
 * @param {number} room
 * @param {number} weight
 */
export function fitted(text, room, weight) {
  let length = text.length;
  while (length > 3 && widthOf(clip(text, length), weight) > room) length--;
  return clip(text, length);
}

/**
 * The index of the nearest earlier number in a sorted list; the first where none is earlier.
 * @param {number[]} sorted
 * @param {number} value
 */
export function position(sorted, value) {
  let at = 0;
  while (at + 1 < sorted.length && sorted[at + 1] <= value) at++;
  return at;
}

/**
 * One box for every exact value under the pointer; an empty text hides it.
 * @param {{clientX: number, clientY: number}} event
 * @param {string} text
 */
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

/** Hides that box. */
export const hideTip = () => tip({ clientX: 0, clientY: 0 }, "");

/**
 * Shows `say(event)` while the pointer is over the node.
 * @template {HTMLElement | SVGElement} T
 * @param {T} node
 * @param {(event: PointerEvent) => string} say
 * @returns {T}
 */
export function hint(node, say) {
  node.addEventListener("pointermove", (event) => {
    const pointer = /** @type {PointerEvent} */ (event);
    tip(pointer, say(pointer));
  });
  node.addEventListener("pointerleave", hideTip);
  return node;
}

/** Marks that need to know their width: their places stand first, then all widths are read before anything is drawn. */
export class Deferred {
  /** @type {{place: HTMLElement, draw: (width: number) => Node}[]} */
  #marks = [];

  /**
   * Draws into `place` when `fill` is called.
   * @template {HTMLElement} T
   * @param {T} place
   * @param {(width: number) => Node} draw
   * @returns {T}
   */
  add(place, draw) {
    this.#marks.push({ place, draw });
    return place;
  }

  /** Draws every mark, once. One layout of the page, where reading and drawing in turn would take one a mark. */
  fill() {
    const marks = this.#marks;
    this.#marks = [];
    const widths = marks.map(({ place }) => place.clientWidth);
    marks.forEach(({ place, draw }, i) => place.append(draw(Math.max(40, widths[i]))));
  }
}

/** What the panels on the page say of themselves: read by their menus and by their help. @type {WeakMap<Element, PanelAbout>} */
export const panelsOnPage = new WeakMap();

/**
 * A panel: a rule, a title that says what it shows, its help, a note at its right, and a menu of what can be taken out of it.
 * @param {string} span
 * @param {Child} title
 * @param {Child | PanelAbout} about the note alone, or all that it says of itself: `panel("c7", "Loss", {help: "loss", note})`
 * @param {Child[]} children
 */
export function panel(span, title, about, ...children) {
  const { note = "", ...words } = isAbout(about) ? about : { note: about };
  const heading = h("h3", {}, title);
  heading.title ||= heading.textContent ?? ""; // it may be cut
  const name = words.help ?? heading.textContent ?? "";
  const help = words.help && panelButton(`help ${name}`, "i", `About: ${heading.textContent}`, "panel-help");
  const menu = panelButton(`menu ${name}`, "⋯", `Take out: ${heading.textContent}`, "panel-menu");
  const named = h("div", { class: "named" }, heading, help); // they wrap as one
  const header = h("header", {}, named, h("span", { class: "note" }, note), menu);
  const section = h("section", { class: `panel ${span}` }, header, ...children);
  panelsOnPage.set(section, words);
  return section;
}

/**
 * @param {Child | PanelAbout} about
 * @returns {about is PanelAbout}
 */
const isAbout = (about) =>
  typeof about === "object" && about !== null && Object.getPrototypeOf(about) === Object.prototype;

/**
 * A button of a panel's header: whoever opens what it stands for listens to the event on the document.
 * @param {string} key that it is found by after the next drawing
 * @param {string} sign
 * @param {string} label
 * @param {"panel-help" | "panel-menu"} event also its class
 */
function panelButton(key, sign, label, event) {
  const kind = event === "panel-menu" ? "menu" : "dialog";
  const attributes = { class: event, type: "button", "aria-label": label, title: label, "data-key": key };
  const onclick = () => button.dispatchEvent(new CustomEvent(event, { bubbles: true }));
  const button = h("button", { ...attributes, "aria-haspopup": kind, "aria-expanded": "false", onclick }, sign);
  return button;
}

/**
 * Words where a view would stand: what is missing, why, and the line that would help.
 * @param {string} title
 * @param {string} text
 * @param {string} [code]
 */
export const message = (title, text, code) =>
  h("div", { class: "empty" }, h("h3", {}, title), h("p", {}, text), code && h("code", {}, code));

/**
 * Where nothing was recorded: that the callback broke, and why, or that nobody asked for it.
 * @param {Run} run
 * @param {string} callback
 * @param {string} title
 * @param {string} code
 */
export function absent(run, callback, title, code) {
  const stop = run.stops[callback];
  if (!stop) return message(title, `${callback} was not among this run's callbacks.`, code);
  return h("div", { class: "empty" }, h("h3", {}, title), h("p", { class: "alarm" }, stop));
}

/**
 * A line's name in the note of its panel.
 * @param {string} name
 * @param {string} colour
 * @param {string} [dash]
 */
export const key = (name, colour, dash) =>
  h(
    "span",
    { class: "key" },
    h("i", { style: { borderColor: colour, borderTopStyle: dash ?? "solid" } }),
    clip(name, 28),
  );
