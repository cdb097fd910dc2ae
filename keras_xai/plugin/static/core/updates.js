/**
 * Updates by their numbers, and in words. Where the page says `epoch` of a place, it is the number of an update: an epoch, or
 * a step in a run that counts in steps.
 */

/** The number of the update before the first training step. */
export const BEFORE = -1;

/**
 * "epoch 3", "step 400" or "before training".
 * @param {{unit: Unit}} run
 * @param {number} update
 */
export const named = ({ unit }, update) => (update === BEFORE ? "before training" : `${unit} ${update}`);

/**
 * "epoch 3", "step 400 of epoch 0" or "before training".
 * @param {Run} run
 * @param {number} update
 */
export function moment(run, update) {
  if (run.unit === "epoch" || update === BEFORE) return named(run, update);
  const at = run.epochs.indexOf(update);
  return at < 0 ? named(run, update) : `step ${update} of epoch ${run.epoch_of[at]}`;
}

/** @param {string} text */
export const capitalized = (text) => text[0].toUpperCase() + text.slice(1);
