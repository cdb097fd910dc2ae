/** Attributions: the probe samples at the epoch of the slider, one chosen sample over all epochs, two of anything compared. */
import { alarmsOf } from "../core/alerts.js";
import { chart } from "../core/chart.js";
import { legend, themeName } from "../core/colour.js";
import { group } from "../core/controls.js";
import { absent, Deferred, h, message, panel, percent, position, s } from "../core/dom.js";
import { GalleryReader, residualWords, showsChosen } from "../core/gallery.js";
import { clipAt, draw, drawKept } from "../core/image.js";
import { galleryNumbers } from "../core/panel_numbers.js";
import { mapHint } from "../core/map_hint.js";
import { isPinned, togglePin } from "../core/pins.js";
import { set, state } from "../core/state.js";
import { BEFORE, capitalized, moment, named } from "../core/updates.js";
import { alertedFeatures } from "../marks/importance.js";
import { spark } from "../marks/slopes.js";
import { barsTile, seriesTile, tokensRow } from "../marks/tiles.js";
import { taughtBy } from "../marks/taught_by.js";
import { waterfall } from "../marks/waterfall.js";
import { compare, comparableRuns } from "./compare.js";
import { foundGroups } from "./sample_finder.js";
import { BaseView } from "./view.js";

/** @typedef {import("../core/gallery.js").Gallery} Gallery */
/** @typedef {import("../core/gallery.js").Reading} Reading */

const DETAIL = 168; // pixels of the chosen sample
const FRAME = 40; // pixels of a map of the film strip
const SLICE = 64; // pixels of a slice of the strip
const SLICES = 32; // of the strip
const SHARE = 24; // pixels of the longest bar above it
const CODE = 'kx.ProbeAttributions(log_dir, probe, method="integrated_gradients")';

/** What the rows are that a gallery's rule chose. @type {Record<string, string>} */
const CHOSEN = { wrong: "Read wrongly now", "worst loss": "Largest loss now", suspects: "Believed least so far" };
/** Why it chose none. @type {Record<string, string>} */
const NOBODY = {
  wrong: "No row of the probe is read wrongly",
  "worst loss": "No loss is finite",
  suspects: "No loss is finite",
};

/**
 * The orders that there are for this run's outputs.
 * @param {Run} run
 * @param {Method} method
 */
function sortsOf(run, { task }) {
  const numbers = task === "number" || task === "numbers";
  const labelled = run.probe?.labels != null || numbers || task === "labels";
  /** @type {[string, string, boolean][]} */
  const sorts = [
    ["probe", showsChosen(run) ? "As the rule chose them" : "Probe order", true],
    ["change", "Change since the alert", !showsChosen(run)],
    ["loss", numbers ? "Largest residual first" : "Largest loss first", labelled],
    ["confidence", "Least confident first", !numbers],
    ["error", "Completeness error", true],
    ["cluster", "Clusters of the sample's class", !numbers && !showsChosen(run)],
  ];
  return sorts.flatMap(([name, title, offered]) => (offered ? [/** @type {[string, string]} */ ([name, title])] : []));
}

export class ProbeAttributionsView extends BaseView {
  #reader = new GalleryReader();
  #images = new Images();
  #films = new Films();

  /** @param {RunContext} context */
  settingsKey(context) {
    const { run } = context;
    const names = run.methods.map((method) => method.name);
    const chosen = [run.chosen?.rule, showsChosen(run)];
    const faults = run.methods.map((method) => failsNow(method));
    return [names, faults, run.probe?.kind, hasSeveralInputs(run), comparableRuns(context).length, chosen].join();
  }

  /**
   * @param {RunContext} context
   * @param {import("../core/controls.js").SettingsRail} rail
   */
  settings(context, rail) {
    const { run } = context;
    const method = methodOf(run);
    if (!method) return [];
    /** @type {[string, string][]} */
    const methods = run.methods.map((each) => [each.name, failsNow(each) ? `${each.title}: fails` : each.title]);
    const groups = [group("Method", rail.choice("method", "Method", methods, method.name))];
    if (hasSeveralInputs(run)) {
      /** @type {[number, string][]} */
      const inputs = (run.probe?.inputs ?? []).map((name, i) => [i, name]);
      groups.push(group("Input", rail.choice("input", "Input", inputs)));
    }
    if (run.chosen) groups.push(gallerySettings(rail, run));
    groups.push(group("Sort samples by", rail.choice("sort", "Sort samples by", sortsOf(run, method))));
    if (!showsChosen(run)) groups.push(group("Compare", rail.choice("compare", "Compare", comparisons(context))));
    if (run.probe?.depth) groups.push(sliceSettings(rail, run.probe.depth));
    return [...groups, ...(isPictured(run) ? imageSettings(rail) : barSettings(rail))];
  }

  /** @param {RunContext} context */
  load(context) {
    const method = methodOf(context.run);
    if (method) this.#reader.read(context, method);
  }

  /**
   * @param {HTMLElement} root
   * @param {RunContext} context
   */
  draw(root, context) {
    const method = methodOf(context.run);
    if (!method) {
      root.append(absent(context.run, "ProbeAttributions", "This run wrote no attributions", CODE));
      return;
    }
    if (state.compare !== "off" && !showsChosen(context.run)) {
      compare(root, context, method, this.#reader);
      this.#detailBelow(root, context, method);
      return;
    }
    const reading = this.#reader.read(context, method);
    const { gallery } = reading;
    if (!gallery) {
      root.append(reading.nobody ? nobody(context.run, reading) : waiting(context, reading));
      return;
    }
    const deferred = new Deferred();
    const grid = h("div", { class: "grid" }, this.#gallerySection(context, gallery, deferred));
    root.append(grid);
    grid.append(this.#detail(context, gallery, gallery.selected));
    deferred.fill();
    if (gallery.current && !gallery.isChosen) this.#reader.lookAhead(gallery);
  }

  /**
   * The maps of another epoch, once they are there.
   * @param {RunContext} context
   */
  step(context) {
    const method = methodOf(context.run);
    if (!method || state.compare !== "off" || !isPictured(context.run) || showsChosen(context.run)) return false;
    if (context.run.probe?.depth && state.depth === null) return false; // the strongest slice may be another one
    const { gallery, current, parameters } = this.#reader.read(context, method, { moving: true });
    if (!gallery || context.server.refusal("attribution", parameters)) return false;
    return this.#images.repaintMaps(gallery, current);
  }

  /**
   * @param {RunContext} context
   * @param {Gallery} gallery
   * @param {Deferred} deferred
   */
  #gallerySection(context, gallery, deferred) {
    const section = panel("c12", title(gallery, context), aboutGallery(gallery, context), notFinite(gallery));
    if (gallery.isChosen) section.append(h("p", { class: "note" }, chosenWords(context.run, gallery)));
    if (!gallery.input && gallery.kind !== "table") section.append(h("p", { class: "note" }, notWritten(gallery)));
    const explained = context.run.probe?.explained;
    if (explained) section.append(h("p", { class: "note" }, `Explained: ${explained}.`));
    section.append(...checkWords(context.run, gallery));
    const words = clusterWords(gallery);
    if (words) section.append(h("p", { class: "note" }, words));
    for (const { title: name, samples } of foundGroups(gallery, section)) {
      if (name) section.append(h("h4", {}, name));
      if (gallery.isPictured) section.append(this.#imageGrid(context, gallery, samples, deferred));
      else if (gallery.kind === "tokens") section.append(tokensList(context, gallery, samples, deferred));
      else section.append(barsGrid(context, gallery, samples, deferred));
    }
    return section;
  }

  /**
   * @param {RunContext} context
   * @param {Gallery} gallery
   * @param {number[]} samples
   * @param {Deferred} deferred
   */
  #imageGrid(context, gallery, samples, deferred) {
    const tiles = samples.map((sample) => {
      const input = gallery.input && this.#images.input(gallery, sample, gallery.tile);
      const map = this.#images.map(gallery, sample, gallery.tile);
      const pair = h("span", { class: gallery.input ? "pair" : "" }, input, map);
      const line = trajectory(context, gallery, sample, deferred);
      return tile(gallery, sample, caption(gallery, sample), pair, sliceWords(gallery, sample), line);
    });
    return h("div", { class: "gallery" }, tiles);
  }

  /**
   * Below two updates that are compared the sample that is looked at, by default the one that moved most.
   * @param {HTMLElement} root
   * @param {RunContext} context
   * @param {Method} method
   */
  #detailBelow(root, context, method) {
    const grid = root.querySelector(".grid");
    if (!grid || state.compare !== "epochs") return;
    const { gallery } = this.#reader.read(context, method, { epoch: context.epoch });
    if (gallery) grid.append(this.#detail(context, gallery, gallery.selected));
  }

  /**
   * The chosen sample large, its class probabilities, and a film strip of its map at every epoch.
   * @param {RunContext} context
   * @param {Gallery} gallery
   * @param {number} sample
   */
  #detail(context, gallery, sample) {
    const quality = gallery.quality(sample);
    const note = [
      movedWords(gallery, sample),
      !gallery.isChosen && gallery.rows[sample] !== sample && h("span", {}, `row ${gallery.rows[sample]} of the probe`),
      quality && h("span", { class: gallery.warning(sample) ? "alarm" : "" }, quality),
      gallery.courseEpochs.length > 0 && h("span", {}, followedWords(context.run, gallery, sample)),
      legendOf(gallery, [sample]),
    ];
    const files = () => [mapFile(gallery, context, sample)];
    const about = { help: "sample", file: `sample_${sample}`, note, files };
    const section = panel("c12", detailTitle(gallery, sample), about);
    this.#fillDetail(section, context, gallery, sample);
    section.append(taughtBy(context, gallery.rows[sample]) ?? "");
    return section;
  }

  /**
   * @param {HTMLElement} section
   * @param {RunContext} context
   * @param {Gallery} gallery
   * @param {number} sample
   */
  #fillDetail(section, context, gallery, sample) {
    const lines = outputsChart(context, gallery, sample);
    if (gallery.kind === "table") {
      section.append(h("div", { class: "of-table" }, featuresOf(context, gallery, sample), lines));
      return;
    }
    if (!gallery.isPictured) {
      section.append(lines ?? "");
      return;
    }
    const input = gallery.input ? this.#images.input(gallery, sample, DETAIL) : h("span", {});
    const map = this.#images.map(gallery, sample, DETAIL);
    section.append(h("div", { class: "detail" }, input, map, lines));
    if (gallery.depth) section.append(...sliceStrip(gallery, sample));
    if (gallery.courseEpochs.length) section.append(this.#films.strip(context, gallery, sample));
  }
}

/**
 * The model's outputs for a sample over updates; words while there is none.
 * @param {RunContext} context
 * @param {Gallery} gallery
 * @param {number} sample
 */
function outputsChart(context, gallery, sample) {
  if (gallery.isChosen) return null;
  if (!gallery.courseEpochs.length) {
    return h("p", { class: "note" }, "The training has no record yet: this is the untrained model.");
  }
  return chart(context, "sample_outputs", {
    parameters: { method: gallery.method.name, sample, epoch: Math.max(gallery.epoch, gallery.courseEpochs[0]) },
    overlays: false,
    height: 184,
    label: gallery.describe(sample),
  });
}

/**
 * Every feature of a sample of a table, with its values over updates once they are there.
 * @param {RunContext} context
 * @param {Gallery} gallery
 * @param {number} sample
 */
function featuresOf({ run, name, server, epoch }, gallery, sample) {
  const parameters = { run: name, method: gallery.method.name, sample, input: gallery.part };
  const follows = gallery.courseEpochs.length > 1;
  const film = follows ? (server.read("film", parameters, run.stamp) ?? null) : null;
  const fits = film?.maps.shape[1] === gallery.length;
  return waterfall(gallery, sample, { film: fits ? film : null, alerted: alertedFeatures(run, epoch) });
}

/**
 * @param {Gallery} gallery
 * @param {number} sample
 */
function detailTitle(gallery, sample) {
  const { truth } = gallery.judge(sample);
  const number = gallery.residual(sample);
  let name = truth === null ? "" : `: true class ${gallery.className(truth)}`;
  if (number) name = `: ${residualWords(number)}`;
  return `${capitalized(gallery.called(sample))}${name}`;
}

// What is chosen, and what can be.

/**
 * The method chosen, or the one that this kind of probe opens with.
 * @param {Run} run
 * @returns {Method | undefined}
 */
function methodOf(run) {
  const byName = new Map(run.methods.map((method) => [method.name, method]));
  return byName.get(state.method) ?? byName.get(run.opens_with) ?? run.methods[0];
}

/**
 * Whether the samples are shown as images.
 * @param {Run} run
 */
const isPictured = (run) => run.probe?.kind === "image" || run.probe?.kind === "volume";

/** @param {Run} run */
const hasSeveralInputs = (run) => (run.probe?.inputs.length ?? 0) > 1;

/** @param {RunContext} context */
function comparisons(context) {
  /** @type {[string, string][]} */
  const options = [
    ["off", "Nothing"],
    ["epochs", context.run.unit === "epoch" ? "Two epochs" : "Two updates"],
  ];
  if (comparableRuns(context).length || state.compare === "runs") options.push(["runs", "Two runs"]);
  if (context.run.methods.length > 1) options.push(["methods", "Methods"]);
  return options;
}

/**
 * The fixed gallery, or the rows that its rule chooses at each update.
 * @param {import("../core/controls.js").SettingsRail} rail
 * @param {Run} run
 */
function gallerySettings(rail, run) {
  const unit = run.unit === "epoch" ? "epoch" : "update";
  /** @type {[string, string][]} */
  const galleries = [
    ["fixed", `Same at every ${unit}`],
    ["chosen", CHOSEN[run.chosen?.rule ?? ""] ?? "By the rule"],
  ];
  return group("Samples", rail.choice("gallery", "Samples", galleries));
}

/**
 * One slice of all volumes, or of each the one with the largest share of its map.
 * @param {import("../core/controls.js").SettingsRail} rail
 * @param {number} depth
 */
function sliceSettings(rail, depth) {
  return group(`Slice, 0 to ${depth - 1}`, rail.range("depth", "Slice", 0, depth - 1, "", "Strongest of each sample"));
}

/** @param {import("../core/controls.js").SettingsRail} rail */
function imageSettings(rail) {
  const display = rail.segments("display", "Show", [
    ["overlay", "Overlay"],
    ["map", "Map"],
  ]);
  const values = rail.segments("values", "Values", [
    ["magnitude", "Magnitude"],
    ["signed", "Signed"],
  ]);
  /** @type {[string, string][]} */
  const colours = [
    ["ember", "Ember"],
    ["sequential", "Blue"],
  ];
  const title = "Colours of magnitude";
  return [
    group("Show", display, values),
    group("Overlay opacity", rail.range("opacity", "Overlay opacity", 0, 100, " %")),
    group("Clip at percentile", rail.range("clip", "Clip at percentile", 80, 100)),
    group(title, rail.choice("colours", title, colours, "ember")),
  ];
}

/** @param {import("../core/controls.js").SettingsRail} rail */
function barSettings(rail) {
  const scale = rail.segments("scale", "Scale", [
    ["common", "All samples"],
    ["own", "Each its own"],
  ]);
  return [group("Scale", scale)];
}

// Words.

/**
 * Words until the maps are there, or why they are not.
 * @param {RunContext} context
 * @param {Reading} reading
 */
function waiting({ server, name }, { method, parameters }) {
  const ofOutputs = { run: name, method: method.name };
  const refusal = server.refusal("attribution", parameters) ?? server.refusal("outputs", ofOutputs);
  if (refusal) return message("These attributions could not be read", refusal);
  return h("p", { class: "note" }, "Reading the maps …");
}

/**
 * Why there is no sample to show.
 * @param {Run} run
 * @param {Reading} reading
 */
function nobody(run, { epoch }) {
  const why = NOBODY[run.chosen?.rule ?? ""] ?? "The rule chose no row";
  return message(
    `${why} at ${moment(run, epoch)}`,
    "The slider shows other moments; the settings show the fixed samples.",
  );
}

/**
 * Which rows these are, and of how many.
 * @param {Run} run
 * @param {Gallery} gallery
 */
function chosenWords(run, gallery) {
  const rule = CHOSEN[run.chosen?.rule ?? ""] ?? "Chosen by the rule";
  const of = `${gallery.size} of the ${run.probe?.whole_size} rows of the probe`;
  return `${rule}: ${of}, chosen anew at each ${run.unit === "epoch" ? "epoch" : "update"}.`;
}

/** @param {Gallery} gallery */
const notWritten = (gallery) =>
  gallery.run.probe?.stored
    ? "The inputs of these rows were not written: those of a run take 8 MiB and 512 rows at most."
    : 'The samples themselves were not written (store="none").';

/**
 * How far a sample's map moved, where the samples are sorted by that.
 * @param {Gallery} gallery
 * @param {number} sample
 */
function movedWords(gallery, sample) {
  if (state.sort !== "change") return null;
  const change = gallery.changes?.[sample];
  if (change === undefined || !Number.isFinite(change)) return null;
  const title = "half the sum of the differences of the shares of magnitude: 0 % the same map, 100 % nothing in common";
  return h("span", { class: "moved", title }, `moved ${percent(change)} since ${named(gallery.run, gallery.base)}`);
}

/**
 * "Saliency · epoch 19", and which epoch it is where the slider's was not recorded.
 * @param {Gallery} gallery
 * @param {RunContext} context
 */
function title(gallery, context) {
  const same = gallery.epoch === context.epoch || gallery.notFiniteSince !== null;
  return `${gallery.method.title} · ${moment(context.run, gallery.epoch)}${same ? "" : " (the nearest earlier one)"}`;
}

/**
 * What the gallery says of itself, and what can be taken out of it.
 * @param {Gallery} gallery
 * @param {RunContext} context
 * @returns {PanelAbout}
 */
const aboutGallery = (gallery, context) => ({
  help: "attributions",
  file: `attributions_${gallery.method.name}`,
  note: notes(gallery),
  csv: () => galleryNumbers(gallery),
  files: () => [mapFile(gallery, context)],
  figure: { name: "probe_attributions", method: gallery.method.name },
});

/**
 * The recorded maps as a NumPy file: of all samples, or of one.
 * @param {Gallery} gallery
 * @param {RunContext} context
 * @param {number} [sample]
 * @returns {ServerFile}
 */
function mapFile(gallery, context, sample) {
  const { method, epoch, part } = gallery;
  const chosen = gallery.isChosen ? 1 : undefined;
  return {
    title: sample === undefined ? "Maps (NumPy)" : "Map (NumPy)",
    route: "attribution.npy",
    parameters: { run: context.name, method: method.name, epoch, input: part, sample, chosen },
    suffix: ".npy",
  };
}

/**
 * Where scores are not finite: since when, and what is shown instead.
 * @param {Gallery} gallery
 */
function notFinite({ run, epoch, notFiniteSince }) {
  if (notFiniteSince === null) return null;
  const instead =
    epoch < notFiniteSince ? `${named(run, epoch)}, the last one before, is shown` : "there is nothing to show";
  return h("p", { class: "note alarm" }, `The scores are not finite since ${named(run, notFiniteSince)}: ${instead}.`);
}

/**
 * True where a method's maps failed when they were checked last.
 * @param {Method} method
 */
const failsNow = (method) => Boolean(method.checks.at(-1)?.faults.length);

/**
 * What the last check before the maps that are shown says of them.
 * @param {Run} run
 * @param {Gallery} gallery
 */
function checkWords(run, { method, epoch }) {
  const check = method.checks.filter((each) => each.epoch <= epoch).at(-1);
  if (!check?.words) return [];
  const when = moment(run, check.epoch);
  if (!check.faults.length) return [h("p", { class: "note" }, `Passes its checks (${when}): ${check.words}.`)];
  return [h("p", { class: "note alarm" }, `Fails on this model (${when}). ${check.faults.join(" ")}`)];
}

/**
 * What the clusters are worth, where the samples are sorted by them; or why there are none.
 * @param {Gallery} gallery
 */
function clusterWords({ clusters }) {
  if (!clusters) return "";
  if (clusters.absent) return `No clusters: ${clusters.absent}.`;
  const how = `Two clusters of the maps of class ${clusters.name}, by k-means, as SpRAy does (Lapuschkin et al. 2019).`;
  return `${how} A way to look, and no finding: it makes two of any samples.`;
}

/** @param {number[]} values */
function medianFinite(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  return sorted.length ? sorted[sorted.length >> 1] : null;
}

const ERROR_MEANING =
  "|sum of the attributions − change of the score| ÷ change of the score; the median of the samples, and how many are " +
  "above the mark";
const FIT_MEANING = "how much of the model around a sample its linear surrogate explains; the median of the samples";
const WARNING_MEANING =
  "The attributions do not add up to the change of the score: more steps, or another baseline, come nearer";

/**
 * What stands right of a title: how many are right, how complete the sums are, what the colours mean.
 * @param {Gallery} gallery
 * @returns {Child[]}
 */
function notes(gallery) {
  const { score, samples } = gallery;
  /** @type {Child[]} */
  const parts = [];
  if (score) parts.push(h("span", {}, `${score.right} of ${score.of} right`));
  const error = medianFinite(samples.map((b) => gallery.error(b)));
  if (error !== null) {
    const large = samples.filter((b) => gallery.warning(b)).length;
    const above = large ? `, ${large} above ${percent(gallery.outputs.large_error)}` : "";
    const words = `completeness error ${percent(error)}${above}`;
    parts.push(h("span", { class: large ? "alarm" : "", title: ERROR_MEANING }, words));
  }
  const fit = medianFinite(samples.map((b) => gallery.fit(b)));
  if (fit !== null) parts.push(h("span", { title: FIT_MEANING }, `local R² ${fit.toFixed(2)}`));
  return [...parts, legendOf(gallery)];
}

/**
 * What the colours say, of all samples or of some.
 * @param {Gallery} gallery
 * @param {number[]} [samples]
 */
function legendOf(gallery, samples) {
  const [low, high] = gallery.sides(samples);
  if (gallery.magnitudes) return legend("sequential", low, high);
  return legend(!gallery.isPictured || gallery.signed ? "diverging" : gallery.map, low, high);
}

/**
 * @param {Run} run
 * @param {Gallery} gallery
 * @param {number} sample
 */
function followedWords({ unit }, gallery, sample) {
  if (gallery.outputs.task === "numbers") return `${gallery.targetName(sample)} over ${unit}s`;
  if (!gallery.percents) return `output over ${unit}s`;
  return `probability of each ${gallery.classes ? "class" : "label"} over ${unit}s`;
}

/**
 * "2 read as 3 … 100 %", below it what the colours speak for where the legend cannot say it, and what is wrong with the sum.
 * @param {Gallery} gallery
 * @param {number} sample
 * @returns {Child[]}
 */
function caption(gallery, sample) {
  const { value } = gallery.judge(sample);
  const number = gallery.residual(sample);
  const right = number ? "" : h("span", {}, value);
  const name = h("span", { class: "cap" }, h("span", {}, called(gallery, sample)), right);
  const moved = movedWords(gallery, sample);
  return [name, moved && h("span", { class: "speaks" }, moved), speaksFor(gallery, sample), warning(gallery, sample)];
}

/**
 * A sample by its true class, and what it is read as where that differs; by its number and its class where it has none.
 * @param {Gallery} gallery
 * @param {number} sample
 * @returns {Child[]}
 */
function called(gallery, sample) {
  const { truth, predicted, right } = gallery.judge(sample);
  const number = gallery.residual(sample);
  if (number) {
    const [predictedWords, ...others] = residualWords(number).split(", ");
    return [h("b", {}, predictedWords), `, ${others.join(", ")}`];
  }
  const readAs = predicted === null ? "" : gallery.className(predicted);
  if (truth === null) return [h("b", {}, gallery.called(sample)), readAs && ` ${readAs}`];
  const wrong = right ? "" : h("span", { class: "alarm" }, ` read as ${readAs}`);
  return [h("b", {}, gallery.className(truth)), wrong];
}

/**
 * Which class a tile's colours speak for, where samples differ in that or it is not the true one.
 * @param {Gallery} gallery
 * @param {number} sample
 */
function speaksFor(gallery, sample) {
  const image = gallery.isPictured;
  const differs = gallery.explainsAnother(sample) || (!image && gallery.isMixed);
  if (!differs) return null;
  if (image || gallery.kind === "tokens") return h("span", { class: "speaks" }, gallery.sides([sample])[1]);
  return h("span", { class: "speaks" }, legendOf(gallery, [sample]));
}

/**
 * @param {Gallery} gallery
 * @param {number} sample
 */
function warning(gallery, sample) {
  const words = gallery.warning(sample);
  return words ? h("span", { class: "speaks alarm", title: WARNING_MEANING }, words) : null;
}

// Slices of volumes.

/**
 * "slice 7 of 16, 12 % of the map".
 * @param {Gallery} gallery
 * @param {number} sample
 */
function sliceWords(gallery, sample) {
  if (gallery.slices < 2) return null;
  const slice = gallery.sliceOf(sample);
  const share = gallery.depth ? `, ${percent(gallery.sliceShares(sample)[gallery.mapSlice(slice)])}` : "";
  const title = "slice of the volume, and what share of the map's magnitude lies in it";
  return h("span", { class: "speaks", title }, `slice ${slice}${share}`);
}

/**
 * The chosen sample's slices, each under its share of the map; a click shows it of all samples.
 * @param {Gallery} gallery
 * @param {number} sample
 * @returns {HTMLElement[]}
 */
function sliceStrip(gallery, sample) {
  const shares = gallery.sliceShares(sample);
  const high = Math.max(...shares) || 1;
  const chosen = gallery.sliceOf(sample);
  const step = Math.ceil(gallery.slices / SLICES);
  const buttons = [];
  for (let first = 0; first < gallery.slices; first += step) {
    const holds = chosen >= first && chosen < first + step;
    const slice = holds ? chosen : first;
    const share = shares[gallery.mapSlice(slice)];
    const canvas = h("canvas", {});
    draw(canvas, gallery.mapImage(sample, SLICE, undefined, slice));
    const bar = h("i", { class: "share", style: { height: `${(SHARE * share) / high}px` } });
    const attributes = {
      type: "button",
      class: holds ? "now" : "",
      title: `slice ${slice}: ${percent(share)} of the map`,
      "aria-label": `Slice ${slice}, ${percent(share)} of the map`,
      "data-key": `slice ${slice}`,
      onclick: () => set({ depth: slice }),
    };
    buttons.push(h("button", attributes, h("span", { class: "shares" }, bar), canvas, String(slice)));
  }
  const words = `Slices, under their shares of the map: ${percent(high)} at most`;
  return [
    h("h4", {}, words),
    h("div", { class: "film sliced" }, buttons),
    h("h4", {}, `Slice ${chosen} at each ${gallery.run.unit === "epoch" ? "epoch" : "update"}`),
  ];
}

// Tiles.

/**
 * The output over epochs, drawn when its width is known.
 * @param {RunContext} context
 * @param {Gallery} gallery
 * @param {number} sample
 * @param {Deferred} deferred
 * @param {number} [height]
 */
function trajectory(context, gallery, sample, deferred, height = 20) {
  const place = h("span", { style: { display: "block" } });
  if (!gallery.percents || !gallery.courseEpochs.length) return place;
  const alert = alarmsOf(context.run)[0]?.epoch;
  const { courseEpochs, epoch } = gallery;
  const at = epoch === BEFORE ? -1 : position(courseEpochs, epoch);
  return deferred.add(place, (width) =>
    spark(context.run, courseEpochs, gallery.trajectory(sample), at, alert, width, height),
  );
}

/**
 * What a click on a sample does, and what those who listen are told.
 * @param {Gallery} gallery
 * @param {number} sample
 */
const choosing = (gallery, sample) => ({
  type: "button",
  "aria-pressed": String(sample === gallery.selected),
  "aria-description": gallery.describe(sample),
  title: gallery.run.probe?.rows ? `row ${gallery.rows[sample]} of the probe` : null,
  "data-key": `sample ${sample}`,
  onclick: () => set({ sample }),
});

/**
 * A sample with the pin that puts it first.
 * @param {Gallery} gallery
 * @param {number} sample
 * @param {HTMLElement} button that chooses the sample
 */
function pinnable(gallery, sample, button) {
  const row = gallery.rows[sample];
  const pinned = isPinned(gallery.run, row);
  const attributes = {
    type: "button",
    class: "pin",
    "aria-pressed": String(pinned),
    "aria-label": `Pin ${gallery.called(sample)}`,
    title: pinned ? "Unpin" : "Pin: stands first, in every run of this probe",
    "data-key": `pin ${sample}`,
    onclick: () => togglePin(gallery.run, row),
  };
  const path = "M9.5 1.5 14.5 6.5 11 7.5 8.5 11.5 4.5 7.5 8.5 5ZM6 10 1.5 14.5";
  const icon = s("svg", { viewBox: "0 0 16 16", width: 12, height: 12, "aria-hidden": "true" }, s("path", { d: path }));
  return h("div", { class: `sample${pinned ? " pinned" : ""}` }, button, h("button", attributes, icon));
}

/**
 * @param {Gallery} gallery
 * @param {number} sample
 * @param {Child[]} children
 */
const tile = (gallery, sample, ...children) =>
  pinnable(gallery, sample, h("button", { class: "tile", ...choosing(gallery, sample) }, children));

/**
 * Tables as bars, series as shaded lines.
 * @param {RunContext} context
 * @param {Gallery} gallery
 * @param {number[]} samples
 * @param {Deferred} deferred
 */
function barsGrid(context, gallery, samples, deferred) {
  const alerted = alertedFeatures(context.run, context.epoch);
  const tiles = samples.map((sample) => {
    const line = trajectory(context, gallery, sample, deferred);
    const place = deferred.add(h("span", { style: { display: "block" } }), (width) =>
      gallery.kind === "series" ? seriesTile(gallery, sample, width) : barsTile(gallery, sample, width, alerted),
    );
    return tile(gallery, sample, caption(gallery, sample), line, place);
  });
  return h("div", { class: "bars" }, tiles);
}

/**
 * @param {RunContext} context
 * @param {Gallery} gallery
 * @param {number[]} samples
 * @param {Deferred} deferred
 */
function tokensList(context, gallery, samples, deferred) {
  const rows = samples.map((sample) => {
    const { value } = gallery.judge(sample);
    const wrong = gallery.warning(sample);
    const moved = movedWords(gallery, sample);
    const note = h("span", { class: "note" }, gallery.residual(sample) ? "" : value, moved && [h("br", {}), moved]);
    const name = h("span", {}, called(gallery, sample), h("br", {}), note, speaksFor(gallery, sample));
    const quality = h("span", { class: `note ${wrong ? "alarm" : ""}` }, wrong || gallery.quality(sample));
    const line = h("span", {}, trajectory(context, gallery, sample, deferred, 28), quality);
    return pinnable(gallery, sample, h("button", choosing(gallery, sample), name, tokensRow(gallery, sample), line));
  });
  return h("div", { class: "texts" }, rows);
}

/**
 * A canvas with what it shows.
 * @typedef {object} KeptImage
 * @property {HTMLCanvasElement} canvas
 * @property {Gallery} gallery
 * @property {number} sample
 * @property {number} size
 * @property {any[]} look
 */

/** The gallery's canvases outlive a drawing: a step of the slider paints the maps again, and nothing else. */
class Images {
  /** @type {Map<string, KeptImage>} by size and sample */
  #inputs = new Map();
  /** @type {Map<string, KeptImage>} by size and sample */
  #maps = new Map();

  /**
   * One sample's input.
   * @param {Gallery} gallery
   * @param {number} sample
   * @param {number} size
   */
  input(gallery, sample, size) {
    const entry = Images.#entry(this.#inputs, gallery, sample, size);
    const look = [gallery.input?.data, gallery.sliceOf(sample), themeName()];
    if (Images.#changed(entry, look)) draw(entry.canvas, gallery.inputImage(sample, size));
    entry.look = look;
    return entry.canvas;
  }

  /**
   * One sample's map, as the settings have it.
   * @param {Gallery} gallery
   * @param {number} sample
   * @param {number} size
   */
  map(gallery, sample, size) {
    const entry = Images.#entry(this.#maps, gallery, sample, size);
    const look = gallery.look(sample, size);
    if (Images.#changed(entry, look)) {
      drawKept(entry.canvas, gallery.maps, `${size} ${sample}`, look, () => gallery.mapImage(sample, size));
    }
    entry.look = look;
    return entry.canvas;
  }

  /**
   * Paints the maps that stand, where those of the epoch have arrived. False where none stands.
   * @param {Gallery} gallery
   * @param {boolean} current
   */
  repaintMaps(gallery, current) {
    const standing = [...this.#maps.values()].filter(({ canvas }) => canvas.isConnected);
    if (current) for (const { sample, size } of standing) this.map(gallery, sample, size);
    return standing.length > 0;
  }

  /**
   * @param {Map<string, KeptImage>} entries
   * @param {Gallery} gallery
   * @param {number} sample
   * @param {number} size
   * @returns {KeptImage}
   */
  static #entry(entries, gallery, sample, size) {
    const key = `${size} ${sample}`;
    let entry = entries.get(key);
    if (!entry) {
      const made = { canvas: h("canvas", { class: "thumb" }), gallery, sample, size, look: [] };
      mapHint(made.canvas, () => made);
      entries.set(key, made);
      entry = made;
    }
    entry.gallery = gallery;
    return entry;
  }

  /**
   * @param {{look: any[]}} entry
   * @param {any[]} look
   */
  static #changed(entry, look) {
    return !entry.look.length || look.some((part, i) => part !== entry.look[i]);
  }
}

/** Film strips, each with its maps; they are painted again only when settings or theme changed. */
class Films {
  /** @type {WeakMap<FilmStrip, {key: string, frames: HTMLElement[]}>} */
  #painted = new WeakMap();

  /**
   * A sample's map at every epoch; a click goes there.
   * @param {RunContext} context
   * @param {Gallery} gallery
   * @param {number} sample
   */
  strip({ run, name, server }, gallery, sample) {
    const depth = gallery.depth ? gallery.mapSlice(gallery.sliceOf(sample)) : undefined;
    const parameters = { run: name, method: gallery.method.name, sample, input: gallery.part, depth };
    const film = server.read("film", parameters, run.stamp);
    if (!film) return h("p", { class: "note" }, server.refusal("film", parameters) ?? "…");
    const alerted = new Set(alarmsOf(run).map((alert) => alert.epoch));
    const current = film.epochs.reduce((best, epoch) => (epoch <= gallery.epoch ? epoch : best), film.epochs[0]);
    const frames = this.#frames(film, gallery);
    const buttons = film.epochs.map((epoch, i) => {
      const attributes = {
        type: "button",
        class: `${epoch === current ? "now" : ""} ${alerted.has(epoch) ? "tick" : ""}`,
        "aria-label": capitalized(named(run, epoch)),
        "data-key": `film ${epoch}`,
        onclick: () => set({ epoch }),
      };
      return h("button", attributes, frames[i], epoch === BEFORE ? "before" : String(epoch));
    });
    return h("div", { class: "film" }, buttons);
  }

  /**
   * @param {FilmStrip} film
   * @param {Gallery} gallery
   */
  #frames(film, gallery) {
    const key = [themeName(), gallery.map, gallery.signed, state.clip].join();
    const painted = this.#painted.get(film);
    if (painted?.key === key) return painted.frames;
    const frames = film.epochs.map((epoch, i) => filmFrame(film, gallery, epoch, i));
    this.#painted.set(film, { key, frames });
    return frames;
  }
}

/**
 * @param {FilmStrip} film
 * @param {Gallery} gallery
 * @param {number} epoch
 * @param {number} i
 */
function filmFrame(film, gallery, epoch, i) {
  const [, height, width] = film.maps.shape;
  if (!gallery.isFinite(epoch)) {
    return h("span", { class: "hatch", title: "not finite", style: { aspectRatio: `${width} / ${height}` } });
  }
  const values = film.maps.data.subarray(i * height * width, (i + 1) * height * width);
  const colouring = gallery.colouring(clipAt(values, state.clip));
  const canvas = h("canvas", {});
  draw(canvas, { values, height, width, ...colouring, size: FRAME, ratio: height / width, smooth: gallery.coarse });
  return canvas;
}
