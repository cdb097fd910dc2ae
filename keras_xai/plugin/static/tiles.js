/** One sample's attribution where it is no picture: signed bars, shaded tokens, a line with shaded steps. */
import { at, dark, token } from "./colour.js";
import { clip, fitted, h, hint, linear, s, short, signed, widthOf } from "./dom.js";
import { alertedBy } from "./overview.js";

const ROW = 18;
const MOST = 8;
const LEFT = 0.3; // the zero line stands here in the space for bars: attributions are more often for than against

/** Feature, its value, its signed bar; one zero line for all tiles, the alerted feature in the alarm colour. */
export function barsTile(gallery, sample, width, context) {
  const values = gallery.values(sample);
  const hot = alertedBy(context.run, context.epoch);
  const names = nameOf(gallery);
  const order = Array.from(values, (_, f) => f).sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]));
  const rows = order.slice(0, MOST).map((f) => ({ name: names(f), value: inputOf(gallery, sample, f), share: values[f] }));
  const rest = order.slice(MOST);
  const high = Math.abs(values[order[0]]) || 1; // the sum of many others may be longer than its place: it is cut, and said
  if (rest.length) rows.push({ name: `${rest.length} others`, value: null, share: rest.reduce((sum, f) => sum + values[f], 0) });
  const middle = Math.min(196, width * 0.62);
  const room = width - middle;
  const zero = middle + room * LEFT;
  const g = s("svg", { width, height: rows.length * ROW + 2, role: "img", "aria-label": rows.map(({ name, share }) => `${name} ${signed(share, 3)}`).join("; ") });
  g.append(s("line", { x1: zero, x2: zero, y1: 0, y2: rows.length * ROW, stroke: token("line-strong") }));
  rows.forEach(({ name, value, share }, r) => {
    const long = Math.max(-room * LEFT, Math.min(1, share / high) * room * (1 - LEFT));
    const cut = Math.abs(share) > high;
    const alarm = hot.has(name);
    const marks = [
      s("text", { x: 0, y: r * ROW + 13, style: { fill: token(alarm ? "alarm" : value === null ? "text-2" : "text"), fontWeight: alarm ? 500 : 400 } }, fitted(name, middle - 18 - widthOf(value ?? "", 400), alarm ? 500 : 400)),
      value !== null && s("text", { x: middle - 10, y: r * ROW + 13, "text-anchor": "end", style: { fill: token("text-2") } }, value),
      s("rect", { x: Math.min(zero, zero + long), y: r * ROW + 3, width: Math.max(1, Math.abs(long)), height: 12, rx: 1, fill: at("diverging", share > 0 ? 0.82 : 0.18), opacity: value === null ? 0.55 : 1 }),
      cut && s("text", { x: middle - 10, y: r * ROW + 13, "text-anchor": "end", style: { fill: token("text-2") } }, signed(share, 2)),
    ];
    g.append(...marks.filter(Boolean));
  });
  return hint(g, (event) => {
    const { name, value, share } = rows[Math.max(0, Math.min(rows.length - 1, Math.floor((event.clientY - g.getBoundingClientRect().top) / ROW)))];
    return `${name}${value === null ? "" : ` = ${value}`}\n${signed(share, 4)}`;
  });
}

const nameOf = (gallery) => {
  const names = gallery.featureNames?.length === gallery.length ? gallery.featureNames : gallery.run.probe?.features;
  return (f) => (names?.length === gallery.length ? names[f] : `column ${f}`);
};
const inputOf = (gallery, sample, f) => {
  if (gallery.input?.data.length !== gallery.maps.data.length) return "";
  const value = gallery.input.data[sample * gallery.length + f];
  return clip(gallery.categories?.[f]?.[value] ?? short(value), 16);
};

/** A text whose words carry their attribution as shade. */
export function tokensRow(gallery, sample) {
  const words = gallery.words?.[sample] ?? gallery.ids?.(sample) ?? idsOf(gallery, sample);
  const per = gallery.length / words.length; // an embedding's columns, where the wire kept them, sum to their word
  const values = words.map((_, t) => gallery.values(sample).subarray(Math.floor(t * per), Math.floor((t + 1) * per)).reduce((sum, value) => sum + value, 0));
  const high = Math.max(...values.map(Math.abs)) || 1;
  return h("span", { class: "tokens" }, words.map((word, t) => {
    if (!word) return null; // padding has no word
    const share = values[t] / high;
    const span = h("span", { style: { background: at("diverging", 0.5 + 0.4 * share, Math.min(1, Math.abs(share) * 1.5)), color: Math.abs(share) > 0.62 ? (dark() ? "#1c1c1c" : "#fff") : "" } }, word);
    return [hint(span, () => `${word}  ${signed(values[t], 4)}`), " "];
  }));
}

const idsOf = (gallery, sample) => {
  if (!gallery.input) return Array.from({ length: gallery.shape[0] }, (_, t) => String(t));
  const n = gallery.input.data.length / gallery.size;
  return Array.from(gallery.input.data.subarray(sample * n, (sample + 1) * n), String);
};

const SHOWN = 3; // channels of a series with a lane of their own
const LANE = 40;

/** The line of each channel under its name, over steps shaded by their attribution. */
export function seriesTile(gallery, sample, width) {
  const steps = gallery.shape[0];
  const channels = gallery.shape[1] ?? 1;
  const lanes = Math.min(SHOWN, channels);
  const values = gallery.values(sample);
  const high = values.reduce((best, value) => Math.max(best, Math.abs(value)), 0) || 1;
  const x = linear(0, steps, 0, width);
  const names = gallery.run.probe?.features ?? [];
  const name = (c) => names[c] ?? `channel ${c}`;
  const g = s("svg", { width, height: lanes * LANE, role: "img", "aria-label": `${steps} steps of ${Array.from({ length: lanes }, (_, c) => name(c)).join(", ")}` });
  for (let c = 0; c < lanes; c++) {
    const [top, bottom] = [c * LANE + 14, (c + 1) * LANE - 4];
    for (let t = 0; t < steps; t++) {
      const share = values[t * channels + c] / high;
      if (Math.abs(share) > 0.04) g.append(s("rect", { x: x(t), y: top, width: x(1) + 0.5, height: bottom - top, fill: at("diverging", 0.5 + 0.5 * share, Math.min(1, Math.abs(share) * 1.2)) }));
    }
    g.append(s("text", { x: 0, y: top - 3 }, channels > 1 || names.length ? clip(name(c), 28) : ""), s("line", { x1: 0, x2: width, y1: bottom, y2: bottom, stroke: token("line") }));
    if (!gallery.input) continue;
    const line = Array.from({ length: steps }, (_, t) => gallery.input.data[(sample * steps + t) * channels + c]);
    const y = linear(Math.min(...line), Math.max(...line), bottom - 2, top + 1);
    g.append(s("path", { d: line.map((value, t) => `${t ? "L" : "M"}${(x(t) + x(1) / 2).toFixed(1)} ${y(value).toFixed(1)}`).join(""), fill: "none", stroke: token("text"), "stroke-width": 1.25, "stroke-linejoin": "round" }));
  }
  if (channels > lanes) g.append(s("text", { x: width, y: 11, "text-anchor": "end" }, `and ${channels - lanes} more`));
  return hint(g, (event) => {
    const box = g.getBoundingClientRect();
    const t = Math.max(0, Math.min(steps - 1, Math.floor(((event.clientX - box.left) / box.width) * steps)));
    const lines = Array.from({ length: channels }, (_, c) => `${names[c] ?? `channel ${c}`}  ${signed(values[t * channels + c], 4)}`);
    return [`step ${t}`, ...lines.slice(0, 8)].join("\n");
  });
}
