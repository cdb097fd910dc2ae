/** Where a line stands at an update: also between the points that are drawn of a very long one. */

/**
 * @typedef {object} DrawnLine
 * @property {number[]} x
 * @property {(number | null)[]} y null in a gap
 * @property {{thinned?: boolean}} meta
 * @property {{shape?: string}} line
 */

/**
 * The pixel at which a line stands; null where it has no point there. Only of a line of which not all points are drawn it is
 * read between two of them: elsewhere nothing was measured there.
 * @param {DrawnLine} trace
 * @param {number} update
 * @param {(value: number) => number} toPixel
 * @returns {number | null}
 */
export function heightAt({ x, y, meta, line }, update, toPixel) {
  const exact = x.indexOf(update);
  if (exact >= 0) return pixel(y[exact], toPixel);
  const left = meta.thinned ? lastUpTo(x, update) : -1;
  if (left < 0 || left + 1 >= x.length) return null;
  const [before, after] = [pixel(y[left], toPixel), pixel(y[left + 1], toPixel)];
  if (before === null || after === null) return null;
  const share = line.shape === "hv" ? 0 : (update - x[left]) / (x[left + 1] - x[left]);
  return before + share * (after - before);
}

/**
 * @param {number | null} value
 * @param {(value: number) => number} toPixel
 */
function pixel(value, toPixel) {
  const place = value === null || value === undefined ? NaN : toPixel(value);
  return Number.isFinite(place) ? place : null;
}

/**
 * The index of the last of some sorted numbers up to one; −1 where none is.
 * @param {number[]} sorted
 * @param {number} value
 */
function lastUpTo(sorted, value) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
