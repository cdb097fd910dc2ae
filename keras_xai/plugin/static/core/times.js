/** Times in words. */

/**
 * How long ago something was.
 * @param {number} seconds
 */
export function ago(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h ago`;
  if (seconds < 63_072_000) return `${Math.round(seconds / 86_400)} days ago`;
  return `${Math.round(seconds / 31_536_000)} years ago`;
}

/** @param {number} number */
const twoDigits = (number) => String(number).padStart(2, "0");

/**
 * 14:03:07 by the reader's clock; nothing where no time is known. (`Intl` needs 8 ms to make a formatter.)
 * @param {number} seconds since 1970
 */
export function clock(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const time = new Date(1000 * seconds);
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map(twoDigits).join(":");
}

/**
 * 2026-11-03 14:03:07 by the reader's clock; nothing where no time is known.
 * @param {number} seconds since 1970
 */
export function dateAndClock(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const time = new Date(1000 * seconds);
  const date = [time.getFullYear(), twoDigits(time.getMonth() + 1), twoDigits(time.getDate())].join("-");
  return `${date} ${clock(seconds)}`;
}
