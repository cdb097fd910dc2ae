/** Small purposeful marks: importance as a map of the input, slopes, word-sized lines, dumbbells. */
import { legend, token } from "./colour.js";
import { clip, h, hint, linear, percent, position, s, signed } from "./dom.js";
import { draw } from "./image.js";

/** The rows of a matrix {shape: [E, F], data}. */
export const row = (matrix, at) => matrix.data.subarray(at * matrix.shape[1], (at + 1) * matrix.shape[1]);
export const largest = (values) => values.reduce((high, value) => (value > high ? value : high), 0);
/** "rank 3 of 12", the largest first; what was not measured has no rank. */
const rankOf = (values, at) => {
  const measured = values.filter(Number.isFinite);
  return Number.isFinite(values[at])
    ? `${percent(values[at])}, rank ${1 + measured.filter((value) => value > values[at]).length} of ${measured.length}`
    : "not measured";
};
/** Indices of what was measured, the largest value first. */
export const order = (values) =>
  Array.from(values, (_, i) => i)
    .filter((i) => Number.isFinite(values[i]))
    .sort((a, b) => values[b] - values[a]);

const someAt = (matrix, at) => row(matrix, at).some(Number.isFinite);

/** The place of the epoch to show: the last one up to `epoch` at which something was measured, else the nearest earlier. */
export function measuredAt(importance, epoch) {
  const asked = position(importance.epochs, epoch);
  for (let at = asked; at >= 0; at--) if (someAt(importance.share, at)) return at;
  return asked;
}

/** Since when nothing is finite, at an epoch at which nothing is; else null. */
export function notFiniteSince(importance, epoch) {
  const asked = position(importance.epochs, epoch);
  if (someAt(importance.share, asked)) return null;
  const last = measuredAt(importance, epoch);
  return importance.epochs[someAt(importance.share, last) ? last + 1 : 0];
}

/** What an importance lacks at an epoch, in words: all of it, or some features. */
export function lacking(importance, epoch) {
  const since = notFiniteSince(importance, epoch);
  const at = measuredAt(importance, epoch);
  if (since !== null)
    return h(
      "p",
      { class: "note alarm" },
      `The importance is not finite since epoch ${since}${at < position(importance.epochs, epoch) ? `: epoch ${importance.epochs[at]}, the last one before, is shown` : ""}.`,
    );
  const now = row(importance.share, at);
  const names = importance.names.filter((_, i) => !Number.isFinite(now[i]));
  if (!names.length) return null;
  const more = names.length > 5 ? ` and ${names.length - 5} more` : "";
  return h(
    "p",
    { class: "note", title: names.join(", ") },
    h("i", { class: "hatch" }),
    `not measured: ${names.slice(0, 5).join(", ")}${more}`,
  );
}

/** The cell of a map of h × w cells under the pointer. */
function cellAt(event, canvas, [height, width]) {
  const box = canvas.getBoundingClientRect();
  const at = (offset, size, n) => Math.min(n - 1, Math.max(0, Math.floor((offset / size) * n)));
  return at(event.clientY - box.top, box.height, height) * width + at(event.clientX - box.left, box.width, width);
}

/** Importance over the input, all on one scale. @param {{title: string, epoch: number, values: Float32Array}[]} list */
export function importanceMaps(list, cells, names) {
  const high = Math.max(...list.map(({ values }) => largest(values))) || 1;
  return h(
    "div",
    { class: "maps" },
    list.map(({ title, epoch, values }) =>
      mapFigure(
        title,
        `epoch ${epoch}`,
        cells,
        { values, hi: high, map: "sequential" },
        (cell) => `${names[cell]}\n${rankOf(values, cell)}`,
      ),
    ),
  );
}

/** One map of cells with its caption and the exact value under the pointer. */
export function mapFigure(title, note, cells, options, say) {
  const canvas = h("canvas", { class: "thumb", role: "img", "aria-label": `${title}, ${note}` });
  const spare = parseFloat(document.body.style.getPropertyValue("--spare")) || 0; // as the stylesheet has it
  draw(canvas, { height: cells[0], width: cells[1], size: 152 + spare / 2, ratio: cells[0] / cells[1], ...options });
  hatch(canvas, options.values, cells);
  hint(canvas, (event) => say(cellAt(event, canvas, cells)));
  return h("figure", {}, canvas, h("figcaption", {}, h("b", {}, title), note));
}

/** Strokes over the cells that have no value. */
function hatch(canvas, values, [rows, columns]) {
  const context = canvas.getContext("2d");
  const [wide, tall] = [canvas.width / columns, canvas.height / rows];
  context.strokeStyle = token("line-strong");
  values.forEach((value, i) => {
    if (Number.isFinite(value)) return;
    const [x, y] = [(i % columns) * wide, Math.floor(i / columns) * tall];
    context.save();
    context.beginPath();
    context.rect(x, y, wide, tall);
    context.clip();
    context.beginPath();
    for (let shift = -tall; shift < wide; shift += 5) {
      context.moveTo(x + shift, y + tall);
      context.lineTo(x + shift + tall, y);
    }
    context.stroke();
    context.restore();
  });
}

/** What changed between two rows of shares, as a map of its own. */
export function changeFigure(before, after, cells, names, note) {
  const change = after.map((value, i) => value - before[i]);
  const high = largest(change.map(Math.abs)) || 1e-6;
  const figure = mapFigure(
    "Change",
    note,
    cells,
    { values: change, hi: high, signed: true },
    (cell) =>
      `${names[cell]}\n${Number.isFinite(change[cell]) ? `${signed(100 * change[cell], 2)} points` : "not measured"}`,
  );
  return { figure, scale: legend("diverging", `−${percent(high)}`, `+${percent(high)}`) };
}

/** Shares before → after as slopes; the alerted feature in the alarm colour. */
export function slope(width, height, { from, to, names, alerted, shown: wanted }) {
  const shown = wanted.filter((i) => Number.isFinite(from[i]) && Number.isFinite(to[i]));
  const high = Math.max(...shown.flatMap((i) => [from[i], to[i]]), 1e-9) * 1.02;
  const left = 72;
  const letters = Math.max(8, Math.min(26, Math.floor((width * 0.55 - 72) / 6)));
  const right = Math.min(width * 0.6, 72 + 6 * Math.min(letters, Math.max(8, ...shown.map((i) => names[i].length))));
  const y = linear(0, high, height - 16, 12);
  const g = s("svg", {
    width,
    height,
    role: "img",
    "aria-label": shown.map((i) => `${names[i]}: ${percent(from[i])} to ${percent(to[i])}`).join("; "),
  });
  for (const x of [left, width - right])
    g.append(s("line", { x1: x, x2: x, y1: 4, y2: height - 8, stroke: token("line-strong") }));
  const spread = (values) =>
    apart(
      shown.map((i) => [i, y(values[i])]),
      14,
      12,
      height - 8,
    );
  const before = spread(from);
  const after = spread(to);
  for (const i of shown) {
    const hot = alerted.has(names[i]);
    const colour = hot ? token("alarm") : to[i] > from[i] ? token("text") : token("text-3");
    g.append(
      s("line", {
        x1: left,
        x2: width - right,
        y1: y(from[i]),
        y2: y(to[i]),
        stroke: colour,
        "stroke-width": hot ? 2.25 : 1.25,
      }),
      s("circle", { cx: left, cy: y(from[i]), r: 2.5, fill: colour }),
      s("circle", { cx: width - right, cy: y(to[i]), r: 2.5, fill: colour }),
      s("path", {
        d: `M${left - 5} ${y(from[i])}L${left - 15} ${before.get(i)}M${width - right + 5} ${y(to[i])}L${width - right + 15} ${after.get(i)}`,
        stroke: token("line-strong"),
        fill: "none",
      }),
      s(
        "text",
        { x: left - 18, y: before.get(i) + 4, "text-anchor": "end", style: { fill: colour } },
        percent(from[i]),
      ),
      s(
        "text",
        { x: width - right + 18, y: after.get(i) + 4, style: { fill: colour, fontWeight: hot ? 500 : 400 } },
        `${percent(to[i])}  ${clip(names[i], letters)}`,
        s("title", {}, names[i]),
      ),
    );
  }
  return g;
}

/** Labels moved apart by `gap`, inside top and bottom, as few pixels as that takes. */
function apart(labels, gap, top, bottom) {
  const sorted = labels.map(([key, y]) => ({ key, y })).sort((a, b) => a.y - b.y);
  sorted.forEach((label, k) => {
    label.y = Math.max(label.y, k ? sorted[k - 1].y + gap : top);
  });
  for (let k = sorted.length - 1, floor = bottom; k >= 0; k--) {
    sorted[k].y = Math.min(sorted[k].y, floor);
    floor = sorted[k].y - gap;
  }
  return new Map(sorted.map(({ key, y }) => [key, y]));
}

/** Paths by their values: a gallery draws the same ones at every step of the slider. */
const paths = new WeakMap();

function pathOf(values, epochs, x, y, size) {
  const found = paths.get(values);
  if (found?.size === size) return found.path;
  const points = values.map((value, i) =>
    Number.isFinite(value) ? `${x(epochs[i]).toFixed(1)} ${y(value).toFixed(1)}` : null,
  );
  const path = points.map((point, i) => (point ? `${i && points[i - 1] ? "L" : "M"}${point}` : "")).join("");
  paths.set(values, { size, path });
  return path;
}

/** A value in 0..1 over epochs as a word-sized line, with the first alert and where the slider stands. */
export function spark(epochs, values, now, alerts, width, height = 20) {
  const x = linear(epochs[0], epochs.at(-1), 3, width - 3);
  const y = linear(0, 1, height - 3, 3);
  const g = s("svg", {
    width,
    height,
    role: "img",
    "aria-label": `over epochs: ${percent(values[0])} to ${percent(values.at(-1))}`,
  });
  g.append(s("line", { x1: 0, x2: width, y1: height - 3, y2: height - 3, stroke: token("line") }));
  for (const epoch of alerts.slice(0, 1))
    g.append(
      s("line", { x1: x(epoch), x2: x(epoch), y1: 0, y2: height, stroke: token("alarm"), "stroke-opacity": 0.5 }),
    );
  g.append(
    s("path", {
      d: pathOf(values, epochs, x, y, `${width} ${height}`),
      fill: "none",
      stroke: token("text-2"),
      "stroke-width": 1.25,
    }),
  );
  if (Number.isFinite(values[now]))
    g.append(s("circle", { cx: x(epochs[now]), cy: y(values[now]), r: 2.75, fill: token("accent") }));
  return g;
}

/** First → second as an arrow on a post from 0 to 100 %. */
export function dumbbell(before, after) {
  const y = linear(0, 1, 100, 8);
  if (!Number.isFinite(before) || !Number.isFinite(after)) return h("span", { class: "note" }, "not finite");
  const colour = token(after < before - 0.05 ? "alarm" : after > before + 0.05 ? "good" : "text-2");
  const g = s("svg", { width: 64, height: 108, role: "img", "aria-label": `${percent(before)} to ${percent(after)}` });
  for (const mark of [0, 0.5, 1])
    g.append(s("line", { x1: 8, x2: 56, y1: y(mark), y2: y(mark), stroke: token("line") }));
  g.append(
    s("line", { x1: 20, x2: 44, y1: y(before), y2: y(after), stroke: colour, "stroke-width": 1.75 }),
    s("circle", { cx: 20, cy: y(before), r: 3.5, fill: token("page"), stroke: colour, "stroke-width": 1.5 }),
    s("circle", { cx: 44, cy: y(after), r: 4, fill: colour }),
  );
  return hint(g, () => `${percent(before)} → ${percent(after)}`);
}
