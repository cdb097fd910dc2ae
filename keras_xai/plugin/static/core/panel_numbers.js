/** The numbers of the panels that the page draws itself, as tables: in full, whatever of them was drawn. */
import { shortest } from "./csv.js";
import { BEFORE } from "./updates.js";

/**
 * @param {number | null | undefined} value of 32 bits
 * @returns {number | null}
 */
const number = (value) => (value === null || value === undefined ? null : shortest(value));

/**
 * The share of every feature at every update: one row an update.
 * @param {Importance} importance
 * @param {Unit} unit
 * @returns {NumberTable}
 */
export function sharesOverTime({ names, epochs, share }, unit) {
  const rows = epochs.map((epoch, at) => [
    epoch,
    ...Array.from(share.data.subarray(at * names.length, (at + 1) * names.length), shortest),
  ]);
  return { columns: [unit, ...names], rows };
}

/**
 * The rank and the share of every feature at every update: one row a feature and update.
 * @param {Importance} importance
 * @param {Unit} unit
 * @returns {NumberTable}
 */
export function ranksOverTime({ names, epochs, share }, unit) {
  const rows = epochs.flatMap((epoch, at) => {
    const shares = share.data.subarray(at * names.length, (at + 1) * names.length);
    return names.map((name, f) => {
      const larger = shares.filter((other) => other > shares[f]).length;
      return [epoch, name, Number.isFinite(shares[f]) ? 1 + larger : null, shortest(shares[f])];
    });
  });
  return { columns: [unit, "feature", "rank", "share"], rows };
}

/**
 * What is followed of every sample of the gallery: the probability of its class, or its output. One row an update that was sent:
 * of a very long run these are some, and `run.outputs(method)` has all.
 * @param {Outputs} outputs
 * @param {Unit} unit
 * @returns {NumberTable}
 */
export function outputsOverTime({ epochs, trajectory }, unit) {
  const [, size] = trajectory.shape;
  const rows = epochs.map((epoch, at) => [
    epoch,
    ...Array.from(trajectory.data.subarray(at * size, (at + 1) * size), shortest),
  ]);
  return { columns: [unit, ...Array.from({ length: size }, (_, sample) => `sample ${sample}`)], rows };
}

/**
 * One row a feature of an alert.
 * @param {AlertRecord[]} alerts
 * @param {Vocabulary} vocabulary
 * @param {Unit} unit
 * @returns {NumberTable}
 */
export function alertNumbers(alerts, vocabulary, unit) {
  const rows = alerts.flatMap((alert) => {
    const { epoch, source, verdict, score, limit } = alert;
    const about = [epoch, vocabulary.sources[source], vocabulary.verdicts[verdict] ?? verdict, score, limit];
    return alert.features.map(([feature, before, after, direction, z]) => [
      ...about,
      feature,
      before,
      after,
      direction,
      z,
    ]);
  });
  const ofAlert = [unit, "source", "verdict", "score", "limit"];
  return { columns: [...ofAlert, "feature", "before", "after", "direction", "z"], rows };
}

/**
 * The training rows that an alert names, as the server words them.
 * @param {string[]} columns
 * @param {Carrier[]} rows
 * @returns {NumberTable}
 */
export const rowNumbers = (columns, rows) => ({ columns, rows });

/**
 * Features in several runs.
 * @param {{name: string, epoch: number, shares: Map<string, number>}[]} runs
 * @returns {NumberTable}
 */
export function sharesOfRuns(runs) {
  const features = [...new Set(runs.flatMap(({ shares }) => [...shares.keys()]))];
  const rows = features.map((feature) => [feature, ...runs.map(({ shares }) => number(shares.get(feature)))]);
  return { columns: ["feature", ...runs.map(({ name, epoch }) => `${name}, ${epoch}`)], rows };
}

/**
 * The samples of a layer's map at every update: one row a sample and update.
 * @param {LayerMap} map
 * @param {Unit} unit
 * @returns {NumberTable}
 */
export function placesOverTime(map, unit) {
  const [, size] = map.places.shape;
  const { data } = map.places;
  const rows = map.epochs.flatMap((epoch, at) =>
    Array.from({ length: size }, (_, b) => {
      const place = 2 * (at * size + b);
      const label = map.label && map.classes[map.label.data[b]];
      const predicted = map.prediction && map.classes[map.prediction.data[at * size + b]];
      const heldOut = map.held_out && map.held_out.data[b];
      return [
        epoch,
        b,
        shortest(data[place]),
        shortest(data[place + 1]),
        label ?? null,
        predicted ?? null,
        heldOut ?? null,
      ];
    }),
  );
  return { columns: [unit, "sample", "coordinate 1", "coordinate 2", "label", "predicted", "held out"], rows };
}

/**
 * @param {LayerMap} map
 * @returns {NumberTable}
 */
export function suspectNumbers({ suspects, classes }) {
  const rows = suspects.map(({ row, quality, confidence, support, label, prediction }) => [
    row,
    classes[label],
    classes[prediction],
    quality,
    confidence,
    support,
  ]);
  const figures = ["label quality", "mean confidence in the label", "support of the label by linear probes"];
  return { columns: ["sample", "label", "predicted", ...figures], rows };
}

/**
 * A gallery: of images one row a sample, else one row a value of a sample, with its input where that was written.
 * @param {import("./gallery.js").Gallery} gallery
 * @returns {NumberTable}
 */
export function galleryNumbers(gallery) {
  const epoch = gallery.epoch === BEFORE ? "before training" : gallery.epoch;
  const columns = [gallery.run.unit, "method", "sample", "true class", "predicted class", "explained", "score"];
  /** @param {number} sample */
  const about = (sample) => {
    const { truth, predicted } = gallery.judge(sample);
    /** @param {number | null} index */
    const name = (index) => (index === null ? null : gallery.className(index));
    const score = gallery.outputs.score.data[gallery.outputAt * gallery.size + sample];
    const ofSample = [epoch, gallery.method.name, sample, name(truth), name(predicted)];
    return [...ofSample, gallery.targetName(sample) ?? null, shortest(score)];
  };
  if (gallery.isPictured) {
    const rows = gallery.samples.map((sample) => [
      ...about(sample),
      number(gallery.error(sample)),
      number(gallery.fit(sample)),
    ]);
    return { columns: [...columns, "completeness error", "local R²"], rows };
  }
  const rows = gallery.samples.flatMap((sample) => {
    const ofSample = about(sample);
    return Array.from(gallery.values(sample), (value, i) => [
      ...ofSample,
      ...valueOf(gallery, sample, i),
      shortest(value),
    ]);
  });
  return { columns: [...columns, "place", "name", "input", "attribution"], rows };
}

/**
 * Where a value of a sample stands: its place, its name, and the input there.
 * @param {import("./gallery.js").Gallery} gallery
 * @param {number} sample
 * @param {number} i
 * @returns {[number, string | null, string | number | null]}
 */
function valueOf(gallery, sample, i) {
  const alike = gallery.input?.data.length === gallery.maps.data.length && !gallery.method.layer;
  const value = alike ? Number(gallery.input?.data[sample * gallery.length + i]) : null;
  if (gallery.kind === "tokens") return [i, gallery.words?.[sample]?.[i] ?? null, value];
  const channels = gallery.shape[1] ?? 1;
  const isSeries = gallery.kind === "series";
  const names = isSeries ? gallery.run.probe?.features : (gallery.featureNames ?? gallery.run.probe?.features);
  const at = isSeries ? i % channels : i;
  const name = isSeries || names?.length === gallery.length ? names?.[at] : undefined;
  const place = isSeries ? Math.floor(i / channels) : i;
  const word = value === null ? undefined : gallery.categories?.[i]?.[value];
  return [place, name ?? null, word ?? number(value)];
}

/**
 * The galleries that stand beside each other, one below the other.
 * @param {{gallery: import("./gallery.js").Gallery, name: Child}[]} sides
 * @returns {NumberTable}
 */
export function comparisonNumbers(sides) {
  const tables = sides.map(({ gallery }) => galleryNumbers(gallery));
  const rows = tables.flatMap((table, i) => table.rows.map((row) => [String(sides[i].gallery.parameters.run), ...row]));
  return { columns: ["run", ...tables[0].columns], rows };
}
