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
