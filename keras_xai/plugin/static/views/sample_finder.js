/** Finds samples of the gallery: by class, the wrong ones, by what they hold. */
import { h, short } from "../core/dom.js";
import { choice, filterBox, matcher } from "../core/filter.js";
import { Memo } from "../core/memo.js";
import { set, state } from "../core/state.js";

/** @typedef {import("../core/gallery.js").Gallery} Gallery */
/** @typedef {{title: string, samples: number[]}} Group */

const SAMPLES = 4; // of more there is a filter
const memo = new Memo();

/**
 * What a sample holds, in words: its tokens, or the names and values of its columns.
 * @param {Gallery} gallery
 * @param {number} sample
 * @returns {string}
 */
function textOf(gallery, sample) {
  const { input, words, categories, featureNames } = gallery;
  if (words) return words[sample].join(" ");
  if (!input || gallery.isPictured || gallery.kind === "series") return "";
  return memo.once(input, `text ${gallery.part} ${sample}`, () => {
    const size = input.data.length / gallery.size;
    const values = [...input.data.subarray(sample * size, (sample + 1) * size)];
    return values
      .map((value, f) => `${featureNames?.[f] ?? `column ${f}`}=${categories?.[f]?.[value] ?? short(value)}`)
      .join(" ");
  });
}

/**
 * Whether the filters find a sample.
 * @param {Gallery} gallery
 * @param {(text: string) => boolean} test
 * @returns {(sample: number) => boolean}
 */
const finds = (gallery, test) => (sample) => {
  const { truth, predicted, right } = gallery.judge(sample);
  const names = [truth, predicted].map((index) => (index === null ? "" : gallery.className(index)));
  if (state.wrongOnly && right) return false;
  if (state.sampleClass && names[0] !== state.sampleClass) return false;
  return test([`sample ${sample}`, ...names, textOf(gallery, sample)].join(" "));
};

/**
 * The groups of the gallery with the samples that are found, under the boxes that find them.
 * @param {Gallery} gallery
 * @param {HTMLElement} section that the boxes are added to
 * @returns {Group[]}
 */
export function foundGroups(gallery, section) {
  const groups = gallery.grouped();
  if (gallery.size <= SAMPLES) return groups;
  const { test } = matcher(state.sampleFilter);
  const passes = finds(gallery, test);
  const found = groups.map(({ title, samples }) => ({ title, samples: samples.filter(passes) }));
  /** @param {Group[]} of */
  const sum = (of) => of.reduce((total, { samples }) => total + samples.length, 0);
  section.append(finder(gallery, sum(found), sum(groups)));
  if (!sum(found)) section.append(h("p", { class: "note" }, "No sample of the gallery is found."));
  return found.filter(({ samples }) => samples.length);
}

/**
 * @param {Gallery} gallery
 * @param {number} shown
 * @param {number} all
 */
function finder(gallery, shown, all) {
  const box = filterBox("sampleFilter", gallery.words ? "Filter samples by their words" : "Filter samples");
  const classes = [...new Set(gallery.samples.map((sample) => gallery.judge(sample).truth))]
    .filter((index) => index !== null)
    .map((index) => gallery.className(Number(index)));
  const byClass =
    classes.length > 1 || state.sampleClass
      ? choice("sampleClass", "Class", [
          ["", "All classes"],
          ...[...new Set([...classes, state.sampleClass])]
            .filter(Boolean)
            .map((name) => /** @type {[string, string]} */ ([name, name])),
        ])
      : null;
  const wrong = h("input", {
    type: "checkbox",
    "data-key": "wrong only",
    "aria-label": "wrong only",
    onchange: () => set({ wrongOnly: wrong.checked }),
  });
  wrong.checked = state.wrongOnly;
  const wrongOnly = gallery.score ? h("label", {}, wrong, "wrong only") : null;
  return h("div", { class: "finder" }, box.count(shown, all), byClass, wrongOnly);
}
