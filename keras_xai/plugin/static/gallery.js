/** The gallery's numbers at one epoch: maps, judgements, trajectories, in the order asked for. */
import { ask, askAhead, bytesOf, known } from "./api.js";
import { themeName } from "./colour.js";
import { clamp, clip, percent, position, short } from "./dom.js";
import { clipAt, clipOf, density, reduced } from "./image.js";
import { state } from "./state.js";

/** Σ |values|, never zero. */
const total = (values) => values.reduce((sum, value) => sum + Math.abs(value), 0) || 1;

const signs = new WeakMap();
/** Lines by outputs and sample: they do not change while the slider moves. */
const trajectories = new WeakMap();
/** Which epochs of some outputs have a finite score. */
const finites = new WeakMap();
/** The range that bars of all samples need, by maps. */
const reaches = new WeakMap();

/** Last maps of a run and method: they stand in until the next epoch's have arrived. */
const stale = new Map();

const AHEAD = 6e7; // bytes of maps fetched before they are asked for: all epochs of a usual gallery
let ahead = 0;

/** Total variation between two maps as shares of their magnitude: 0 the same, 1 nothing in common. */
export function moved(before, after) {
  const [a, b] = [total(before), total(after)];
  let sum = 0;
  for (let i = 0; i < after.length; i++) sum += Math.abs(Math.abs(after[i]) / b - Math.abs(before[i]) / a);
  return sum / 2;
}

function finiteEpochs(outputs) {
  if (!finites.has(outputs)) {
    const size = outputs.score.shape[1];
    finites.set(
      outputs,
      outputs.epochs.map((_, at) => outputs.score.data.subarray(at * size, (at + 1) * size).some(Number.isFinite)),
    );
  }
  return finites.get(outputs);
}

/** The epoch to show for one that is wanted: where its scores are not finite the last one before, and since when they are not. */
function epochToShow(outputs, epochs, wanted) {
  if (!outputs) return [wanted, null];
  const finite = finiteEpochs(outputs);
  const at = position(outputs.epochs, wanted);
  if (finite[at]) return [wanted, null];
  const last = finite.lastIndexOf(true, at);
  return [last < 0 ? wanted : epochs[position(epochs, outputs.epochs[last])], outputs.epochs[last + 1]];
}

export class Gallery {
  /**
   * @param {any} context of the render
   * @param {{name: string, title: string, epochs: number[]}} method
   * @param {{epoch?: number, name?: string, run?: any}} [other] another epoch or run: its maps are compared, and come whole
   * @param {{moving?: boolean}} [how] while the slider moves nothing is asked for but the maps
   */
  constructor(context, method, other = {}, { moving = false } = {}) {
    this.name = other.name ?? context.name;
    this.run = other.run ?? context.run;
    this.method = method;
    const outputs = ask("outputs", { run: this.name, method: method.name }, this.run.stamp);
    this.outputs = outputs?.epochs.length ? outputs : null;
    [this.epoch, this.notFiniteSince] = epochToShow(
      this.outputs,
      method.epochs,
      method.epochs[position(method.epochs, other.epoch ?? context.epoch)],
    );
    this.parameters = { run: this.name, method: method.name, epoch: this.epoch };
    this.kind = this.run.probe?.kind ?? "table";
    this.moving = moving;
    // Means are enough for tiles, and a quarter of the bytes of large maps or less; whole maps are compared.
    if (this.kind === "image" && other.epoch === undefined && state.sort !== "change")
      this.parameters.most = Math.round(this.tile * density());
    this.written = String(this.run.wall_times[this.run.epochs.indexOf(this.epoch)]);
    const fresh = method.epochs.length ? ask("attribution", this.parameters, this.written) : undefined;
    const key = `${this.name}\n${method.name}`;
    if (fresh) stale.set(key, fresh);
    const maps = fresh ?? (other.epoch === undefined ? stale.get(key) : undefined);
    this.fresh = Boolean(fresh);
    const inputs = this.run.probe?.stored ? ask("inputs", { run: this.name }, "once") : null;
    const part = (this.part = Object.hasOwn(maps ?? {}, `v${state.input}`) ? state.input : 0);
    this.maps = maps?.[`v${part}`];
    this.spread = maps?.[`counts${part}`] && { counts: maps[`counts${part}`].data, ends: maps[`ends${part}`].data };
    this.input = inputs?.[`x${part}`] ?? null;
    this.words = inputs?.words ?? null;
    this.categories = inputs?.categories[part] ?? null; // of each column its words, where its values number some
    this.featureNames = (inputs?.columns[part]?.length ? inputs.columns[part] : inputs?.feature_names) ?? null;
    this.ready = Boolean(this.maps && this.outputs && (inputs || !this.run.probe?.stored));
    if (!this.ready) return;
    this.size = this.maps.shape[0];
    this.samples = Array.from({ length: this.size }, (_, b) => b);
    this.shape = maps.whole?.[`v${part}`] ?? this.maps.shape.slice(1);
    if (this.kind === "image" && this.shape.length === 1) this.kind = "table"; // a column beside the pictures
    this.length = this.shape.reduce((a, b) => a * b, 1);
    this.outputEpochs = this.outputs.epochs;
    this.outputAt = position(this.outputEpochs, this.epoch);
    this.classes = this.outputs.classes;
    this.percents = this.outputs.percent;
  }

  /** When the slider rests, the maps around it are fetched one after the other, the nearest first. */
  async lookAhead() {
    const turn = ++ahead;
    await new Promise((done) => setTimeout(done, 300));
    const { epochs } = this.method;
    const at = epochs.indexOf(this.epoch);
    const around = epochs
      .map((_, i) => i)
      .filter((i) => i !== at)
      .sort((a, b) => Math.abs(a - at) - Math.abs(b - at));
    for (const i of around.slice(0, clamp(Math.floor(AHEAD / bytesOf(this.maps)), 2, 60))) {
      if (turn !== ahead) return;
      await askAhead(
        "attribution",
        { ...this.parameters, epoch: epochs[i] },
        String(this.run.wall_times[this.run.epochs.indexOf(epochs[i])]),
      );
    }
  }

  /** A method without signs has only magnitudes to show. */
  get speaksAgainst() {
    if (!signs.has(this.maps))
      signs.set(
        this.maps,
        (this.spread?.ends ?? this.maps.low ?? this.maps.data).some((value) => value < 0),
      );
    return signs.get(this.maps);
  }

  get signed() {
    return this.speaksAgainst && state.values === "signed";
  }

  get map() {
    return state.colours === "sequential" ? "sequential" : "ember";
  }

  values(sample) {
    return this.maps.data.subarray(sample * this.length, (sample + 1) * this.length);
  }

  /** How a map becomes colour by the settings; `hi` shares a scale between maps. */
  colouring(values, hi) {
    return { hi: hi ?? clipAt(values, state.clip), signed: this.signed, map: this.signed ? "diverging" : this.map };
  }

  /** The width of a map on its tile, in pixels of the page. */
  get tile() {
    return this.run.probe?.stored ? 80 : 150;
  }

  /** Where a sample's map lies, and in which row: in its own answer where it is seen larger than the means are for. */
  #found(sample, size) {
    if (!this.spread || !this.fresh || size <= this.tile) return [this.maps, sample];
    const parameters = { ...this.parameters, most: undefined, sample };
    const whole = (this.moving ? known : ask)("attribution", parameters, this.written);
    return whole ? [whole[`v${this.part}`], 0] : [this.maps, sample];
  }

  /** Everything a sample's map looks like depends on. */
  look(sample, size) {
    return [
      this.#found(sample, size)[0],
      sample,
      themeName(),
      state.display,
      state.opacity,
      state.clip,
      this.map,
      this.signed,
      devicePixelRatio,
      this.input?.data,
    ];
  }

  /** A drawing of one sample: its input alone, or its map over it. */
  picture(sample, size, mapped, { hi } = {}) {
    const input = this.#pixels(sample);
    const ratio = input ? input.height / input.width : this.shape[0] / this.shape[1];
    if (!mapped) return { input, size, ratio };
    const [maps, row] = this.#found(sample, size);
    const seen = reduced(maps, row, maps.shape[1], maps.shape[2], size * density());
    const spread = this.spread && {
      counts: this.spread.counts.subarray(256 * sample, 256 * (sample + 1)),
      low: this.spread.ends[2 * sample],
      high: this.spread.ends[2 * sample + 1],
    };
    const clip = hi ?? clipOf(this.maps, sample, this.length, state.clip, spread);
    return {
      input: state.display === "overlay" ? input : undefined,
      ...seen,
      ...this.colouring(null, clip),
      opacity: state.opacity / 100,
      smooth: this.coarse,
      size,
      ratio,
    };
  }

  /** A class activation map is coarser than its input: it is drawn smoothly, as it is meant. */
  get coarse() {
    return (
      this.method.name.includes("cam") ||
      Boolean(this.input && this.kind === "image" && this.shape[0] < this.input.shape[1])
    );
  }

  #pixels(sample) {
    if (!this.input || this.kind !== "image") return undefined;
    const [, height, width, channels = 1] = this.input.shape;
    const n = height * width * channels;
    return {
      data: this.input.data.subarray(sample * n, (sample + 1) * n),
      height,
      width,
      channels,
      all: this.input.data,
      sample,
    };
  }

  className(index) {
    return this.run.probe?.class_names?.[index] ?? String(index);
  }

  /** A number of (E, B) at a place among the recorded epochs. */
  #number(name, sample, at = this.outputAt) {
    return this.outputs[name].data[at * this.size + sample];
  }

  /** A number as this model's outputs are read: a probability, or as it is. */
  inWords(value) {
    return this.percents ? percent(value) : short(value);
  }

  /** What it is, what it was taken for (null: nothing), and the number that says how surely, or what came out. */
  judge(sample, at = this.outputAt) {
    const truth = this.classes ? (this.run.probe?.labels?.[sample] ?? null) : null;
    const said = this.classes ? this.#number("prediction", sample, at) : NaN;
    const predicted = Number.isFinite(said) ? said : null;
    const wrong = truth !== null && predicted !== null && predicted !== truth;
    return { truth, predicted, right: !wrong, value: this.inWords(this.#number("shown", sample, at)) };
  }

  /** How many samples are read as what they are, of how many that are read at all; null where nothing can be right. */
  get score() {
    const judged = this.samples
      .map((sample) => this.judge(sample))
      .filter(({ truth, predicted }) => truth !== null && predicted !== null);
    return judged.length ? { right: judged.filter(({ right }) => right).length, of: judged.length } : null;
  }

  /** What is followed over epochs: the true class where there is one, else what was explained. */
  trajectory(sample) {
    let found = trajectories.get(this.outputs);
    if (!found) trajectories.set(this.outputs, (found = []));
    return (found[sample] ??= this.outputEpochs.map((_, at) => this.#number("trajectory", sample, at)));
  }

  confidence(sample) {
    return this.percents ? this.trajectory(sample)[this.outputAt] : NaN;
  }

  /** The class, label or column that a sample's attribution speaks for. */
  targetName(sample) {
    return this.outputs.targets[this.#number("target", sample)];
  }

  /** Whether a sample's attribution speaks for another class than the one that the sample is called by. */
  explainsAnother(sample) {
    if (!this.classes) return this.isMixed;
    const { truth, predicted } = this.judge(sample);
    const called = truth ?? predicted;
    return called !== null && this.#number("target", sample) !== called;
  }

  /** Whether values are shown without a sign: a slope of a token says nothing of its sign, a word has no value to grow. */
  get magnitudes() {
    return this.method.slope && this.kind === "tokens";
  }

  /** Whether the samples are explained for different classes. */
  get isMixed() {
    return new Set(this.samples.map((sample) => this.targetName(sample))).size > 1;
  }

  /** Whether the scores of an epoch are finite: where they are not, a map is written as zeros. */
  isFinite(epoch) {
    return finiteEpochs(this.outputs)[position(this.outputEpochs, epoch)];
  }

  /** What a negative and a positive value of these samples say. @returns {[string, string]} */
  sides(samples = this.samples) {
    const names = [...new Set(samples.map((sample) => this.targetName(sample)))];
    const mixed = names.length > 1;
    const of = mixed ? "the class named at each sample" : clip(names[0], 32);
    const graded = this.classes || this.outputs.task === "labels";
    if (this.kind === "image" && !this.signed) return ["none", mixed ? "strong" : `strong for ${of}`];
    if (this.magnitudes) return ["flat", mixed ? "steep" : `steep for ${of}`];
    if (this.method.slope)
      return [`${mixed ? "score" : graded ? `score of ${of}` : of} falls`, "rises as the value grows"];
    if (mixed) return graded ? ["against", `for ${of}`] : ["lowers", "raises the output named at each sample"];
    return graded ? [`against ${of}`, `for ${of}`] : [`lowers ${of}`, `raises ${of}`];
  }

  /** The range of the bars, zero within: of all samples, or of one alone as the settings ask. */
  reach(sample, rowsOf) {
    if (state.scale === "own") return rangeOf(rowsOf(sample));
    if (!reaches.has(this.maps)) reaches.set(this.maps, rangeOf(this.samples.flatMap((one) => rowsOf(one))));
    return reaches.get(this.maps);
  }

  error(sample) {
    const errors = this.outputs.completeness_error;
    return errors ? errors.data[this.outputAt * this.size + sample] : NaN;
  }

  /** How well a local surrogate fits the model around a sample, where the method is one. */
  fit(sample) {
    const fits = this.outputs.r2;
    return fits ? fits.data[this.outputAt * this.size + sample] : NaN;
  }

  /** What the method owes: how far its sums are from the change of the score, how well its surrogate fits. */
  owes(sample) {
    const [error, fit] = [this.error(sample), this.fit(sample)];
    return [
      Number.isFinite(error) && `completeness error ${percent(error)}`,
      Number.isFinite(fit) && `local R² ${fit.toFixed(2)}`,
    ]
      .filter(Boolean)
      .join(" · ");
  }

  /** Why the values of a sample are not to be added up, "" where they may be. */
  warning(sample) {
    const error = this.error(sample);
    if (!(error > this.outputs.large_error)) return "";
    return `completeness error ${percent(error)}${this.kind === "image" ? "" : ": the sum misses the score"}`;
  }

  /** The epoch before the last alert up to here: what "change" is measured from. */
  get base() {
    const past = this.run.alerts.filter((alert) => alert.epoch <= this.epoch);
    const wanted = past.length ? past[0].epoch - 1 : this.method.epochs[0];
    return this.method.epochs[position(this.method.epochs, wanted)];
  }

  /** The samples in the order the settings ask for. */
  sorted() {
    const by = (value) => {
      const found = this.samples.map(value);
      return [...this.samples].sort((a, b) => (found[b] || 0) - (found[a] || 0));
    };
    if (state.sort === "confidence" && this.percents) return by((b) => 1 - this.confidence(b));
    if (state.sort === "error") return by((b) => this.error(b));
    if (state.sort !== "change" || this.base === this.epoch) return this.samples;
    const written = this.run.wall_times[this.run.epochs.indexOf(this.base)];
    const before = ask("attribution", { ...this.parameters, epoch: this.base }, String(written))?.[`v${this.part}`];
    return before?.data.length === this.maps.data.length
      ? by((b) => moved(before.data.subarray(b * this.length, (b + 1) * this.length), this.values(b)))
      : this.samples;
  }

  /** A sample in one sentence, for those who listen. */
  describe(sample) {
    const { truth, predicted, value } = this.judge(sample);
    const is = truth === null ? `sample ${sample}` : `sample ${sample}, true class ${this.className(truth)}`;
    return predicted === null
      ? `${is}, ${this.targetName(sample)} ${value}`
      : `${is}, predicted ${this.className(predicted)}, ${value}`;
  }
}

/** The least and the greatest of some numbers, with zero. @returns {[number, number]} */
export function rangeOf(values) {
  let [low, high] = [0, 0];
  for (const value of values) {
    if (value < low && value > -Infinity) low = value;
    else if (value > high && value < Infinity) high = value;
  }
  return high > low ? [low, high] : [0, 1];
}
