/** Every feature of one sample of a table: its value, what it contributes from the baseline to the score, and that over epochs. */
import { at as colourAt, token } from "../core/colour.js";
import { h, hint, linear, s, short } from "../core/dom.js";
import { rangeOf } from "../core/gallery.js";
import { named } from "../core/updates.js";
import { AGAINST, FOR, inputOf, namesOf, printed } from "./tiles.js";

/** @typedef {import("../core/gallery.js").Gallery} Gallery */

const ROW = 22; // pixels
const ROWS = 200; // features with a row of their own
const BARS = 200; // pixels of the widest run of bars
const LINE = 88; // pixels of a line over epochs

/**
 * A step of the waterfall.
 * @typedef {object} Step
 * @property {string} name
 * @property {string} value of the input
 * @property {number} change NaN where it was not measured
 * @property {number | null} feature null for what stands for several, or for none
 */

/**
 * The features of a sample, the largest first; then those beyond the table, and what the sum misses.
 * @param {Gallery} gallery
 * @param {number} sample
 * @param {boolean} falls whether they lead from the baseline to the score
 * @returns {Step[]}
 */
export function stepsOf(gallery, sample, falls) {
  const values = gallery.values(sample);
  const nameOf = namesOf(gallery);
  const features = Array.from(values, (_, f) => f);
  /** @param {number} f @returns {Step} */
  const step = (f) => ({ name: nameOf(f), value: inputOf(gallery, sample, f), change: values[f], feature: f });
  const measured = features.filter((f) => Number.isFinite(values[f]));
  const ordered = measured.sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]));
  const steps = ordered.slice(0, ROWS).map(step);
  const others = ordered.slice(ROWS);
  const sum = others.reduce((total, f) => total + values[f], 0);
  if (others.length) {
    const change = falls ? sum : NaN;
    steps.push({ name: `${others.length} smaller ones`, value: "", change, feature: null });
  }
  steps.push(...features.filter((f) => !Number.isFinite(values[f])).map(step));
  if (!falls) return steps;
  const [score, baseline] = gallery.scores(sample);
  const missed = score - baseline - ordered.reduce((total, f) => total + values[f], 0);
  const reach = Math.max(Math.abs(score - baseline), ...ordered.map((f) => Math.abs(values[f])));
  if (Math.abs(missed) > 0.005 * reach) {
    steps.push({ name: "what the sum misses", value: "", change: missed, feature: null });
  }
  return steps;
}

/**
 * The whole table of one sample; it scrolls where it is long.
 * @param {Gallery} gallery
 * @param {number} sample
 * @param {{film: FilmStrip | null, alerted: Set<string>}} with the values over epochs where they are there
 */
export function waterfall(gallery, sample, { film, alerted }) {
  const [score, baseline] = gallery.scores(sample);
  const falls = gallery.method.quantity === "contribution" && Number.isFinite(baseline) && Number.isFinite(score);
  const steps = stepsOf(gallery, sample, falls);
  const places = placesOf(steps, falls ? baseline : 0, falls);
  const [low, high] = falls ? extentOf(places.flat()) : rangeOf(places.flat());
  const x = linear(low, high, 6, BARS - 6);
  const quantity = gallery.method.quantity === "other" ? "attribution" : gallery.method.quantity;
  const head = ["feature", gallery.method.layer ? "" : "value", quantity, falls ? "from baseline to score" : ""];
  const largest = Math.max(...steps.map(({ change }) => Math.abs(change) || 0), 1e-12);
  const range = film ? rangeOf(film.maps.data) : null;
  if (film) head.push(`over ${gallery.run.unit}s`);
  const rows = steps.map((step, r) => {
    const cells = [
      h("th", { scope: "row", class: alerted.has(step.name) ? "alarm" : "", title: step.name }, step.name),
      h("td", { class: "number" }, step.value),
      h("td", { class: "number" }, step.feature === null && !falls ? "" : printed(step.change, largest)),
      h("td", {}, bar(step, places[r], x, falls ? baseline : 0, falls)),
    ];
    if (film && range) cells.push(h("td", {}, step.feature === null ? "" : line(gallery, film, step.feature, range)));
    return h("tr", {}, cells);
  });
  if (falls) {
    const span = { colspan: film ? 2 : 1 };
    /** @param {string} name @param {number} value */
    const end = (name, value) =>
      h(
        "tr",
        { class: "end" },
        h("th", { scope: "row" }, name),
        h("td", {}),
        h("td", { class: "number" }, short(value)),
        h("td", span, mark(x(value))),
      );
    rows.unshift(end("baseline", baseline));
    rows.push(end(`score of ${gallery.targetName(sample)}`, score));
  }
  const titles = head.map((name) => h("th", { scope: "col" }, name));
  const label = `All features of ${gallery.called(sample)}`;
  const table = h("table", { "aria-label": label }, h("thead", {}, h("tr", {}, titles)), h("tbody", {}, rows));
  return h("div", { class: "waterfall", tabindex: 0, role: "region", "aria-label": label }, table);
}

/**
 * Where each step begins and ends: one behind the other, or each from zero.
 * @param {Step[]} steps
 * @param {number} start
 * @param {boolean} falls
 * @returns {[from: number, to: number][]}
 */
function placesOf(steps, start, falls) {
  let from = start;
  return steps.map(({ change }) => {
    const to = Number.isFinite(change) ? from + change : from;
    /** @type {[number, number]} */
    const place = [from, to];
    if (falls) from = to;
    return place;
  });
}

/**
 * @param {number[]} values
 * @returns {Extent}
 */
function extentOf(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return high > low ? [low, high] : [low - 1, high + 1];
}

/**
 * One step, joined to its neighbours.
 * @param {Step} step
 * @param {[from: number, to: number]} place
 * @param {(value: number) => number} x
 * @param {number} start of the first step: the baseline, or zero
 * @param {boolean} falls
 */
function bar({ name, change }, [from, to], x, start, falls) {
  const svg = s("svg", { width: BARS, height: ROW, "aria-hidden": "true" });
  svg.append(s("line", { x1: x(start), x2: x(start), y1: 0, y2: ROW, stroke: token("line") }));
  if (!Number.isFinite(change)) return svg;
  if (falls) {
    const joint = { stroke: token("line-strong") };
    svg.append(
      s("line", { x1: x(from), x2: x(from), y1: 0, y2: ROW / 2, ...joint }),
      s("line", { x1: x(to), x2: x(to), y1: ROW / 2, y2: ROW, ...joint }),
    );
  }
  const fill = colourAt("diverging", change > 0 ? FOR : AGAINST);
  const [left, right] = [Math.min(x(from), x(to)), Math.max(x(from), x(to))];
  svg.append(s("rect", { x: left, y: 5, width: right - left, height: ROW - 10, class: "bar", fill }));
  return hint(svg, () => (falls ? `${name}\n${short(from)} → ${short(to)}` : `${name}  ${printed(change)}`));
}

/** @param {number} x of the baseline, or of the score */
function mark(x) {
  const svg = s("svg", { width: BARS, height: ROW, "aria-hidden": "true" });
  svg.append(s("line", { x1: x, x2: x, y1: 3, y2: ROW - 3, stroke: token("text"), "stroke-width": 2 }));
  return svg;
}

/**
 * What a feature contributes to this sample at each update; all features on one scale.
 * @param {Gallery} gallery
 * @param {FilmStrip} film
 * @param {number} feature
 * @param {Extent} range
 */
function line(gallery, film, feature, range) {
  const length = film.maps.shape[1];
  const values = film.epochs.map((_, e) => film.maps.data[e * length + feature]);
  const x = linear(0, Math.max(1, values.length - 1), 3, LINE - 3);
  const y = linear(range[0], range[1], ROW - 3, 3);
  const svg = s("svg", { width: LINE, height: ROW, "aria-hidden": "true" });
  const points = values.flatMap((value, e) =>
    Number.isFinite(value) ? [`${x(e).toFixed(1)} ${y(value).toFixed(1)}`] : [],
  );
  svg.append(s("line", { x1: 0, x2: LINE, y1: y(0), y2: y(0), stroke: token("line") }));
  if (points.length) svg.append(s("path", { d: `M${points.join("L")}`, fill: "none", stroke: token("text-2") }));
  const now = film.epochs.indexOf(gallery.epoch);
  if (now >= 0 && Number.isFinite(values[now])) {
    svg.append(s("circle", { cx: x(now), cy: y(values[now]), r: 2.5, fill: token("accent") }));
  }
  return hint(svg, (event) => {
    const share = (event.clientX - svg.getBoundingClientRect().left) / LINE;
    const e = Math.max(0, Math.min(values.length - 1, Math.round(share * (values.length - 1))));
    return `${named(gallery.run, film.epochs[e])}  ${printed(values[e])}`;
  });
}
