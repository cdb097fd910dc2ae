/** Mappings: how data become features, features a decision, a decision a result. The map moves with the slider. */
import { ask, refusal } from "./api.js";
import { chart, figureBehind } from "./chart.js";
import { dark, legend, themeName, token } from "./colour.js";
import { choice, group, segments } from "./controls.js";
import { absent, clamp, h, hint, key, linear, message, panel, percent, position, tip } from "./dom.js";
import { set, state } from "./state.js";

const TAIL = 5; // epochs behind a point
const HEIGHT = 380;
const NEAR = 9; // pixels from a point that are still meant for it

/** The other panels, three or two in a row; `still` has no epoch to click on. */
const ROWS = [
  [
    ["readability", "c7"],
    ["surrogates", "c5"],
  ],
  [
    ["layer_stability", "c4"],
    ["layer_dead", "c4"],
    ["layer_participation", "c4"],
  ],
  [
    ["layer_likeness", "c4", "still"],
    ["surrogate_coefficients", "c4", "still"],
    ["data_map", "c4", "still"],
  ],
  [
    ["trajectories", "c4"],
    ["confusion", "c4", "still"],
    ["reliability", "c4", "still"],
  ],
];

/** What the server told of the layer chosen, or of the one it would choose. */
const told = (context) =>
  ask("mapping", { run: context.name, layer: state.layer }, context.run.stamp) ??
  ask("mapping", { run: context.name }, context.run.stamp);
const drawable = (context) => {
  const map = context.run && told(context);
  return map?.epochs.length ? map : null;
};

export function mappings(root, context) {
  const map = told(context);
  if (!map)
    return root.append(h("p", { class: "note" }, refusal("mapping", { run: context.name }) ?? "Reading the map …"));
  if (!map.epochs.length)
    return root.append(
      absent(context.run, "ProbeMappings", "This run wrote no mappings", "kx.ProbeMappings(log_dir, probe)"),
    );
  const grid = h("div", { class: "grid" }, mapPanel(context, map), suspectsPanel(context, map));
  root.append(grid);
  paint(map, context.epoch);
  for (const row of ROWS)
    for (const [name, span, still] of row) grid.append(...figurePanel(context, name, span, Boolean(still)));
}

/** Another epoch for a map that stands. The panels follow when the slider rests. */
export function stepMappings(context) {
  const map = drawable(context);
  if (!map || !canvas.isConnected) return false;
  paint(map, context.epoch);
  return true;
}

/** A panel of the server's own words and drawing; none where this run has nothing for it. */
function figurePanel(context, name, span, still) {
  const parameters = still || name === "trajectories" ? { epoch: context.epoch } : {};
  const figure = figureBehind(context, name, parameters, false);
  if (figure && !figure.data.length) return [];
  const { title, reading, scale } = figure?.layout.meta ?? {};
  return [
    panel(
      span,
      title ?? "…",
      scale && legend(scale.map, scale.low, scale.high),
      h("p", { class: "note reading" }, reading),
      chart(context, name, { parameters, overlays: false, still, height: 236 + context.spare, label: title ?? name }),
    ),
  ];
}

// The map of one layer.

/** The place of the epoch to show: where nothing is finite the last one before. */
function placeOf(map, epoch) {
  const asked = position(map.epochs, epoch);
  const last = map.read.lastIndexOf(true, asked);
  return last < 0 ? asked : last;
}

/** Since when nothing is finite, said below the map of the last epoch before. */
function notFinite(map, epoch) {
  const [asked, at] = [position(map.epochs, epoch), placeOf(map, epoch)];
  if (map.read[asked]) return null;
  return h(
    "p",
    { class: "note alarm" },
    `The outputs are not finite since epoch ${map.epochs[at < asked ? at + 1 : 0]}${at < asked ? `: epoch ${map.epochs[at]}, the last one before, is shown` : ""}.`,
  );
}

const canvas = h("canvas", { class: "layer-map" });
let drawn = null;
hint(canvas, (event) => {
  const b = drawn ? nearestPoint(event) : -1;
  return b < 0 ? "" : describe(drawn.map, drawn.at, b);
});
canvas.addEventListener("click", (event) => {
  const b = drawn ? nearestPoint(event) : -1;
  if (b >= 0 && drawn.map.gallery.includes(b)) set(towards(drawn.map, b));
  tip(event, "");
});

const COLOURINGS = { label: "True class", prediction: "Predicted", held_out: "Held out" };

/** How points can be coloured in this run. */
const colouringsOf = (map) => Object.entries(COLOURINGS).filter(([name]) => map[name]);
const colouringOf = (map) => (map[state.points] ? state.points : (colouringsOf(map)[0]?.[0] ?? ""));

function mapPanel(context, map) {
  const at = placeOf(map, context.epoch);
  const by = colouringOf(map);
  const colours = map.colours[themeName()];
  const names =
    by === "held_out"
      ? [key("held out", token("accent")), key("trained on", token("text-3"))]
      : by
        ? map.classes.slice(0, 10).map((name, k) => key(name, colours[k]))
        : [];
  const out = panel(
    "c7",
    `Where the samples lie in ${map.layer}`,
    `epoch ${map.epochs[at]}`,
    notFinite(map, context.epoch) ?? "",
    canvas,
    h("div", { class: "legends dots" }, names),
    h(
      "p",
      { class: "note" },
      "Near is alike to this layer; tails come from the last five epochs. Every epoch is turned towards the last one, so that only the training moves a point.",
    ),
  );
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Map of ${map.places.shape[1]} samples in ${map.layer} at epoch ${map.epochs[at]}`);
  return out;
}

/** Points with their tails, on one scale for all epochs. */
function paint(map, epoch) {
  const [, size] = map.places.shape;
  const at = placeOf(map, epoch);
  const scale = Math.min(2, devicePixelRatio || 1);
  const width = Math.max(200, canvas.parentElement.clientWidth);
  if (canvas.width !== Math.round(width * scale))
    Object.assign(canvas, { width: Math.round(width * scale), height: HEIGHT * scale });
  canvas.style.height = `${HEIGHT}px`;
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, HEIGHT);
  const frame = (map.frame ??= frameOf(map.places.data));
  const unit = Math.min(width / frame.width, HEIGHT / frame.height);
  const x = (e, b) => clamp(width / 2 + unit * (map.places.data[2 * (e * size + b)] - frame.x), 6, width - 6);
  const y = (e, b) => clamp(HEIGHT / 2 - unit * (map.places.data[2 * (e * size + b) + 1] - frame.y), 6, HEIGHT - 6);
  context.lineWidth = 1;
  for (let b = 0; b < size; b++)
    for (let e = Math.max(1, at - TAIL + 1); e <= at; e++) {
      if (!map.read[e - 1] || !map.read[e]) continue;
      context.strokeStyle = token("text-3");
      context.globalAlpha = 0.5 * (1 - (at - e) / TAIL);
      context.beginPath();
      context.moveTo(x(e - 1, b), y(e - 1, b));
      context.lineTo(x(e, b), y(e, b));
      context.stroke();
    }
  context.globalAlpha = 1;
  const suspects = new Set(map.suspects.map(({ row }) => row));
  for (let b = 0; b < size; b++) {
    context.beginPath();
    context.arc(x(at, b), y(at, b), 3.75, 0, 2 * Math.PI);
    context.fillStyle = colourOf(map, at, b);
    context.fill();
    context.strokeStyle = suspects.has(b) ? token("alarm") : dark() ? "#303030" : "#fff";
    context.lineWidth = suspects.has(b) ? 1.75 : 1;
    context.stroke();
  }
  drawn = { map, at, x: (b) => x(at, b), y: (b) => y(at, b), size };
}

/** What is seen of the plane, at every epoch alike; the farthest hundredth stands at the edge. */
function frameOf(places) {
  const side = (axis) => {
    const sorted = places.filter((place, i) => i % 2 === axis && Number.isFinite(place)).sort();
    const [low, high] = [0.005, 0.995].map((share) => sorted[Math.floor(share * (sorted.length - 1))]);
    return [(low + high) / 2, 1.1 * (high - low) || 1];
  };
  const [[x, width], [y, height]] = [side(0), side(1)];
  return { x, y, width, height };
}

function colourOf(map, at, b) {
  const by = colouringOf(map);
  if (by === "held_out") return token(map.held_out.data[b] ? "accent" : "text-3");
  const index =
    by === "label" ? map.label.data[b] : by === "prediction" ? map.prediction.data[at * map.places.shape[1] + b] : -1;
  return map.colours[themeName()][index] ?? token("text-3");
}

function nearestPoint(event) {
  const box = canvas.getBoundingClientRect();
  let [best, distance] = [-1, NEAR];
  for (let b = 0; b < drawn.size; b++) {
    const away = Math.hypot(drawn.x(b) - (event.clientX - box.left), drawn.y(b) - (event.clientY - box.top));
    if (away < distance) [best, distance] = [b, away];
  }
  return best;
}

function describe(map, at, b) {
  const place = at * map.places.shape[1] + b;
  return [
    `sample ${b}`,
    map.label && `label ${map.classes[map.label.data[b]]}`,
    map.prediction &&
      (map.prediction.data[place] < 0 ? "outputs not finite" : `read as ${map.classes[map.prediction.data[place]]}`),
    map.held_out?.data[b] && "held out",
    map.gallery.includes(b) && "click: see its attributions",
  ]
    .filter(Boolean)
    .join("\n");
}

/** The way to a sample's attributions, where the gallery holds it. */
const towards = (map, row) => ({
  view: "probe_attributions",
  sample: map.gallery.indexOf(row),
  sort: "probe",
  compare: "off",
});

/** Samples whose label was believed least: mislabelled, or hard. Those of the gallery lead to their attributions. */
function suspectsPanel(context, map) {
  if (!map.suspects.length)
    return panel(
      "c5",
      "Suspicious labels",
      "",
      h(
        "p",
        { class: "note" },
        map.label
          ? "No confidence could be measured: there is nobody to suspect."
          : "Without labels that are classes nobody can be suspected.",
      ),
    );
  const share = linear(0, Math.max(...map.suspects.map(({ confidence }) => confidence), 1e-9), 0, 100);
  const rows = map.suspects.map(({ row, confidence, label, prediction }) => {
    const held = map.gallery.includes(row);
    const name = held
      ? h(
          "button",
          { type: "button", class: "link", "data-key": `suspect ${row}`, onclick: () => set(towards(map, row)) },
          `sample ${row} →`,
        )
      : `sample ${row}`;
    return h(
      "tr",
      {},
      h("td", {}, name),
      h("td", {}, map.classes[label]),
      h("td", { class: label === prediction ? "" : "alarm" }, map.classes[prediction]),
      h(
        "td",
        {},
        h("i", { class: "bar-in-row", style: { width: `${share(confidence).toFixed(1)}px` } }),
        ` ${percent(confidence)}`,
      ),
    );
  });
  const head = h(
    "tr",
    {},
    ["sample", "label", "read as", "believed over all epochs"].map((title) => h("th", { scope: "col" }, title)),
  );
  return panel(
    "c5",
    "Suspicious labels",
    "believed least; → leads to the attributions",
    h("div", { class: "suspects" }, h("table", {}, head, rows)),
  );
}

/** The settings of this view and what they depend on. */
export const mappingsSettings = {
  key: (context) => {
    const map = drawable(context);
    return map ? [map.layers, colouringsOf(map)].join() : "";
  },
  build: (context) => {
    const map = drawable(context);
    if (!map) return [];
    const colourings = colouringsOf(map);
    return [
      group(
        "Layer",
        choice(
          "layer",
          "Layer",
          map.layers.map((name) => [name, name]),
          map.layer,
        ),
      ),
      ...(colourings.length > 1
        ? [group("Colour of a point", segments("points", "Colour of a point", colourings, colourings[0][0]))]
        : []),
    ];
  },
};
