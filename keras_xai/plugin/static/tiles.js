/** One sample's attribution where it is no picture: signed bars, shaded tokens, a line with shaded steps. */
import { at, dark, token } from "./colour.js";
import { clip, fitted, h, hint, linear, s, short, widthOf } from "./dom.js";
import { alertedBy } from "./overview.js";

const ROW = 18;
const MOST = 8;
const FOR = 0.82; // places on the diverging map
const AGAINST = 0.18;

/** The rows of a sample's bars: the largest, and the others summed up; slopes have no sum. */
function rowsOf(gallery, sample) {
  const values = gallery.values(sample);
  const names = nameOf(gallery);
  const measured = Array.from(values, (_, f) => f).filter((f) => Number.isFinite(values[f]));
  const order = measured.sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]));
  const rows = order
    .slice(0, MOST)
    .map((f) => ({ name: names(f), value: inputOf(gallery, sample, f), share: values[f] }));
  const rest = order.slice(MOST);
  if (rest.length)
    rows.push({
      name: `${rest.length} others`,
      value: null,
      share: gallery.method.slope ? null : rest.reduce((sum, f) => sum + values[f], 0),
    });
  const unmeasured = Array.from(values, (_, f) => f).filter((f) => !Number.isFinite(values[f]));
  rows.push(
    ...unmeasured.slice(0, MOST).map((f) => ({ name: names(f), value: inputOf(gallery, sample, f), share: NaN })),
  );
  return rows;
}

/** What a sample's bars or shades stand for: the numbers that a scale has to hold. */
export function shares(gallery, sample) {
  if (gallery.kind === "tokens") return wordsOf(gallery, sample).values;
  if (gallery.kind === "series") return Array.from(gallery.values(sample));
  return rowsOf(gallery, sample)
    .map(({ share }) => share)
    .filter((share) => Number.isFinite(share));
}

const commonReach = (gallery, sample) => gallery.reach(sample, (one) => shares(gallery, one));

/** What a bar stands for: three digits of the longest one, so that points stand below each other; by itself three of its own. */
function printed(share, high = Math.abs(share)) {
  if (!Number.isFinite(share)) return "not measured";
  if (high >= 1e5) return `${share < 0 ? "−" : "+"}${short(Math.abs(share))}`;
  const digits = Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(high || 1))));
  const number = Math.abs(share).toFixed(digits);
  const gone = share !== 0 && Number(number) === 0;
  return `${share < 0 ? "−" : "+"}${gone ? Math.abs(share).toPrecision(1) : number}`;
}

/**
 * Feature, its value, its contribution as number and bar. Lengths are proportional to contributions, on one scale for both
 * signs and, unless one chose otherwise, for all tiles; the alerted feature is in the alarm colour.
 * @param {[number, number]} [reach] the range of the bars, by default the gallery's
 */
export function barsTile(gallery, sample, width, context, reach = commonReach(gallery, sample)) {
  const rows = rowsOf(gallery, sample);
  const hot = alertedBy(context.run, context.epoch);
  const place = placesOf(width, reach);
  const g = s("svg", {
    width,
    height: (rows.length + 1) * ROW + 2,
    role: "img",
    "aria-label": rows.map(({ name, share }) => (share === null ? name : `${name} ${printed(share)}`)).join("; "),
  });
  g.append(
    ...head(gallery, place),
    s("line", { x1: place.zero, x2: place.zero, y1: ROW, y2: (rows.length + 1) * ROW, stroke: token("line-strong") }),
  );
  rows.forEach((row, r) => g.append(...rowMarks(row, (r + 1) * ROW, place, hot.has(row.name))));
  return hint(g, (event) => {
    const row = rows[Math.floor((event.clientY - g.getBoundingClientRect().top) / ROW) - 1];
    if (!row) return "";
    return `${row.name}${row.value === null ? "" : ` = ${row.value}`}${row.share === null ? "" : `\n${printed(row.share)}`}`;
  });
}

/** Where the columns of a tile stand: the zero line is where the range puts it. */
function placesOf(width, [low, high]) {
  const bars = Math.max(60, Math.min(222, width * 0.7));
  const unit = Math.max(20, width - bars) / (high - low);
  return { bars, value: bars - 54, number: bars - 6, unit, zero: bars - low * unit, high: Math.max(-low, high) };
}

const head = (gallery, { value, number }) => [
  s("text", { x: value, y: 12, "text-anchor": "end", class: "head" }, "value"),
  s("text", { x: number - 40, y: 12, class: "head" }, gallery.method.slope ? "slope" : "contribution"),
];

function rowMarks({ name, value, share }, y, { value: valueEnd, number, unit, zero, high }, alarm) {
  const colour = token(alarm ? "alarm" : value === null ? "text-2" : "text");
  const room = value === null ? valueEnd : valueEnd - 10 - widthOf(value, 400);
  const long = Number.isFinite(share) ? Math.abs(share) * unit : 0;
  return [
    s(
      "text",
      { x: 0, y: y + 13, style: { fill: colour, fontWeight: alarm ? 500 : 400 } },
      fitted(name, room, alarm ? 500 : 400),
    ),
    value !== null &&
      s("text", { x: valueEnd, y: y + 13, "text-anchor": "end", style: { fill: token("text-2") } }, value),
    share !== null &&
      s("text", { x: number, y: y + 13, "text-anchor": "end", style: { fill: token("text") } }, printed(share, high)),
    long > 0 &&
      s("rect", {
        x: share < 0 ? zero - long : zero,
        y: y + 3,
        width: long,
        height: 12,
        class: "bar",
        fill: at("diverging", share > 0 ? FOR : AGAINST),
        opacity: value === null ? 0.55 : 1,
      }),
  ].filter(Boolean);
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

/** The words of a sample and what each contributes; an embedding's columns, where the wire kept them, sum to their word. */
function wordsOf(gallery, sample) {
  const words = gallery.words?.[sample] ?? idsOf(gallery, sample);
  const per = gallery.length / words.length;
  const values = words.map((_, t) =>
    gallery
      .values(sample)
      .subarray(Math.floor(t * per), Math.floor((t + 1) * per))
      .reduce((sum, value) => sum + value, 0),
  );
  return { words, values };
}

/** A text whose words carry their attribution as shade, on the gallery's scale. */
export function tokensRow(gallery, sample, reach = commonReach(gallery, sample)) {
  const { words, values } = wordsOf(gallery, sample);
  const high = Math.max(...reach.map(Math.abs));
  return h(
    "span",
    { class: "tokens" },
    words.map((word, t) => {
      if (!word) return null; // padding has no word
      const share = values[t] / high;
      const span = h("span", { style: Number.isFinite(share) ? shade(gallery, share) : {} }, word);
      return [
        hint(span, () => `${word}  ${gallery.magnitudes ? short(Math.abs(values[t])) : printed(values[t])}`),
        " ",
      ];
    }),
  );
}

/** A share of the scale as a background, and ink that can be read on it. */
function shade(gallery, share) {
  const size = Math.min(1, Math.abs(share));
  const background = gallery.magnitudes ? at("sequential", size) : at("diverging", 0.5 + 0.5 * share);
  return { background, color: size > 0.5 ? (dark() ? "#1c1c1c" : "#fff") : "" };
}

const idsOf = (gallery, sample) => {
  if (!gallery.input) return Array.from({ length: gallery.shape[0] }, (_, t) => String(t));
  const n = gallery.input.data.length / gallery.size;
  return Array.from(gallery.input.data.subarray(sample * n, (sample + 1) * n), String);
};

const SHOWN = 3; // channels of a series with a lane of their own
const LANE = 40;

/** The line of each channel under its name, over steps shaded by their attribution. */
export function seriesTile(gallery, sample, width, reach = commonReach(gallery, sample)) {
  const steps = gallery.shape[0];
  const channels = gallery.shape[1] ?? 1;
  const lanes = Math.min(SHOWN, channels);
  const values = gallery.values(sample);
  const high = Math.max(...reach.map(Math.abs));
  const x = linear(0, steps, 0, width);
  const names = gallery.run.probe?.features ?? [];
  const name = (c) => names[c] ?? `channel ${c}`;
  const g = s("svg", {
    width,
    height: lanes * LANE,
    role: "img",
    "aria-label": `${steps} steps of ${Array.from({ length: lanes }, (_, c) => name(c)).join(", ")}`,
  });
  for (let c = 0; c < lanes; c++) {
    const [top, bottom] = [c * LANE + 14, (c + 1) * LANE - 4];
    for (let t = 0; t < steps; t++) {
      const share = values[t * channels + c] / high;
      if (Number.isFinite(share))
        g.append(
          s("rect", {
            x: x(t),
            y: top,
            width: x(1) + 0.5,
            height: bottom - top,
            fill: at("diverging", 0.5 + 0.5 * share),
          }),
        );
    }
    g.append(
      s("text", { x: 0, y: top - 3 }, channels > 1 || names.length ? clip(name(c), 28) : ""),
      s("line", { x1: 0, x2: width, y1: bottom, y2: bottom, stroke: token("line") }),
    );
    if (!gallery.input) continue;
    const line = Array.from({ length: steps }, (_, t) => gallery.input.data[(sample * steps + t) * channels + c]);
    const y = linear(Math.min(...line), Math.max(...line), bottom - 2, top + 1);
    g.append(
      s("path", {
        d: line.map((value, t) => `${t ? "L" : "M"}${(x(t) + x(1) / 2).toFixed(1)} ${y(value).toFixed(1)}`).join(""),
        fill: "none",
        stroke: token("text"),
        "stroke-width": 1.25,
        "stroke-linejoin": "round",
      }),
    );
  }
  if (channels > lanes) g.append(s("text", { x: width, y: 11, "text-anchor": "end" }, `and ${channels - lanes} more`));
  return hint(g, (event) => {
    const box = g.getBoundingClientRect();
    const t = Math.max(0, Math.min(steps - 1, Math.floor(((event.clientX - box.left) / box.width) * steps)));
    const lines = Array.from(
      { length: channels },
      (_, c) => `${names[c] ?? `channel ${c}`}  ${printed(values[t * channels + c])}`,
    );
    return [`step ${t}`, ...lines.slice(0, 8)].join("\n");
  });
}
