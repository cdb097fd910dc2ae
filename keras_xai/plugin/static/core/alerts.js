/** The alerts of a run: which are alarms, which speak of a change, and which are of one cause. */

/**
 * The alerts that are alarms: training rows that merely differ are listed, and nothing more.
 * @param {Run} run
 */
export const alarmsOf = (run) => run.alerts.filter(({ alarm }) => alarm);

/** Sources whose alerts speak of a change, which has a before. @type {AlertSource[]} */
export const CHANGES = ["live", "clean", "data"];

/**
 * The first alert up to an epoch that speaks of a change.
 * @param {Run} run
 * @param {number} epoch
 */
export const firstChange = (run, epoch) =>
  run.alerts.find((alert) => alert.epoch <= epoch && CHANGES.includes(alert.source));

/**
 * Alerts of one cause, which are one entry, in the order of their first ones.
 * @param {AlertRecord[]} alerts
 */
export function eventsOf(alerts) {
  /** @type {Map<string, AlertRecord[]>} */
  const events = new Map();
  for (const alert of alerts) events.set(alert.cause, [...(events.get(alert.cause) ?? []), alert]);
  return [...events.values()];
}
