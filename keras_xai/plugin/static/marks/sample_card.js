/** A card on one row of the probe: its picture, its values or its words, wherever a row is named. */
import { clamp, clip, h, short } from "../core/dom.js";
import { draw } from "../core/image.js";

const SIZE = 144; // pixels of a picture
const VALUES = 10; // of a table
const WORDS = 60;
const POINTS = 400; // of a line
const LINE = { width: 176, height: 40 };

/**
 * What stands on the card of a row: null while it is read, "" where its input was not written.
 * @param {RunContext} context
 * @param {number} row of the probe
 * @returns {HTMLElement | "" | null}
 */
export function sampleCard({ server, name, run }, row) {
  if (!run.probe?.stored) return "";
  const parameters = { run: name, row };
  server.prefetch("inputs", parameters, run.stamp); // and not read: an answer would draw the view anew, under the pointer
  const inputs = server.peek("inputs", parameters, run.stamp);
  if (!inputs) return server.refusal("inputs", parameters) ? "" : null;
  const body = bodyOf(inputs, run);
  return body ? h("div", { class: "sample-card" }, body) : "";
}

/**
 * @param {Inputs} inputs of one row
 * @param {Run} run
 * @returns {HTMLElement | null}
 */
function bodyOf(inputs, run) {
  const [first] = inputs.arrays;
  if (!first) return null;
  const input = inputs.x0;
  if (inputs.kind === "image" || inputs.kind === "volume") return picture(input, inputs.depth.x0 ?? 0);
  if (inputs.kind === "tokens") {
    const words = (inputs.words?.[0] ?? Array.from(input.data, String)).filter(Boolean);
    const more = words.length > WORDS ? " …" : "";
    return h("p", {}, words.slice(0, WORDS).join(" ") + more);
  }
  if (inputs.kind === "series") return lines(input);
  return values(inputs, run);
}

/**
 * @param {ByteTensor} input a picture, or the slices of a volume, of which the middle one is shown
 * @param {number} depth
 */
function picture(input, depth) {
  const [, height, width, channels = 1] = input.shape;
  const canvas = h("canvas", { class: "thumb" });
  const length = height * width * channels;
  const slice = depth >> 1;
  const data = input.data.subarray(slice * length, (slice + 1) * length);
  const pixels = { data, height, width, channels, all: input.data, sample: slice };
  draw(canvas, { input: pixels, size: SIZE, ratio: height / width });
  return canvas;
}

/** @param {ByteTensor} input a series (1, T, C): its first channel */
function lines(input) {
  const [, steps, channels = 1] = input.shape;
  const step = Math.max(1, Math.ceil(steps / POINTS));
  const line = [];
  for (let t = 0; t < steps; t += step) line.push(input.data[t * channels]);
  const [low, high] = [Math.min(...line), Math.max(...line)];
  const canvas = h("canvas", { width: 2 * LINE.width, height: 2 * LINE.height });
  canvas.style.width = `${LINE.width}px`;
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.scale(2, 2);
  pen.strokeStyle = "currentColor";
  line.forEach((value, i) => {
    const x = (i / Math.max(1, line.length - 1)) * LINE.width;
    const y = LINE.height - 2 - ((value - low) / (high - low || 1)) * (LINE.height - 4);
    if (i) pen.lineTo(x, y);
    else pen.moveTo(x, y);
  });
  pen.stroke();
  return canvas;
}

/**
 * The columns of a table, of all its inputs.
 * @param {Inputs} inputs
 * @param {Run} run
 */
function values(inputs, run) {
  /** @type {[string, string][]} */
  const pairs = [];
  inputs.arrays.forEach(({ name }, part) => {
    const input = inputs[/** @type {`x${number}`} */ (name)];
    const own = inputs.columns[part]?.length ? inputs.columns[part] : inputs.feature_names;
    const names = own?.length === input.data.length ? own : run.probe?.features;
    input.data.forEach((value, f) => {
      const word = inputs.categories[part]?.[f]?.[value] ?? short(value);
      const column = names?.length === input.data.length ? names[f] : `${inputs.names[part] ?? "column"} ${f}`;
      pairs.push([column, word]);
    });
  });
  const rows = pairs
    .slice(0, VALUES)
    .map(([name, value]) => h("tr", {}, h("th", {}, clip(name, 24)), h("td", {}, clip(value, 24))));
  const left = pairs.length - rows.length;
  return h("div", {}, h("table", {}, rows), left > 0 && h("p", {}, `and ${left} more`));
}

/**
 * Shows the card of a row beside the pointer while it is over a node; words where the row has no input.
 * @template {HTMLElement} T
 * @param {T} node
 * @param {() => RunContext | null} contextNow
 * @param {(event: PointerEvent) => {row: number, words: string} | null} rowAt null where there is none
 * @returns {T}
 */
export function cardOnHover(node, contextNow, rowAt) {
  let shown = -1;
  /** @param {Event} event */
  const show = (event) => {
    const pointer = /** @type {PointerEvent} */ (event);
    const [at, context] = [rowAt(pointer), contextNow()];
    const box = floating();
    box.hidden = !at || !context;
    if (!at || !context) return;
    const card = sampleCard(context, at.row);
    shown = card === null ? -1 : at.row;
    const note = card === null ? "Reading the sample …" : "";
    box.replaceChildren(...(card ? [card] : []), at.words + (note && `\n${note}`));
    box.style.left = `${clamp(pointer.clientX + 14, 4, innerWidth - box.offsetWidth - 8)}px`;
    box.style.top = `${clamp(pointer.clientY + 14, 4, innerHeight - box.offsetHeight - 8)}px`;
    if (card === null) retry(() => shown < 0 && node.isConnected && !box.hidden && show(event));
  };
  node.addEventListener("pointermove", show);
  node.addEventListener("pointerleave", () => {
    floating().hidden = true;
  });
  return node;
}

/**
 * The name of a row, and a click that puts its card below; the row stays as it is where its input was not written.
 * @param {RunContext} context
 * @param {number} row of the probe
 */
export function cardButton(context, row) {
  const onclick = () => {
    const line = button.closest("tr");
    if (!line) return;
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    floating().hidden = true;
    if (!open) {
      line.nextElementSibling?.remove();
      return;
    }
    const cell = h("td", { colspan: line.children.length }, "Reading the sample …");
    line.after(h("tr", { class: "card-row" }, cell));
    const fill = () => {
      const card = sampleCard(context, row);
      if (card === null) retry(() => cell.isConnected && fill());
      else cell.replaceChildren(card || "Its input was not written.");
    };
    fill();
  };
  const attributes = { type: "button", class: "link", "aria-expanded": "false", "data-key": `card ${row}`, onclick };
  const button = h("button", attributes, `sample ${row}`);
  return button;
}

const RETRY = 60; // milliseconds until an answer that is not there is looked for again
/** @param {() => void} again */
const retry = (again) => setTimeout(again, RETRY);

/** The one card of the page. */
function floating() {
  const box = document.getElementById("sample-card");
  if (box) return box;
  const made = h("div", { id: "sample-card", hidden: true, "aria-hidden": "true" });
  document.body.append(made);
  return made;
}
