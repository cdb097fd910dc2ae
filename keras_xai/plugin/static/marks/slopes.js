/** Small purposeful lines: slopes between two epochs, word-sized trajectories, dumbbells. */
import { token } from "../core/colour.js";
import { h, hint, linear, percent, s, short } from "../core/dom.js";
import { Memo } from "../core/memo.js";
import { distinct } from "../core/names.js";

const LABEL_GAP = 14; // pixels between two labels
const LETTER = 6; // pixels of a letter
const NOTICEABLE = 0.05; // a change of confidence that is coloured

/**
 * Shares before → after as slopes; the alerted feature in the alarm colour.
 * @param {number} width
 * @param {number} height
 * @param {{from: Float32Array, to: Float32Array, names: string[], alerted: Set<string>, features: number[]}} data
 */
export function slope(width, height, { from, to, names, alerted, features }) {
  const drawn = features.filter((i) => Number.isFinite(from[i]) && Number.isFinite(to[i]));
  const high = Math.max(...drawn.flatMap((i) => [from[i], to[i]]), 1e-9) * 1.02;
  const left = 72;
  const letters = Math.max(8, Math.min(26, Math.floor((width * 0.55 - 72) / LETTER)));
  const longest = Math.max(8, ...drawn.map((i) => names[i].length));
  const right = Math.min(width * 0.6, 72 + LETTER * Math.min(letters, longest));
  const end = width - right;
  const y = linear(0, high, height - 16, 12);
  const words = drawn.map((i) => `${names[i]}: ${percent(from[i])} to ${percent(to[i])}`);
  const svg = s("svg", { width, height, role: "img", "aria-label": words.join("; ") });
  for (const x of [left, end]) {
    svg.append(s("line", { x1: x, x2: x, y1: 4, y2: height - 8, stroke: token("line-strong") }));
  }
  /** @param {Float32Array} values */
  const labelled = (values) => spread(new Map(drawn.map((i) => [i, y(values[i])])), LABEL_GAP, 12, height - 8);
  const before = labelled(from);
  const after = labelled(to);
  const labels = distinct(
    drawn.map((i) => names[i]),
    letters,
  );
  for (const [place, i] of drawn.entries()) {
    const hot = alerted.has(names[i]);
    const colour = colourOf(hot, to[i] > from[i]);
    const [y1, y2] = [y(from[i]), y(to[i])];
    const [label1, label2] = [before.get(i) ?? y1, after.get(i) ?? y2];
    const leaders = `M${left - 5} ${y1}L${left - 15} ${label1}M${end + 5} ${y2}L${end + 15} ${label2}`;
    const name = `${percent(to[i])}  ${labels[place]}`;
    const style = { fill: colour, fontWeight: hot ? 500 : 400 };
    svg.append(
      s("line", { x1: left, x2: end, y1, y2, stroke: colour, "stroke-width": hot ? 2.25 : 1.25 }),
      s("circle", { cx: left, cy: y1, r: 2.5, fill: colour }),
      s("circle", { cx: end, cy: y2, r: 2.5, fill: colour }),
      s("path", { d: leaders, stroke: token("line-strong"), fill: "none" }),
      s("text", { x: left - 18, y: label1 + 4, "text-anchor": "end", style: { fill: colour } }, percent(from[i])),
      s("text", { x: end + 18, y: label2 + 4, style }, name, s("title", {}, names[i])),
    );
  }
  return svg;
}

/**
 * @param {boolean} hot
 * @param {boolean} rose
 */
function colourOf(hot, rose) {
  if (hot) return token("alarm");
  return token(rose ? "text" : "text-3");
}

/**
 * Labels moved apart by `gap`, inside top and bottom, as few pixels as that takes.
 * @param {Map<number, number>} labels heights by feature
 * @param {number} gap
 * @param {number} top
 * @param {number} bottom
 * @returns {Map<number, number>}
 */
function spread(labels, gap, top, bottom) {
  const sorted = [...labels].map(([key, y]) => ({ key, y })).sort((a, b) => a.y - b.y);
  let ceiling = top;
  for (const label of sorted) {
    label.y = Math.max(label.y, ceiling);
    ceiling = label.y + gap;
  }
  let floor = bottom;
  for (const label of sorted.reverse()) {
    label.y = Math.min(label.y, floor);
    floor = label.y - gap;
  }
  return new Map(sorted.map(({ key, y }) => [key, y]));
}

/** Paths, kept with their values: a gallery draws the same ones at every step of the slider. */
const paths = new Memo();

/**
 * The path of a line with gaps.
 * @param {number[]} values
 * @param {number[]} epochs
 * @param {(epoch: number) => number} x
 * @param {(value: number) => number} y
 */
function pathOf(values, epochs, x, y) {
  const points = values.map((value, i) =>
    Number.isFinite(value) ? `${x(epochs[i]).toFixed(1)} ${y(value).toFixed(1)}` : null,
  );
  return points.map((point, i) => (point ? `${i && points[i - 1] ? "L" : "M"}${point}` : "")).join("");
}

/**
 * A value, in 0..1 where no extent is named, over epochs as a word-sized line, with the first alert and where the slider stands.
 * @param {Run} run
 * @param {number[]} epochs
 * @param {number[]} values
 * @param {number} at -1 where the slider stands before training
 * @param {number | undefined} alert
 * @param {number} width
 * @param {number} [height]
 * @param {[number, number]} [extent]
 */
export function spark({ unit }, epochs, values, at, alert, width, height = 20, extent) {
  const x = linear(epochs[0], epochs[epochs.length - 1], 3, width - 3);
  const y = linear(...(extent ?? [0, 1]), height - 3, 3);
  const inWords = extent ? short : percent;
  const words = `over ${unit}s: ${inWords(values[0])} to ${inWords(values[values.length - 1])}`;
  const svg = s("svg", { width, height, role: "img", "aria-label": words });
  svg.append(s("line", { x1: 0, x2: width, y1: height - 3, y2: height - 3, stroke: token("line") }));
  if (alert !== undefined) {
    const px = x(alert);
    svg.append(s("line", { x1: px, x2: px, y1: 0, y2: height, stroke: token("alarm"), "stroke-opacity": 0.5 }));
  }
  const d = paths.once(values, `${width} ${height}`, () => pathOf(values, epochs, x, y));
  svg.append(s("path", { d, fill: "none", stroke: token("text-2"), "stroke-width": 1.25 }));
  if (Number.isFinite(values[at])) {
    svg.append(s("circle", { cx: x(epochs[at]), cy: y(values[at]), r: 2.75, fill: token("accent") }));
  }
  return svg;
}

/**
 * First → second as an arrow on a post from 0 to 100 %.
 * @param {number} before
 * @param {number} after
 */
export function dumbbell(before, after) {
  if (!Number.isFinite(before) || !Number.isFinite(after)) return h("span", { class: "note" }, "not finite");
  const y = linear(0, 1, 100, 8);
  let colour = token("text-2");
  if (after < before - NOTICEABLE) colour = token("alarm");
  else if (after > before + NOTICEABLE) colour = token("good");
  const svg = s("svg", {
    width: 64,
    height: 108,
    role: "img",
    "aria-label": `${percent(before)} to ${percent(after)}`,
  });
  for (const mark of [0, 0.5, 1]) {
    svg.append(s("line", { x1: 8, x2: 56, y1: y(mark), y2: y(mark), stroke: token("line") }));
  }
  svg.append(
    s("line", { x1: 20, x2: 44, y1: y(before), y2: y(after), stroke: colour, "stroke-width": 1.75 }),
    s("circle", { cx: 20, cy: y(before), r: 3.5, fill: token("page"), stroke: colour, "stroke-width": 1.5 }),
    s("circle", { cx: 44, cy: y(after), r: 4, fill: colour }),
  );
  return hint(svg, () => `${percent(before)} → ${percent(after)}`);
}
