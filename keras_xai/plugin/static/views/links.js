/** Ways from one view to another, as changes of the selection. */

const FIRST = -1; // of the samples in their order
const SEEING = ["saliency", "grad_cam", "input_x_gradient"]; // methods that can see what a model came to react to

/**
 * The samples that moved most by an epoch, in a method that can see the cause: beside their maps before the alert, the first
 * of them chosen.
 * @param {Run} run
 * @param {number} epoch
 * @returns {Partial<import("../core/state.js").State>}
 */
export function linkToSamples(run, epoch) {
  const names = run.methods.map((method) => method.name);
  const method = SEEING.find((name) => names.includes(name)) ?? names[0] ?? "";
  const pair = { compare: "epochs", first: null, second: null };
  return { view: "probe_attributions", epoch, method, sort: "change", gallery: "fixed", sample: FIRST, ...pair };
}

/**
 * One sample of the gallery.
 * @param {number} sample
 * @returns {Partial<import("../core/state.js").State>}
 */
export const linkToSample = (sample) => ({
  view: "probe_attributions",
  sample,
  sort: "probe",
  gallery: "fixed",
  compare: "off",
});
