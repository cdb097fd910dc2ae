/** Long names side by side: cut where they agree, kept where they differ. `analysis/names.py` is the same for the figures. */

const CUT = "…";
const MIN_CUT = 3; // letters; fewer are not worth a mark
const WORDS = /(?:[^/_\-.\s:,]|\.(?=\d))+|[/_\-.\s:,]/gu; // a number as 0.001 is one word

/** @param {string} text */
const lengthOf = (text) => [...text].length;

/**
 * Names cut to `length` letters, such that different names stay different. A name that fits stays whole. Of the others first
 * the folders are left out that all of them share, then the words, then their middle. Where even that would make two of them
 * alike, these stay longer.
 * @param {string[]} names of one list, legend or axis
 * @param {number} length letters that there is room for
 * @returns {string[]}
 */
export function distinct(names, length) {
  const wholes = [...new Set(names)];
  const long = wholes.filter((name) => lengthOf(name) > length);
  let cut = long;
  for (const sectionsOf of [byFolder, byWord]) {
    if (long.length > 1 && isLonger(cut, length)) cut = withoutCommon(sectionsOf(cut), length);
  }
  const labels = new Map(wholes.map((name) => [name, name]));
  long.forEach((name, i) => labels.set(name, clip(cut[i], length)));
  keepApart(labels, new Map(long.map((name, i) => [name, cut[i]])), length);
  return names.map((name) => labels.get(name) ?? name);
}

/**
 * Whether a label is longer than there is room for.
 * @param {string[]} labels
 * @param {number} length
 */
const isLonger = (labels, length) => labels.some((label) => lengthOf(label) > length);

/**
 * A name of at most `length` letters, cut in its middle.
 * @param {string} name
 * @param {number} length
 */
export function clip(name, length) {
  const letters = [...name];
  if (letters.length <= length) return name;
  const head = Math.floor(length / 2);
  return `${letters.slice(0, head).join("")}${CUT}${letters.slice(letters.length - (length - head - 1)).join("")}`;
}

/**
 * The parts of a path, each with the slash behind it.
 * @param {string} name
 * @returns {string[]}
 */
const foldersOf = (name) => name.match(/[^/]*\/|[^/]+$/gu) ?? [];

/**
 * @param {string} name
 * @returns {string[]}
 */
const wordsOf = (name) => name.match(WORDS) ?? [];

/** A name as parts, in sections. @typedef {string[][]} Name */
/** Parts of a section. @typedef {{section: number, places: number[]}} Stretch */

/**
 * Names as one section of folders each.
 * @param {string[]} names
 * @returns {Name[]}
 */
const byFolder = (names) => names.map((name) => [foldersOf(name)]);

/**
 * Names as words: a section for each folder where all names have as many, else one.
 * @param {string[]} names
 * @returns {Name[]}
 */
function byWord(names) {
  const folders = names.map(foldersOf);
  const alike = folders.every((parts) => parts.length === folders[0].length);
  return alike ? folders.map((parts) => parts.map(wordsOf)) : names.map((name) => [wordsOf(name)]);
}

/**
 * Names without parts that all of them share in a section: at the same place, or at its start and end. The longest stretches
 * of such parts are left out first, and no more than needed.
 * @param {Name[]} names
 * @param {number} length
 */
function withoutCommon(names, length) {
  const [first] = names;
  const found = first.flatMap((_, section) =>
    commonStretches(names.map((name) => name[section])).map((places) => ({ section, places })),
  );
  /** @param {Stretch} stretch */
  const size = ({ section, places }) => places.reduce((sum, k) => sum + lengthOf(first[section].at(k) ?? ""), 0);
  found.sort((a, b) => size(b) - size(a));
  let labels = names.map((name) => name.flat().join(""));
  for (let count = 1; count <= found.length && isLonger(labels, length); count++) {
    labels = names.map((name) => marked(name, found.slice(0, count)));
  }
  return labels;
}

/**
 * @param {number} start
 * @param {number} end
 */
const span = (start, end) => Array.from({ length: end - start }, (_, k) => start + k);

/**
 * The stretches of parts that names share; those at their ends are counted from there.
 * @param {string[][]} names
 */
function commonStretches(names) {
  const shortest = Math.min(...names.map((parts) => parts.length));
  const [first] = names;
  /** @param {number} k @returns {boolean} */
  const agreeAt = (k) => names.every((parts) => parts.at(k) === first.at(k));
  if (names.every((parts) => parts.length === shortest)) {
    const out = [];
    let start = 0;
    for (let k = 0; k <= shortest; k++) {
      if (k < shortest && agreeAt(k)) continue;
      out.push(span(start, k));
      start = k + 1;
    }
    return out;
  }
  let head = 0;
  while (head < shortest - 1 && agreeAt(head)) head++;
  let tail = 0;
  while (tail < shortest - head - 1 && agreeAt(-1 - tail)) tail++;
  return [span(0, head), span(-tail, 0)];
}

/**
 * The parts of a name with a mark in place of each stretch that is long enough; slashes at its ends stay.
 * @param {Name} name
 * @param {Stretch[]} found
 */
function marked(name, found) {
  const parts = name.flat();
  const texts = [...parts];
  for (const stretch of found) {
    const first = name.slice(0, stretch.section).reduce((sum, section) => sum + section.length, 0);
    const { length } = name[stretch.section];
    const places = stretch.places.map((k) => first + ((k + length) % length));
    const whole = places.map((k) => parts[k]).join("");
    const inner = whole.replace(/^\/+|\/+$/g, "");
    if (lengthOf(inner) < MIN_CUT) continue;
    const before = whole.startsWith("/") && places[0] > 0 ? "/" : "";
    const after = whole.endsWith("/") && places[places.length - 1] < parts.length - 1 ? "/" : "";
    for (const k of places) texts[k] = "";
    texts[places[0]] = `${before}${CUT}${after}`;
  }
  return texts.join("");
}

/**
 * Replaces labels that are alike: by the part in which they differ, else by all that was cut from their names, or by these.
 * @param {Map<string, string>} labels by name
 * @param {Map<string, string>} cut by name
 * @param {number} length
 */
function keepApart(labels, cut, length) {
  for (const names of alike(labels)) {
    const cutNames = names.filter((name) => cut.has(name));
    const shown = windows(
      cutNames.map((name) => cut.get(name) ?? name),
      length,
    );
    cutNames.forEach((name, i) => labels.set(name, shown[i]));
  }
  for (const longer of [cut, new Map()]) {
    for (const names of alike(labels)) for (const name of names) labels.set(name, longer.get(name) ?? name);
  }
}

/**
 * The names that share a label.
 * @param {Map<string, string>} labels
 */
function alike(labels) {
  /** @type {Map<string, string[]>} */
  const sharing = new Map();
  for (const [name, label] of labels) {
    const names = sharing.get(label);
    if (names) names.push(name);
    else sharing.set(label, [name]);
  }
  return [...sharing.values()].filter((names) => names.length > 1);
}

/**
 * The part of each name around the first letter in which they differ.
 * @param {string[]} names
 * @param {number} length
 */
function windows(names, length) {
  const letters = names.map((name) => [...name]);
  const shortest = Math.min(...letters.map((name) => name.length), Infinity);
  let at = 0;
  while (letters.length && at < shortest && letters.every((name) => name[at] === letters[0][at])) at++;
  const start = Math.max(0, at - Math.floor(length / 4));
  return letters.map((name) => {
    const end = start + length - 2;
    return `${start ? CUT : ""}${name.slice(start, end).join("")}${end < name.length ? CUT : ""}`;
  });
}

/**
 * A name as words and numbers in turn, without regard to case.
 * @param {string} name
 */
const wordsAndNumbers = (name) => name.toLowerCase().split(/(\d+)/);

/**
 * Names in their natural order: 1, 2, 10. (`Intl.Collator` needs 15 ms to begin.)
 * @param {string} a
 * @param {string} b
 */
export function natural(a, b) {
  const [first, second] = [wordsAndNumbers(a), wordsAndNumbers(b)];
  for (let k = 0; k < Math.min(first.length, second.length); k++) {
    const difference = k % 2 ? Number(first[k]) - Number(second[k]) : order(first[k], second[k]);
    if (difference) return difference;
  }
  return first.length - second.length || order(a, b);
}

/**
 * @param {string} a
 * @param {string} b
 */
const order = (a, b) => (a < b ? -1 : Number(a > b));
