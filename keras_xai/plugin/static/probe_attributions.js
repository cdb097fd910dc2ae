/** Attributions: the probe samples at the epoch of the slider, one chosen sample over all epochs, two of anything compared. */
import { ask, refusal } from "./api.js";
import { chart } from "./chart.js";
import { legend, themeName } from "./colour.js";
import { compare, rivals } from "./compare.js";
import { choice, group, range, segments } from "./controls.js";
import { absent, h, message, panel, percent } from "./dom.js";
import { Gallery } from "./gallery.js";
import { draw, drawKept } from "./image.js";
import { barsTile, seriesTile, tokensRow } from "./tiles.js";
import { spark } from "./marks.js";
import { set, state } from "./state.js";

/** The method asked for, or the one that this kind of probe opens with. */
const methodOf = (run) =>
  [state.method, run.opens_with].map((name) => run.methods.find((method) => method.name === name)).find(Boolean) ??
  run.methods[0];

export function probeAttributions(root, context) {
  const { run, name } = context;
  const method = methodOf(run);
  if (!method)
    return root.append(
      absent(
        run,
        "ProbeAttributions",
        "This run wrote no attributions",
        'kx.ProbeAttributions(log_dir, probe, method="integrated_gradients")',
      ),
    );
  if (state.compare !== "off") return compare(root, context, method);
  const gallery = new Gallery(context, method);
  if (!gallery.ready) return root.append(waiting(context, gallery));
  const grid = h("div", { class: "grid" }, gallerySection(context, gallery));
  root.append(grid);
  const chosen = Math.min(state.sample, gallery.size - 1);
  grid.append(detail(context, gallery, chosen));
  fillLater();
  if (gallery.fresh) gallery.lookAhead();
}

/** A gallery asks for what it needs as it is made. */
export function askAttributions(context) {
  const method = methodOf(context.run);
  if (method) new Gallery(context, method);
}

/** Words until the maps are there, or why they are not. */
export function waiting(context, gallery) {
  const wrong =
    refusal("attribution", gallery.parameters) ??
    refusal("outputs", { run: context.name, method: gallery.method.name });
  return wrong
    ? message("These attributions could not be read", wrong)
    : h("p", { class: "note" }, "Reading the maps …");
}

/** Marks that need their place's width. All widths are read before anything is drawn: one layout instead of many. */
const later = [];

function fillLater() {
  const widths = later.map(({ place }) => place.clientWidth);
  later.splice(0).forEach(({ place, make }, i) => place.append(make(Math.max(40, widths[i]))));
}

/** What stands right of a title: how many are right, how complete the sums are, what the colours mean. */
function notes(gallery) {
  const { score } = gallery;
  const errors = sortedFinite(gallery.samples.map((b) => gallery.error(b)));
  const large = gallery.samples.filter((b) => gallery.warning(b)).length;
  const fits = sortedFinite(gallery.samples.map((b) => gallery.fit(b)));
  return [
    score && h("span", {}, `${score.right} of ${score.of} right`),
    errors.length > 0 &&
      h(
        "span",
        {
          class: large ? "alarm" : "",
          title:
            "|sum of the attributions − change of the score| ÷ change of the score; the median of the samples, and how many are above the mark",
        },
        `completeness error ${percent(errors[errors.length >> 1])}${large ? `, ${large} above ${percent(gallery.outputs.large_error)}` : ""}`,
      ),
    fits.length > 0 &&
      h(
        "span",
        { title: "how much of the model around a sample its linear surrogate explains; the median of the samples" },
        `local R² ${fits[fits.length >> 1].toFixed(2)}`,
      ),
    legendOf(gallery),
  ];
}

/** What the colours say, of all samples or of some. */
export function legendOf(gallery, samples) {
  const [low, high] = gallery.sides(samples);
  if (gallery.magnitudes) return legend("sequential", low, high);
  return gallery.kind !== "image" || gallery.signed ? legend("diverging", low, high) : legend(gallery.map, low, high);
}

const sortedFinite = (values) => values.filter(Number.isFinite).sort((a, b) => a - b);

/** "Saliency · epoch 19", and which epoch it is where this one was not recorded. */
const title = (gallery, context) =>
  `${gallery.method.title} · epoch ${gallery.epoch}${gallery.epoch === context.epoch || gallery.notFiniteSince !== null ? "" : " (the nearest earlier one)"}`;

/** Where scores are not finite: since when, and what is shown instead. */
const notFinite = (gallery) =>
  gallery.notFiniteSince === null
    ? null
    : h(
        "p",
        { class: "note alarm" },
        `The scores are not finite since epoch ${gallery.notFiniteSince}: ${gallery.epoch < gallery.notFiniteSince ? `epoch ${gallery.epoch}, the last one before, is shown` : "there is nothing to show"}.`,
      );

function gallerySection(context, gallery) {
  const section = panel("c12", title(gallery, context), notes(gallery));
  section.append(...[notFinite(gallery)].filter(Boolean));
  const list = gallery.sorted();
  if (!gallery.input && gallery.kind !== "table")
    section.append(h("p", { class: "note" }, 'The samples themselves were not written (store="none").'));
  const kinds = { image: imageGrid, tokens: tokensList, series: seriesGrid, table: barsGrid };
  section.append((kinds[gallery.kind] ?? barsGrid)(context, gallery, list));
  return section;
}

/** "2 read as 3 … 100 %", below it what the colours speak for where the legend cannot say it, and what is wrong with the sum. */
export function caption(gallery, sample) {
  const { value } = gallery.judge(sample);
  return [
    h("span", { class: "cap" }, h("span", {}, called(gallery, sample)), h("span", {}, value)),
    speaksFor(gallery, sample),
    warned(gallery, sample),
  ];
}

/** A sample by its true class, and what it is read as where that differs; by its number and its class where it has none. */
function called(gallery, sample) {
  const { truth, predicted, right } = gallery.judge(sample);
  if (truth === null)
    return [h("b", {}, `sample ${sample}`), predicted === null ? "" : ` ${gallery.className(predicted)}`];
  return [
    h("b", {}, gallery.className(truth)),
    right ? "" : h("span", { class: "alarm" }, ` read as ${gallery.className(predicted)}`),
  ];
}

/** Which class a tile's colours speak for, where samples differ in that or it is not the true one. */
function speaksFor(gallery, sample) {
  const image = gallery.kind === "image";
  if (image ? !gallery.explainsAnother(sample) : !gallery.isMixed && !gallery.explainsAnother(sample)) return null;
  if (image || gallery.kind === "tokens") return h("span", { class: "speaks" }, gallery.sides([sample])[1]);
  return h("span", { class: "speaks" }, legendOf(gallery, [sample]));
}

const warned = (gallery, sample) => {
  const words = gallery.warning(sample);
  return words
    ? h(
        "span",
        {
          class: "speaks alarm",
          title:
            "The attributions do not add up to the change of the score: more steps, or another baseline, come nearer",
        },
        words,
      )
    : null;
};

/** The output over epochs, drawn when its width is known. */
function trajectory(context, gallery, sample, height = 20) {
  const place = h("span", { style: { display: "block" } });
  const alerts = context.run.alerts.map((alert) => alert.epoch);
  if (gallery.percents)
    later.push({
      place,
      make: (width) => spark(gallery.outputEpochs, gallery.trajectory(sample), gallery.outputAt, alerts, width, height),
    });
  return place;
}

const tile = (gallery, sample, ...children) =>
  h(
    "button",
    {
      type: "button",
      class: "tile",
      "aria-pressed": String(sample === state.sample),
      "aria-label": gallery.describe(sample),
      "data-key": `sample ${sample}`,
      onclick: () => set({ sample }),
    },
    children,
  );

function imageGrid(context, gallery, list) {
  return h(
    "div",
    { class: "gallery" },
    list.map((sample) =>
      tile(
        gallery,
        sample,
        caption(gallery, sample),
        h(
          "span",
          { class: gallery.input ? "pair" : "" },
          gallery.input && picture(gallery, sample, gallery.tile, false),
          picture(gallery, sample, gallery.tile, true),
        ),
        trajectory(context, gallery, sample),
      ),
    ),
  );
}

/** The gallery's canvases outlive a render: a step of the slider paints the maps again, and nothing else. */
const canvases = new Map();

/** One sample's input, or its map as the settings want it. */
function picture(gallery, sample, size, mapped) {
  const key = `${size} ${mapped} ${sample}`;
  let canvas = canvases.get(key);
  if (!canvas) canvases.set(key, (canvas = h("canvas", { class: "thumb" })));
  const shown = mapped ? gallery.look(sample, size) : [gallery.input?.data, themeName()];
  const drawn = painted.get(canvas);
  if (!drawn || shown.some((one, i) => one !== drawn[i])) {
    const options = () => gallery.picture(sample, size, mapped);
    if (mapped) drawKept(canvas, gallery.maps, `${size} ${sample}`, shown, options);
    else draw(canvas, options());
  }
  painted.set(canvas, shown);
  return canvas;
}

/** Another epoch for a gallery that stands: its maps, once they are there. False where there is more to do than that. */
export function stepAttributions(context) {
  const method = methodOf(context.run);
  if (!method || state.compare !== "off" || context.run.probe?.kind !== "image") return false;
  const gallery = new Gallery(context, method, {}, { moving: true });
  const standing = [...canvases].filter(([key, canvas]) => canvas.isConnected && key.includes(" true "));
  if (!gallery.ready || !standing.length || refusal("attribution", gallery.parameters)) return false;
  for (const [key] of gallery.fresh ? standing : []) {
    const [size, , sample] = key.split(" ").map(Number);
    picture(gallery, sample, size, true);
  }
  return true;
}

/** What a canvas was painted from. */
const painted = new WeakMap();

const barsGrid = (context, gallery, list) =>
  h(
    "div",
    { class: "bars" },
    list.map((sample) => {
      const place = h("span", { style: { display: "block" } });
      later.push({ place, make: (width) => barsTile(gallery, sample, width, context) });
      return tile(gallery, sample, caption(gallery, sample), trajectory(context, gallery, sample), place);
    }),
  );

const seriesGrid = (context, gallery, list) =>
  h(
    "div",
    { class: "bars" },
    list.map((sample) => {
      const place = h("span", { style: { display: "block" } });
      later.push({ place, make: (width) => seriesTile(gallery, sample, width) });
      return tile(gallery, sample, caption(gallery, sample), trajectory(context, gallery, sample), place);
    }),
  );

const tokensList = (context, gallery, list) =>
  h(
    "div",
    { class: "texts" },
    list.map((sample) => {
      const { value } = gallery.judge(sample);
      const owes = gallery.warning(sample) || gallery.owes(sample);
      return h(
        "button",
        {
          type: "button",
          "aria-pressed": String(sample === state.sample),
          "aria-label": gallery.describe(sample),
          "data-key": `sample ${sample}`,
          onclick: () => set({ sample }),
        },
        h(
          "span",
          {},
          called(gallery, sample),
          h("br", {}),
          h("span", { class: "note" }, value),
          speaksFor(gallery, sample),
        ),
        tokensRow(gallery, sample),
        h(
          "span",
          {},
          trajectory(context, gallery, sample, 28),
          h("span", { class: `note ${gallery.warning(sample) ? "alarm" : ""}` }, owes),
        ),
      );
    }),
  );

/** The chosen sample large, its class probabilities, and a film strip of its map at every epoch. */
function detail(context, gallery, sample) {
  const { truth } = gallery.judge(sample);
  const followed =
    gallery.outputs.task === "numbers"
      ? `${gallery.targetName(sample)} over epochs`
      : gallery.percents
        ? `probability of each ${gallery.classes ? "class" : "label"} over epochs`
        : "output over epochs";
  const section = panel("c12", `Sample ${sample}${truth === null ? "" : `: true class ${gallery.className(truth)}`}`, [
    gallery.owes(sample) && h("span", { class: gallery.warning(sample) ? "alarm" : "" }, gallery.owes(sample)),
    h("span", {}, followed),
    legendOf(gallery, [sample]),
  ]);
  const lines = chart(context, "sample_outputs", {
    parameters: { method: gallery.method.name, sample, epoch: gallery.epoch },
    overlays: false,
    height: 184,
    label: gallery.describe(sample),
  });
  if (gallery.kind !== "image") {
    section.append(lines);
    return section;
  }
  section.append(
    h(
      "div",
      { class: "detail" },
      gallery.input ? picture(gallery, sample, 168, false) : h("span", {}),
      picture(gallery, sample, 168, true),
      lines,
    ),
    film(context, gallery, sample),
  );
  return section;
}

function film(context, gallery, sample) {
  const strip = ask(
    "film",
    { run: context.name, method: gallery.method.name, sample, input: gallery.part },
    context.run.stamp,
  );
  if (!strip)
    return h(
      "p",
      { class: "note" },
      refusal("film", { run: context.name, method: gallery.method.name, sample, input: gallery.part }) ?? "…",
    );
  const [, height, width] = strip.maps.shape;
  const alerted = new Set(context.run.alerts.map((alert) => alert.epoch));
  const now = strip.epochs.reduce((best, epoch) => (epoch <= gallery.epoch ? epoch : best), strip.epochs[0]);
  const pictures = framesOf(strip, gallery, height, width);
  return h(
    "div",
    { class: "film" },
    strip.epochs.map((epoch, i) =>
      h(
        "button",
        {
          type: "button",
          class: `${epoch === now ? "now" : ""} ${alerted.has(epoch) ? "tick" : ""}`,
          "aria-label": `Epoch ${epoch}`,
          "data-key": `film ${epoch}`,
          onclick: () => set({ epoch }),
        },
        pictures[i],
        String(epoch),
      ),
    ),
  );
}

/** The pictures of a strip, painted again only when settings or theme changed. */
const frames = new WeakMap();

function framesOf(strip, gallery, height, width) {
  const key = [themeName(), gallery.map, gallery.signed, state.clip].join();
  const kept = frames.get(strip);
  if (kept?.key === key) return kept.list;
  const list = strip.epochs.map((_, i) => {
    const canvas = h("canvas", {});
    const values = strip.maps.data.subarray(i * height * width, (i + 1) * height * width);
    if (!gallery.isFinite(strip.epochs[i]))
      return h("span", { class: "hatch", title: "not finite", style: { aspectRatio: `${width} / ${height}` } });
    draw(canvas, {
      values,
      height,
      width,
      ...gallery.colouring(values),
      size: 40,
      ratio: height / width,
      smooth: gallery.coarse,
    });
    return canvas;
  });
  frames.set(strip, { key, list });
  return list;
}

const SORTS = [
  ["probe", "Probe order"],
  ["change", "Change since the alert"],
  ["confidence", "Least confident first"],
  ["error", "Completeness error"],
];

const several = (run) => (run?.probe?.inputs.length ?? 0) > 1;

/** The settings of this view and what they depend on. */
export const probeAttributionsSettings = {
  key: (context) =>
    [
      context.run?.methods.map((method) => method.name),
      context.run?.probe?.kind,
      several(context.run),
      rivals(context).length,
    ].join(),
  build: (context) => {
    const { run } = context;
    if (!run?.methods.length) return [];
    const image = run.probe?.kind === "image";
    const compared = [
      ["off", "Nothing"],
      ["epochs", "Two epochs"],
      ...(rivals(context).length || state.compare === "runs" ? [["runs", "Two runs"]] : []),
      ...(run.methods.length > 1 ? [["methods", "Methods"]] : []),
    ];
    return [
      group(
        "Method",
        choice(
          "method",
          "Method",
          run.methods.map(({ name, title: shown }) => [name, shown]),
          methodOf(run).name,
        ),
      ),
      ...(several(run)
        ? [
            group(
              "Input",
              choice(
                "input",
                "Input",
                run.probe.inputs.map((one, i) => [i, one]),
              ),
            ),
          ]
        : []),
      group("Sort samples by", choice("sort", "Sort samples by", SORTS)),
      group("Compare", choice("compare", "Compare", compared)),
      ...(image
        ? [
            group(
              "Show",
              segments("display", "Show", [
                ["overlay", "Overlay"],
                ["map", "Map"],
              ]),
              segments("values", "Values", [
                ["magnitude", "Magnitude"],
                ["signed", "Signed"],
              ]),
            ),
            group("Overlay opacity", range("opacity", "Overlay opacity", 0, 100, " %")),
            group("Clip at percentile", range("clip", "Clip at percentile", 80, 100)),
            group(
              "Colours of magnitude",
              choice(
                "colours",
                "Colours of magnitude",
                [
                  ["ember", "Ember"],
                  ["sequential", "Blue"],
                ],
                "ember",
              ),
            ),
          ]
        : [
            group(
              "Scale",
              segments("scale", "Scale", [
                ["common", "All samples"],
                ["own", "Each its own"],
              ]),
            ),
          ]),
    ];
  },
};
