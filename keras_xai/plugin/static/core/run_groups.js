/** Runs by the folder that they lie in, in their natural order, found by a filter. */
import { matcher } from "./filter.js";
import { distinct, natural } from "./names.js";
import { set, state } from "./state.js";

/**
 * @typedef {object} RunGroup
 * @property {string} name of the folder; "" for runs that lie alone
 * @property {Card[]} cards
 */

/**
 * The folder of a run; "" for one that lies in the log directory itself.
 * @param {string} name
 */
const folderOf = (name) => name.slice(0, Math.max(0, name.lastIndexOf("/")));

/** @type {WeakMap<Card[], RunGroup[]>} */
const known = new WeakMap();

/**
 * All runs by their folders; those that are alone in theirs come first, together.
 * @param {Card[]} cards
 * @returns {RunGroup[]}
 */
export function groupsOf(cards) {
  const before = known.get(cards);
  if (before) return before;
  /** @type {Map<string, Card[]>} */
  const folders = new Map();
  const sorted = [...cards].sort((a, b) => natural(a.name, b.name));
  for (const card of sorted) {
    const folder = folderOf(card.name);
    const members = folders.get(folder);
    if (members) members.push(card);
    else folders.set(folder, [card]);
  }
  /** @param {[string, Card[]]} entry */
  const isGroup = ([folder, members]) => folder !== "" && members.length > 1;
  const all = [...folders];
  const alone = all.filter((entry) => !isGroup(entry)).flatMap(([, members]) => members);
  const groups = all.filter(isGroup).map(([name, members]) => ({ name, cards: members }));
  groups.sort((a, b) => natural(a.name, b.name));
  if (alone.length) groups.unshift({ name: "", cards: alone.sort((a, b) => natural(a.name, b.name)) });
  known.set(cards, groups);
  return groups;
}

/**
 * The runs that the filter finds, by their folders.
 * @param {RunGroup[]} groups
 * @returns {RunGroup[]}
 */
export function filtered(groups) {
  if (!state.runFilter) return groups;
  const { test } = matcher(state.runFilter);
  return groups.flatMap(({ name, cards }) => {
    const matching = cards.filter((card) => test(card.name));
    return matching.length ? [{ name, cards: matching }] : [];
  });
}

/** @type {WeakMap<RunGroup[], Map<number, Map<string, string>>>} */
const labels = new WeakMap();

/**
 * How each run is called in its group, by its name: without the folder, cut where the runs of a group agree.
 * @param {RunGroup[]} groups
 * @param {number} letters that there is room for
 * @returns {Map<string, string>}
 */
export function labelsOf(groups, letters) {
  let sizes = labels.get(groups);
  if (!sizes) {
    sizes = new Map();
    labels.set(groups, sizes);
  }
  let names = sizes.get(letters);
  if (!names) {
    names = new Map();
    for (const group of groups) {
      const own = group.cards.map(({ name }) => (group.name ? name.slice(group.name.length + 1) : name));
      const cut = distinct(own, letters);
      for (const [i, { name }] of group.cards.entries()) names.set(name, cut[i]);
    }
    sizes.set(letters, names);
  }
  return names;
}

/**
 * How each group is called.
 * @param {RunGroup[]} groups
 * @param {number} letters
 */
export function groupLabels(groups, letters) {
  const cut = distinct(
    groups.map(({ name }) => name),
    letters,
  );
  return new Map(groups.map(({ name }, i) => [name, cut[i]]));
}

/**
 * Whether the runs of a group are hidden: not while a filter looks for them.
 * @param {string} group
 */
export const isFolded = (group) => !state.runFilter && state.folded.includes(group);

/**
 * Opens a group that is closed, and closes one that is open.
 * @param {string} group
 */
export function toggleGroup(group) {
  const others = state.folded.filter((name) => name !== group);
  set({ folded: others.length < state.folded.length ? others : [...others, group] });
}
