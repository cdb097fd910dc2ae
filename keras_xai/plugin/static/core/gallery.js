/** The gallery's numbers at one epoch: maps, judgements, trajectories, in the order asked for; and the reading of them. */
import { firstChange } from "./alerts.js";
import { bytesOf } from "./api.js";
import { themeName } from "./colour.js";
import { clamp, clip, count, percent, position, short } from "./dom.js";
import { clipAt, clipOf, density, reduced } from "./image.js";
import { Memo } from "./memo.js";
import { pinnedFirst } from "./pins.js";
import { state } from "./state.js";
import { BEFORE } from "./updates.js";

const BYTES_AHEAD = 6e7; // of maps fetched before they are asked for: all epochs of a usual gallery
const REST = 300; // milliseconds without a step before maps are fetched ahead
const STAMP_BEFORE = "before"; // of what is written once
const TILE = 80; // pixels of the page that a map on a tile is wide beside its input,
const TILE_ALONE = 150; // and where the inputs were not written

/** Figures of outputs and maps that do not change while the slider moves, kept with them. */
const memo = new Memo();

/**
 * Σ |values|, never zero.
 * @param {Float32Array} values
 */
const magnitude = (values) => values.reduce((sum, value) => sum + Math.abs(value), 0) || 1;

/**
 * Total variation between two maps as shares of their magnitude: 0 the same, 1 nothing in common.
 * @param {Float32Array} before
 * @param {Float32Array} after
 */
export function moved(before, after) {
  const [a, b] = [magnitude(before), magnitude(after)];
  let sum = 0;
  for (let i = 0; i < after.length; i++) sum += Math.abs(Math.abs(after[i]) / b - Math.abs(before[i]) / a);
  return sum / 2;
}

/**
 * Where attribution went: shares of magnitude, second minus first.
 * @param {Float32Array} before
 * @param {Float32Array} after
 */
export function shareChange(before, after) {
  const [a, b] = [magnitude(before), magnitude(after)];
  return after.map((value, i) => Math.abs(value) / b - Math.abs(before[i]) / a);
}

/**
 * Each value's share of the magnitude.
 * @param {Float32Array} values
 */
export function shares(values) {
  const sum = magnitude(values);
  return values.map((value) => Math.abs(value) / sum);
}

/**
 * The least and the greatest of some numbers, with zero.
 * @param {Iterable<number>} values
 * @returns {Extent}
 */
export function rangeOf(values) {
  let [low, high] = [0, 0];
  for (const value of values) {
    if (value < low && value > -Infinity) low = value;
    else if (value > high && value < Infinity) high = value;
  }
  return high > low ? [low, high] : [0, 1];
}

/**
 * Whether the scores of each epoch are finite, for any sample.
 * @param {Outputs} outputs
 */
const finiteEpochs = (outputs) =>
  memo.once(outputs, "finite epochs", () => {
    const size = outputs.score.shape[1];
    return outputs.epochs.map((_, at) =>
      outputs.score.data.subarray(at * size, (at + 1) * size).some((score) => Number.isFinite(score)),
    );
  });

/**
 * The epoch to show for another one: where its scores are not finite the last one before; and since when they are not.
 * @param {Outputs | null} outputs
 * @param {number[]} epochs of the method
 * @param {number} epoch
 * @returns {[epoch: number, notFiniteSince: number | null]}
 */
function epochToShow(outputs, epochs, epoch) {
  if (!outputs) return [epoch, null];
  const finite = finiteEpochs(outputs);
  const at = position(outputs.epochs, epoch);
  if (finite[at]) return [epoch, null];
  const last = finite.lastIndexOf(true, at);
  const finiteEpoch = last < 0 ? epoch : epochs[position(epochs, outputs.epochs[last])];
  return [finiteEpoch, outputs.epochs[last + 1]];
}

/**
 * A gallery that was asked for.
 * @typedef {object} Reading
 * @property {Method} method
 * @property {number} epoch that is shown
 * @property {number | null} notFiniteSince
 * @property {Query} parameters of its maps
 * @property {boolean} current whether the maps are those of the epoch, or of one before that stand in for them
 * @property {boolean} [nobody] the gallery's rule chose no row
 * @property {Gallery | null} gallery null until everything is there
 */

/**
 * @typedef {object} ReadingOptions
 * @property {number} [epoch] another epoch than the slider's: its maps are compared, and come whole
 * @property {string} [name] another run,
 * @property {Run} [run] as the server tells it
 * @property {boolean} [moving] while the slider moves nothing is asked for but the maps
 */

/** Reads galleries from the server, and keeps what stands in until they have arrived. */
export class GalleryReader {
  /** @type {Map<string, AttributionMaps>} the last maps of a run and method */
  #lastMaps = new Map();
  /** @type {Map<string, Outputs>} and the last outputs of a very long run, which come update by update */
  #lastOutputs = new Map();
  #lookAhead = 0;

  /**
   * @param {Context & {run: Run}} context
   * @param {Method} method
   * @param {ReadingOptions} [options]
   * @returns {Reading}
   */
  read(context, method, options = {}) {
    const { server } = context;
    const { name = context.name, run = context.run, moving = false } = options;
    const compared = options.epoch !== undefined;
    if (!compared && showsChosen(run)) return this.#readChosen(context, method, moving);
    const course = server.read("outputs", { run: name, method: method.name }, run.stamp);
    const asked = options.epoch ?? context.epoch ?? 0;
    const untrained = method.before && (asked === BEFORE || !method.epochs.length);
    const answer = untrained ? server.read("outputs", outputsBefore(name, method), STAMP_BEFORE) : course;
    const known = answer?.epochs.length ? answer : null;
    const recorded = untrained ? BEFORE : method.epochs[position(method.epochs, asked)];
    const [epoch, notFiniteSince] = untrained ? [BEFORE, null] : epochToShow(known, method.epochs, recorded);
    const stored = run.probe?.stored ?? false;
    const kind = run.probe?.kind ?? "table";
    /** @type {Query} */
    const parameters = { run: name, method: method.name, epoch };
    // Means are enough for tiles, and a quarter of the bytes of large maps or less; whole maps are compared.
    const needsWhole = compared || state.sort === "change";
    if (kind === "image" && !needsWhole) parameters.most = Math.round(tileOf(run) * density());
    const written = writtenAt(run, epoch);
    const ofEpoch = method.epochs.length || untrained ? server.read("attribution", parameters, written) : undefined;
    const key = `${name}\n${method.name}`;
    if (ofEpoch) this.#lastMaps.set(key, ofEpoch);
    const maps = ofEpoch ?? (compared ? undefined : this.#lastMaps.get(key));
    const byUpdate = !untrained && Boolean(course?.thinned);
    const alone = byUpdate ? server.read("outputs", { run: name, method: method.name, epoch }, written) : known;
    if (byUpdate && alone) this.#lastOutputs.set(key, alone);
    const outputs = alone ?? (compared ? undefined : this.#lastOutputs.get(key));
    const current = Boolean(ofEpoch && alone);
    const inputs = stored ? (server.read("inputs", { run: name }, "once") ?? null) : null;
    const complete = maps && outputs && course && (inputs || !stored);
    const data = { run, method, epoch, notFiniteSince, parameters, written, current, moving, server };
    const gallery = complete ? new Gallery({ ...data, maps, outputs, course, inputs }) : null;
    return { method, epoch, notFiniteSince, parameters, current, gallery };
  }

  /**
   * The rows that the gallery's rule chose at the epoch: they and their inputs are others at each.
   * @param {Context & {run: Run}} context
   * @param {Method} method
   * @param {boolean} moving
   * @returns {Reading}
   */
  #readChosen({ server, name, run, epoch: asked }, method, moving) {
    const { epochs, counts } = /** @type {NonNullable<Run["chosen"]>} */ (run.chosen);
    const at = position(epochs, Math.max(asked ?? 0, epochs[0]));
    const epoch = epochs[at];
    const written = writtenAt(run, epoch);
    /** @type {Query} */
    const parameters = { run: name, method: method.name, epoch, chosen: 1 };
    const reading = {
      method,
      epoch,
      notFiniteSince: null,
      parameters,
      current: true,
      nobody: !counts[at],
      gallery: null,
    };
    if (!counts[at]) return reading;
    const outputs = server.read("outputs", parameters, written);
    const maps = server.read("attribution", parameters, written);
    const ofInputs = { run: name, epoch, chosen: 1 };
    const inputs = server.read("inputs", ofInputs, written) ?? null;
    if (!outputs?.epochs.length || !maps || (!inputs && !server.refusal("inputs", ofInputs))) return reading;
    const data = { run, method, epoch, notFiniteSince: null, parameters, written, current: true, moving, server };
    return { ...reading, gallery: new Gallery({ ...data, maps, outputs, course: outputs, inputs }) };
  }

  /**
   * When the slider rests, the maps around it are fetched one after the other, the nearest first.
   * @param {Gallery} gallery
   */
  async lookAhead(gallery) {
    const turn = ++this.#lookAhead;
    await new Promise((done) => setTimeout(done, REST));
    const { run, server, parameters } = gallery;
    const { epochs } = gallery.method;
    const at = epochs.indexOf(gallery.epoch);
    const others = epochs.map((_, i) => i).filter((i) => i !== at); // from before training on it is all
    const nearestFirst = others.sort((a, b) => Math.abs(a - at) - Math.abs(b - at));
    const count = clamp(Math.floor(BYTES_AHEAD / bytesOf(gallery.maps)), 2, 60);
    for (const i of nearestFirst.slice(0, count)) {
      if (turn !== this.#lookAhead) return;
      const [epoch, written] = [epochs[i], writtenAt(run, epochs[i])];
      await server.prefetch("attribution", { ...parameters, epoch }, written);
      const { run: name, method } = parameters;
      if (gallery.course.thinned) await server.prefetch("outputs", { run: name, method, epoch }, written);
    }
  }
}

/**
 * Whether the rows that the gallery's rule chose are shown, in the place of the fixed ones.
 * @param {Run} run
 */
export const showsChosen = (run) => Boolean(run.chosen) && state.gallery === "chosen";

/**
 * The stamp of a record: when its epoch was written.
 * @param {Run} run
 * @param {number} epoch
 */
const writtenAt = (run, epoch) => (epoch === BEFORE ? STAMP_BEFORE : String(run.wall_times[run.epochs.indexOf(epoch)]));

/**
 * What is asked for of the untrained model's outputs.
 * @param {string} name of the run
 * @param {Method} method
 */
const outputsBefore = (name, method) => ({ run: name, method: method.name, epoch: BEFORE });

/**
 * The width of a map on its tile, in pixels of the page.
 * @param {Run} run
 */
const tileOf = (run) => (run.probe?.stored ? TILE : TILE_ALONE);

/**
 * @typedef {object} GalleryData
 * @property {Run} run
 * @property {Method} method
 * @property {number} epoch
 * @property {number | null} notFiniteSince
 * @property {Query} parameters
 * @property {string} written the stamp of the maps
 * @property {boolean} current
 * @property {boolean} moving
 * @property {import("./api.js").Server} server
 * @property {AttributionMaps} maps
 * @property {Outputs} outputs of the maps' update, among others or alone
 * @property {Outputs} course the outputs over all updates
 * @property {Inputs | null} inputs
 */

export class Gallery {
  /** @param {GalleryData} data */
  constructor(data) {
    const { run, method, maps, outputs, inputs } = data;
    this.run = run;
    this.method = method;
    this.epoch = data.epoch;
    this.notFiniteSince = data.notFiniteSince;
    this.parameters = data.parameters;
    this.written = data.written;
    this.current = data.current;
    this.moving = data.moving;
    this.server = data.server;
    this.outputs = outputs;
    const part = Object.hasOwn(maps, `v${state.input}`) ? state.input : 0;
    this.part = part;
    this.maps = maps[`v${part}`];
    const counts = maps[`counts${part}`];
    /** how the whole maps' values are spread, where these are means */
    this.spread = counts && { counts: counts.data, ends: maps[`ends${part}`].data };
    this.input = inputs?.[`x${part}`] ?? null;
    this.words = inputs?.words ?? null;
    /** of each column its words, where its values number some */
    this.categories = inputs?.categories[part] ?? null;
    this.featureNames = (inputs?.columns[part]?.length ? inputs.columns[part] : inputs?.feature_names) ?? null;
    /** slices of a map of a volume; 0 of any other map */
    this.depth = maps.depth?.[`v${part}`] ?? 0;
    this.inputDepth = inputs?.depth[`x${part}`] ?? 0;
    this.size = this.maps.shape[0] / (this.depth || 1);
    this.samples = Array.from({ length: this.size }, (_, b) => b);
    /** sides of a map, of a volume those of one slice */
    this.shape = maps.whole?.[`v${part}`] ?? this.maps.shape.slice(1);
    /** values of a slice */
    this.area = this.shape.reduce((product, side) => product * side, 1);
    this.length = this.area * (this.depth || 1);
    this.kind = this.#kind(run.probe?.kind ?? "table");
    this.course = data.course;
    /** whether these are rows that a rule chose at this update: others have no course of the same rows */
    this.isChosen = outputs.rows !== undefined;
    this.courseEpochs = this.isChosen ? [] : data.course.epochs;
    /** the samples' rows in the probe; their own places where these are not known */
    this.rows = (this.isChosen ? outputs.rows : run.probe?.rows) ?? this.samples;
    this.labels = (this.isChosen ? outputs.labels : run.probe?.labels) ?? null;
    this.outputAt = position(outputs.epochs, this.epoch);
    this.classes = outputs.classes;
    this.percents = outputs.percent;
  }

  /**
   * The kind of the maps that are shown: a column beside images is a table, an image beside volumes an image.
   * @param {Kind} kind of the probe
   * @returns {Kind}
   */
  #kind(kind) {
    if (kind !== "image" && kind !== "volume") return kind;
    if (this.shape.length === 1) return "table";
    return this.depth ? "volume" : "image";
  }

  /** Whether samples are shown as images: slice by slice, where they are volumes. */
  get isPictured() {
    return this.kind === "image" || this.kind === "volume";
  }

  /** How many slices there are to choose from: those of the input where it was written, else those of its map. */
  get slices() {
    return this.inputDepth || this.depth;
  }

  /**
   * The slice of a sample that is shown.
   * @param {number} sample
   */
  sliceOf(sample) {
    if (state.depth !== null) return clamp(state.depth, 0, Math.max(0, this.slices - 1));
    if (!this.depth) return this.slices >> 1;
    const strongest = this.sliceShares(sample).reduce((best, share, k, all) => (share > all[best] ? k : best), 0);
    return clamp(Math.floor(((strongest + 0.5) * this.slices) / this.depth), 0, this.slices - 1);
  }

  /**
   * The slice of a map at a slice of its input: a map of a layer has fewer.
   * @param {number} slice
   */
  mapSlice(slice) {
    return this.depth ? Math.floor(((slice + 0.5) * this.depth) / this.slices) : 0;
  }

  /**
   * What share of a sample's magnitude lies in each slice of its map.
   * @param {number} sample
   * @returns {number[]}
   */
  sliceShares(sample) {
    return memo.once(this.maps, `slice shares ${sample}`, () => {
      const values = this.values(sample);
      const sums = Array.from({ length: this.depth }, (_, k) =>
        values.subarray(k * this.area, (k + 1) * this.area).reduce((sum, value) => sum + Math.abs(value), 0),
      );
      const whole = sums.reduce((sum, value) => sum + value, 0) || 1;
      return sums.map((sum) => sum / whole);
    });
  }

  /** A method without signs has only magnitudes to show. */
  get speaksAgainst() {
    return memo.once(this.maps, "speaks against", () => {
      const ends = this.spread?.ends ?? this.maps.low ?? this.maps.data;
      return ends.some((/** @type {number} */ value) => value < 0);
    });
  }

  get signed() {
    return this.speaksAgainst && state.values === "signed";
  }

  /** @returns {ColourMap} */
  get map() {
    return state.colours === "sequential" ? "sequential" : "ember";
  }

  /** @param {number} sample */
  values(sample) {
    return this.maps.data.subarray(sample * this.length, (sample + 1) * this.length);
  }

  /**
   * How a map becomes colour by the settings.
   * @param {number} hi the value of the strongest colour
   * @returns {Pick<import("./image.js").Drawing, "hi" | "signed" | "map">}
   */
  colouring(hi) {
    return { hi, signed: this.signed, map: this.signed ? "diverging" : this.map };
  }

  get tile() {
    return tileOf(this.run);
  }

  /**
   * Where a sample's map lies, and in which row: in its own answer where it is seen larger than the means are for.
   * @param {number} sample
   * @param {number} size
   * @param {number} slice
   * @returns {[maps: MapTensor, row: number]}
   */
  #source(sample, size, slice) {
    if (this.depth) return [this.maps, sample * this.depth + this.mapSlice(slice)];
    if (!this.spread || !this.current || size <= this.tile) return [this.maps, sample];
    const parameters = { ...this.parameters, most: undefined, sample };
    const whole = this.moving
      ? this.server.peek("attribution", parameters, this.written)
      : this.server.read("attribution", parameters, this.written);
    return whole ? [whole[`v${this.part}`], 0] : [this.maps, sample];
  }

  /**
   * Everything that a sample's map looks like depends on.
   * @param {number} sample
   * @param {number} size
   */
  look(sample, size) {
    const slice = this.sliceOf(sample);
    const [maps] = this.#source(sample, size, slice);
    const settings = [state.display, state.opacity, state.clip, this.map, this.signed];
    return [maps, sample, slice, themeName(), ...settings, devicePixelRatio, this.input?.data];
  }

  /**
   * A drawing of one sample's input.
   * @param {number} sample
   * @param {number} size
   * @param {number} [slice] of a volume
   * @returns {import("./image.js").Drawing}
   */
  inputImage(sample, size, slice = this.sliceOf(sample)) {
    const input = this.#pixels(sample, slice);
    return { input, size, ratio: this.#ratio(input) };
  }

  /**
   * A drawing of one sample's map, over its input where the settings say so.
   * @param {number} sample
   * @param {number} size
   * @param {number} [hi] the value of the strongest colour, where maps share a scale
   * @param {number} [slice] of a volume
   * @returns {import("./image.js").Drawing}
   */
  mapImage(sample, size, hi, slice = this.sliceOf(sample)) {
    const input = this.#pixels(sample, slice);
    const [maps, row] = this.#source(sample, size, slice);
    const spread = this.spread && {
      counts: this.spread.counts.subarray(256 * sample, 256 * (sample + 1)),
      low: this.spread.ends[2 * sample],
      high: this.spread.ends[2 * sample + 1],
    };
    return {
      input: state.display === "overlay" ? input : undefined,
      ...reduced(maps, row, maps.shape[1], maps.shape[2], size * density()),
      ...this.colouring(hi ?? this.#clip(sample, spread)),
      opacity: state.opacity / 100,
      smooth: this.coarse,
      size,
      ratio: this.#ratio(input),
    };
  }

  /**
   * The value of the strongest colour of a sample; of a volume that of all its slices.
   * @param {number} sample
   * @param {import("./image.js").Spread | undefined} spread
   */
  #clip(sample, spread) {
    if (!this.depth) return clipOf(this.maps, sample, this.length, state.clip, spread);
    return memo.once(this.maps, `clip ${sample} ${state.clip}`, () => clipAt(this.values(sample), state.clip));
  }

  /** @param {import("./image.js").InputPixels | undefined} input */
  #ratio(input) {
    return input ? input.height / input.width : this.shape[0] / this.shape[1];
  }

  /** A class activation map is coarser than its input: it is drawn smoothly, as it is meant. */
  get coarse() {
    const smaller = this.input && this.isPictured && this.shape[0] < this.input.shape[1];
    return this.method.name.includes("cam") || Boolean(smaller);
  }

  /**
   * @param {number} sample
   * @param {number} slice of a volume
   * @returns {import("./image.js").InputPixels | undefined}
   */
  #pixels(sample, slice) {
    if (!this.input || !this.isPictured) return undefined;
    const [, height, width, channels = 1] = this.input.shape;
    const length = height * width * channels;
    const row = this.inputDepth ? sample * this.inputDepth + slice : sample;
    const data = this.input.data.subarray(row * length, (row + 1) * length);
    return { data, height, width, channels, all: this.input.data, sample: row };
  }

  /** @param {number} index */
  className(index) {
    return this.run.probe?.class_names?.[index] ?? String(index);
  }

  /**
   * A number of (E, B) at a place among the recorded epochs.
   * @param {"target" | "prediction" | "shown" | "trajectory" | "loss" | "truth" | "score" | "baseline"} name
   * @param {number} sample
   * @param {number} [at]
   */
  #number(name, sample, at = this.outputAt) {
    return this.outputs[name].data[at * this.size + sample];
  }

  /**
   * A number as this model's outputs are read: a probability, or as it is.
   * @param {number} value
   */
  inWords(value) {
    return this.percents ? percent(value) : short(value);
  }

  /**
   * What it is, what it was taken for (null: nothing), and the number that says how surely, or what came out.
   * @param {number} sample
   */
  judge(sample) {
    const truth = this.classes ? (this.labels?.[sample] ?? null) : null;
    const prediction = this.classes ? this.#number("prediction", sample) : NaN;
    const predicted = Number.isFinite(prediction) ? prediction : null;
    const wrong = truth !== null && predicted !== null && predicted !== truth;
    return { truth, predicted, right: !wrong, value: this.inWords(this.#number("shown", sample)) };
  }

  /** How many samples are read as what they are, of how many that are read at all; null where nothing can be right. */
  get score() {
    const judged = this.samples
      .map((sample) => this.judge(sample))
      .filter(({ truth, predicted }) => truth !== null && predicted !== null);
    return judged.length ? { right: judged.filter(({ right }) => right).length, of: judged.length } : null;
  }

  /**
   * What is followed over epochs: the true class where there is one, else what was explained.
   * @param {number} sample
   */
  trajectory(sample) {
    return memo.once(this.course, `trajectory ${sample}`, () =>
      this.courseEpochs.map((_, at) => this.course.trajectory.data[at * this.size + sample]),
    );
  }

  /** @param {number} sample */
  confidence(sample) {
    return this.percents ? this.#number("trajectory", sample) : NaN;
  }

  /**
   * The loss of a sample's label: cross-entropy, or squared error; NaN without a label.
   * @param {number} sample
   */
  loss(sample) {
    return this.#number("loss", sample);
  }

  /**
   * The number that is predicted, the true one and the residual; null where no number is, or the truth is not known.
   * @param {number} sample
   */
  residual(sample) {
    const [predicted, truth] = [this.#number("shown", sample), this.#number("truth", sample)];
    if (!Number.isFinite(truth) || !Number.isFinite(predicted)) return null;
    return { predicted, truth, residual: predicted - truth, unit: unitOf(this.targetName(sample)) };
  }

  /**
   * The score of a sample and of its baseline, NaN without one.
   * @param {number} sample
   * @returns {[score: number, baseline: number]}
   */
  scores(sample) {
    return [this.#number("score", sample), this.#number("baseline", sample)];
  }

  /** The sample that is looked at. */
  get selected() {
    if (state.sample < 0) return this.sorted()[0] ?? 0;
    return Math.min(state.sample, this.size - 1);
  }

  /**
   * A sample as it is called: by its place in the gallery, of chosen rows by its row in the probe.
   * @param {number} sample
   */
  called(sample) {
    return this.isChosen ? `row ${this.rows[sample]}` : `sample ${sample}`;
  }

  /**
   * The class, label or column that a sample's attribution speaks for.
   * @param {number} sample
   */
  targetName(sample) {
    return this.outputs.targets[this.#number("target", sample)];
  }

  /**
   * Whether a sample's attribution speaks for another class than the one that the sample is called by.
   * @param {number} sample
   */
  explainsAnother(sample) {
    if (!this.classes) return this.isMixed;
    const { truth, predicted } = this.judge(sample);
    const called = truth ?? predicted;
    return called !== null && this.#number("target", sample) !== called;
  }

  /** Whether values are shown without a sign: a slope of a token says nothing of its sign, a word has no value to grow. */
  get magnitudes() {
    return this.method.quantity === "slope" && this.kind === "tokens";
  }

  /** Whether the samples are explained for different classes. */
  get isMixed() {
    return new Set(this.samples.map((sample) => this.targetName(sample))).size > 1;
  }

  /**
   * Whether the scores of an epoch are finite: where they are not, a map is written as zeros.
   * @param {number} epoch
   */
  isFinite(epoch) {
    return epoch === BEFORE || finiteEpochs(this.course)[position(this.courseEpochs, epoch)];
  }

  /**
   * What a negative and a positive value of these samples say.
   * @param {number[]} [samples]
   * @returns {[string, string]}
   */
  sides(samples = this.samples) {
    const names = [...new Set(samples.map((sample) => this.targetName(sample)))];
    const mixed = names.length > 1;
    const target = mixed ? "the class named at each sample" : clip(names[0], 32);
    const graded = this.classes || this.outputs.task === "labels";
    if (this.isPictured && !this.signed) return ["none", mixed ? "strong" : `strong for ${target}`];
    if (this.magnitudes) return ["flat", mixed ? "steep" : `steep for ${target}`];
    if (this.method.quantity === "other") {
      return ["low", `high for ${mixed ? "the output explained at each sample" : target}`];
    }
    if (this.method.quantity === "slope") {
      const graph = graded ? `score of ${target}` : target;
      return [`${mixed ? "score" : graph} falls`, "rises as the value grows"];
    }
    if (mixed) return graded ? ["against", `for ${target}`] : ["lowers", "raises the output named at each sample"];
    return graded ? [`against ${target}`, `for ${target}`] : [`lowers ${target}`, `raises ${target}`];
  }

  /**
   * The range of the bars, zero within: of all samples, or of one alone as the settings ask.
   * @param {number} sample
   * @param {(sample: number) => number[]} rowsOf
   */
  reach(sample, rowsOf) {
    if (state.scale === "own") return rangeOf(rowsOf(sample));
    return memo.once(this.maps, "reach", () => rangeOf(this.samples.flatMap(rowsOf)));
  }

  /** @param {number} sample */
  error(sample) {
    const errors = this.outputs.completeness_error;
    return errors ? errors.data[this.outputAt * this.size + sample] : NaN;
  }

  /**
   * How well a local surrogate fits the model around a sample, where the method is one.
   * @param {number} sample
   */
  fit(sample) {
    const fits = this.outputs.r2;
    return fits ? fits.data[this.outputAt * this.size + sample] : NaN;
  }

  /**
   * How far the method's sums are from the change of the score, how well its surrogate fits; "" where neither is known.
   * @param {number} sample
   */
  quality(sample) {
    const [error, fit] = [this.error(sample), this.fit(sample)];
    const parts = [];
    if (Number.isFinite(error)) parts.push(`completeness error ${percent(error)}`);
    if (Number.isFinite(fit)) parts.push(`local R² ${fit.toFixed(2)}`);
    return parts.join(" · ");
  }

  /**
   * Why the values of a sample are not to be added up, "" where they may be.
   * @param {number} sample
   */
  warning(sample) {
    const error = this.error(sample);
    if (!(error > this.outputs.large_error)) return "";
    return `completeness error ${percent(error)}${this.isPictured ? "" : ": the sum misses the score"}`;
  }

  /** The epoch before the first alert up to here: what "change" is measured from. */
  get base() {
    const { epochs } = this.method;
    if (this.epoch === BEFORE) return BEFORE;
    const alert = firstChange(this.run, this.epoch);
    return epochs[position(epochs, alert ? alert.epoch - 1 : epochs[0])];
  }

  /** The samples in the order the settings ask for, the pinned ones first. */
  sorted() {
    return pinnedFirst(this.run, this.#inOrder(), (sample) => this.rows[sample]);
  }

  #inOrder() {
    if (state.sort === "confidence" && this.percents) return this.#by((b) => 1 - this.confidence(b));
    if (state.sort === "error") return this.#by((b) => this.error(b));
    if (state.sort === "loss") return this.#by((b) => this.loss(b));
    const changes = state.sort === "change" ? this.changes : null;
    return changes ? this.#by((b) => changes[b]) : this.samples;
  }

  /**
   * How far the map of each sample moved since `base`, 0 to 1; null where that is the shown epoch, or is not there yet.
   * @returns {number[] | null}
   */
  get changes() {
    if (this.isChosen || this.base === this.epoch) return null;
    const parameters = { ...this.parameters, epoch: this.base };
    const before = this.server.read("attribution", parameters, writtenAt(this.run, this.base))?.[`v${this.part}`];
    if (before?.data.length !== this.maps.data.length) return null;
    const { data } = before;
    return memo.once(this.maps, `moved since ${this.base}`, () =>
      this.samples.map((b) => moved(data.subarray(b * this.length, (b + 1) * this.length), this.values(b))),
    );
  }

  /**
   * The clusters of the chosen sample's class, where the settings ask for them and they are there; else null.
   * @returns {ClassClusters | null}
   */
  get clusters() {
    if (state.sort !== "cluster") return null;
    const { run, method, epoch } = this.parameters;
    if (this.isChosen) return null;
    const sample = Math.max(0, state.sample);
    return this.server.read("clusters", { run, method, epoch, sample }, this.written) ?? null;
  }

  /**
   * The samples under titles: in the clusters of one class and those of other classes, or all of them without a title.
   * @returns {{title: string, samples: number[]}[]}
   */
  grouped() {
    const answer = this.clusters;
    if (!answer?.clusters.length) return [{ title: "", samples: this.sorted() }];
    const groups = answer.clusters.map((samples, i) => {
      const title = `Class ${answer.name}, cluster ${i + 1}: ${count(samples.length, "sample")}`;
      return { title, samples };
    });
    const clustered = new Set(answer.clusters.flat());
    const others = this.samples.filter((sample) => !clustered.has(sample));
    return others.length ? [...groups, { title: "Other samples", samples: others }] : groups;
  }

  /**
   * The samples, those with the largest value first.
   * @param {(sample: number) => number} value
   */
  #by(value) {
    const values = this.samples.map(value);
    return [...this.samples].sort((a, b) => (values[b] || 0) - (values[a] || 0));
  }

  /**
   * A sample in one sentence, for those who listen.
   * @param {number} sample
   */
  describe(sample) {
    const { truth, predicted, value } = this.judge(sample);
    const called = this.called(sample);
    const number = this.residual(sample);
    if (number) return `${called}, ${residualWords(number)}`;
    const name = truth === null ? called : `${called}, true class ${this.className(truth)}`;
    if (predicted === null) return `${name}, ${this.targetName(sample)} ${value}`;
    return `${name}, predicted ${this.className(predicted)}, ${value}`;
  }
}

/**
 * The unit in a name, as in "price [EUR]" or "height (cm)"; "" where it names none.
 * @param {string} name
 */
const unitOf = (name) => /[([]([^()[\]]{1,12})[)\]]$/.exec(name)?.[1] ?? "";

/**
 * "93.2, true 151, −58"
 * @param {{predicted: number, truth: number, residual: number, unit: string}} number
 */
export function residualWords({ predicted, truth, residual, unit }) {
  const after = unit && ` ${unit}`;
  const sign = residual < 0 ? "−" : "+";
  const off = Math.abs(residual);
  const size = short(off < 10 ? Number(off.toPrecision(2)) : Math.round(off));
  const digits = short(Number(predicted.toPrecision(3)));
  return `${digits}${after}, true ${short(Number(truth.toPrecision(3)))}, ${residual === 0 ? "±0" : sign + size}`;
}
