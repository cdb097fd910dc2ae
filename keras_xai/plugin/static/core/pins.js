/** Samples that were pinned: they stand first in every gallery of the same probe. */
import { set, state } from "./state.js";

/**
 * A sample under the name that it has in every run of the same probe.
 * @param {Run} run
 * @param {number} row of the probe
 */
const nameOf = (run, row) => `${run.probe?.hash ?? ""}:${row}`;

/**
 * @param {Run} run
 * @param {number} row of the probe
 */
export const isPinned = (run, row) => state.pins.includes(nameOf(run, row));

/**
 * Pins a sample, or lets it go.
 * @param {Run} run
 * @param {number} row of the probe
 */
export function togglePin(run, row) {
  const name = nameOf(run, row);
  const others = state.pins.filter((pin) => pin !== name);
  set({ pins: others.length < state.pins.length ? others : [...others, name] });
}

/**
 * Samples with the pinned ones first, in the order in which they were pinned.
 * @param {Run} run
 * @param {number[]} samples
 * @param {(sample: number) => number} rowOf
 */
export function pinnedFirst(run, samples, rowOf) {
  /** @param {number} sample */
  const place = (sample) => state.pins.indexOf(nameOf(run, rowOf(sample)));
  const pinned = samples.filter((sample) => place(sample) >= 0).sort((a, b) => place(a) - place(b));
  return pinned.length ? [...pinned, ...samples.filter((sample) => place(sample) < 0)] : samples;
}
