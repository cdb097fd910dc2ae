/**
 * A few samples of the gallery beside the story of a run: those whose answer moved most since before an alert, else those that
 * the model is least sure of. It needs the model's outputs alone, no maps.
 */
import { firstChange } from "../core/alerts.js";
import { clip, h, panel, percent, position, short } from "../core/dom.js";
import { draw } from "../core/image.js";
import { outputsOverTime } from "../core/panel_numbers.js";
import { set } from "../core/state.js";
import { pixelsOf } from "../marks/input_pixels.js";
import { spark } from "../marks/slopes.js";
import { linkToSample } from "./links.js";

const ROW = 32; // pixels of height
const READING = 24; // pixels of height of the line that says what the numbers are
const THUMBNAIL = 26; // pixels of width
const LETTERS = 34;

/**
 * The samples, and why these.
 * @param {RunContext} context
 * @param {Summary} summary
 * @param {number} height
 * @param {import("../core/dom.js").Deferred} deferred
 * @returns {HTMLElement | null} null where no sample was explained
 */
export function samplesPanel(context, summary, height, deferred) {
  const { run, name, epoch, server } = context;
  const method = run.methods.find((candidate) => candidate.name === run.opens_with) ?? run.methods[0];
  if (!method?.epochs.length) return null;
  const outputs = server.read("outputs", { run: name, method: method.name }, run.stamp);
  if (!outputs) return panel("c4", "Samples", { help: "samples_moved" }, h("p", { class: "note" }, "…"));
  if (!outputs.epochs.length) return null;
  const course = new Course(run, outputs, epoch, summary.before);
  const isCertainty = outputs.percent && outputs.classes && run.probe?.labels && !firstChange(run, epoch);
  const ordered = isCertainty ? course.leastCertain() : course.mostMoved();
  const title = isCertainty ? "Least certain samples" : "Samples that moved most";
  const what = outputs.percent && outputs.classes && run.probe?.labels ? "Probability of the true class" : "Output";
  const reading = `${what}, ${run.unit} ${outputs.epochs[course.from]} → ${outputs.epochs[course.at]}.`;
  const about = { help: "samples_moved", csv: () => outputsOverTime(outputs, run.unit) };
  const out = panel("c4", title, about, h("p", { class: "note reading" }, reading));
  if (!ordered.length) out.append(h("p", { class: "note alarm" }, "No output is finite at this moment."));
  const inputs = run.probe?.stored && isPictured(run) ? server.read("inputs", { run: name }, "once") : undefined;
  const list = h("ol", { class: "samples" });
  out.append(list);
  for (const sample of ordered.slice(0, Math.max(3, Math.floor((height - READING) / ROW)))) {
    list.append(h("li", {}, sampleRow(context, course, sample, inputs, deferred)));
  }
  return out;
}

/** @param {Run} run */
const isPictured = (run) => run.probe?.kind === "image" || run.probe?.kind === "volume";

/** What the model says of each sample over epochs: of the true class where there is one. */
class Course {
  /**
   * @param {Run} run
   * @param {Outputs} outputs
   * @param {number} epoch
   * @param {number} before
   */
  constructor(run, outputs, epoch, before) {
    this.run = run;
    this.outputs = outputs;
    this.at = position(outputs.epochs, epoch);
    this.from = position(outputs.epochs, Math.min(before, epoch));
    this.size = outputs.trajectory.shape[1];
  }

  /**
   * @param {number} sample
   * @param {number} at
   */
  value(sample, at) {
    return this.outputs.trajectory.data[at * this.size + sample];
  }

  /** @param {number} sample */
  values(sample) {
    return this.outputs.epochs.map((_, at) => this.value(sample, at));
  }

  leastCertain() {
    return this.#ordered((sample) => -this.value(sample, this.at));
  }

  mostMoved() {
    return this.#ordered((sample) => Math.abs(this.value(sample, this.at) - this.value(sample, this.from)));
  }

  /**
   * Samples by a number, the largest first; without those that have none.
   * @param {(sample: number) => number} key
   */
  #ordered(key) {
    const samples = Array.from({ length: this.size }, (_, sample) => sample);
    return samples.filter((sample) => Number.isFinite(key(sample))).sort((a, b) => key(b) - key(a));
  }

  /**
   * A sample's class, and what it is taken for.
   * @param {number} sample
   * @returns {{words: string, wrong: boolean}}
   */
  named(sample) {
    const truth = this.outputs.classes ? this.run.probe?.labels?.[sample] : undefined;
    if (truth === undefined) return { words: `sample ${sample}`, wrong: false };
    const predicted = this.outputs.prediction.data[this.at * this.size + sample];
    const wrong = Number.isFinite(predicted) && predicted !== truth;
    return { words: wrong ? `${this.#class(truth)} as ${this.#class(predicted)}` : this.#class(truth), wrong };
  }

  /** @param {number} index */
  #class(index) {
    return this.run.probe?.class_names?.[index] ?? String(index);
  }
}

/**
 * A sample in one line: a click shows it among the attributions.
 * @param {RunContext} context
 * @param {Course} course
 * @param {number} sample
 * @param {Inputs | undefined} inputs
 * @param {import("../core/dom.js").Deferred} deferred
 */
function sampleRow({ run, epoch }, course, sample, inputs, deferred) {
  const { words, wrong } = course.named(sample);
  const inWords = course.outputs.percent ? percent : short;
  const [from, now] = [course.value(sample, course.from), course.value(sample, course.at)];
  const name = h("span", { class: wrong ? "name alarm" : "name", title: words }, clip(words, LETTERS));
  const numbers = h(
    "span",
    { class: "was" },
    course.from < course.at ? `${inWords(from)} → ` : "",
    h("b", {}, inWords(now)),
  );
  const line = deferred.add(h("span", { class: "line" }), (width) => {
    const alert = firstChange(run, epoch)?.epoch;
    const extent = course.outputs.percent ? undefined : extentOf(course.values(sample));
    return spark(run, course.outputs.epochs, course.values(sample), course.at, alert, width, 20, extent);
  });
  const pixels = inputs && pixelsOf(inputs, sample);
  const thumbnail = pixels ? h("canvas", {}) : null;
  if (thumbnail && pixels) draw(thumbnail, { input: pixels, size: THUMBNAIL, ratio: pixels.height / pixels.width });
  const attributes = {
    type: "button",
    class: thumbnail ? "pictured" : "",
    title: `See sample ${sample}`,
    "data-key": `overview sample ${sample}`,
    onclick: () => set(linkToSample(sample)),
  };
  return h("button", attributes, thumbnail, name, line, numbers);
}

/**
 * The least and the greatest finite value.
 * @param {number[]} values
 * @returns {[number, number]}
 */
function extentOf(values) {
  const finite = values.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  return high > low ? [low, high] : [low - 1, low + 1];
}
