/** Two epochs, two runs or all methods, side by side: samples as columns, one scale for what is compared. */
import { ask } from "./api.js";
import { legend } from "./colour.js";
import { h, message, panel, percent } from "./dom.js";
import { Gallery, moved, rangeOf } from "./gallery.js";
import { clipAt, draw } from "./image.js";
import { dumbbell } from "./marks.js";
import { barsTile, seriesTile, shares, tokensRow } from "./tiles.js";
import { set, state } from "./state.js";

const MOST = 12; // columns a screen has room for

/** The ticked runs that explain the same samples: only these can be put beside each other. */
export const rivals = ({ cards, card, picked }) =>
  picked.filter(
    (name) => name !== card.name && cards.find((one) => one.name === name)?.probe?.hash === card.probe?.hash,
  );

/** What stands against what. @returns {{title: string, sides: {gallery: Gallery, name: any}[]} | null} */
function sidesOf(context, method) {
  const { run, name, epoch } = context;
  if (state.compare === "methods")
    return {
      title: `Methods at epoch ${epoch}`,
      sides: run.methods.map((one) => ({ gallery: new Gallery(context, one, { epoch }), name: one.title })),
    };
  if (state.compare === "runs") {
    const others = rivals(context);
    const chosen = others.includes(state.other) ? state.other : others[0];
    const theirs = chosen ? ask("run", { run: chosen }, context.stampOf(chosen)) : null;
    if (!chosen) return null;
    if (!theirs) return { title: "", sides: [] };
    const same = theirs.methods.find((one) => one.name === method.name);
    if (!same) return { title: `${chosen} wrote no ${method.title}`, sides: null };
    const first = others.length > 1 ? runPick(chosen, others) : chosen;
    return {
      title: `${method.title}: two runs at epoch ${epoch}`,
      sides: [
        { gallery: new Gallery(context, same, { epoch, name: chosen, run: theirs }), name: first },
        { gallery: new Gallery(context, method, { epoch }), name },
      ],
    };
  }
  const alert = run.alerts.find((one) => one.epoch <= epoch);
  const first = state.first ?? (alert ? alert.epoch - 1 : method.epochs[0]);
  const second = state.second ?? epoch;
  const sides = [new Gallery(context, method, { epoch: first }), new Gallery(context, method, { epoch: second })];
  return {
    title: `${method.title}: epoch ${sides[0].epoch} against ${sides[1].epoch}`,
    sides: sides.map((gallery, i) => ({
      gallery,
      name: epochPick(i ? "second" : "first", gallery.epoch, method.epochs),
    })),
  };
}

/** Each side's epoch is chosen in its own row; the second follows the slider until it is. */
function epochPick(which, epoch, epochs) {
  const node = h(
    "select",
    {
      "aria-label": `The ${which} epoch`,
      "data-key": `${which} epoch`,
      onchange: () => set({ [which]: Number(node.value) }),
    },
    epochs.map((one) => h("option", { value: one }, `Epoch ${one}`)),
  );
  node.value = String(epoch);
  return node;
}

function runPick(chosen, others) {
  const node = h(
    "select",
    { "aria-label": "The other run", "data-key": "other run", onchange: () => set({ other: node.value }) },
    others.map((one) => h("option", { value: one }, one)),
  );
  node.value = chosen;
  return node;
}

export function compare(root, context, method) {
  const found = sidesOf(context, method);
  if (!found)
    return root.append(
      message(
        "Nothing to compare with",
        "Tick a second run that explains the same samples: one written with the same probe.",
      ),
    );
  if (!found.sides) return root.append(message("Nothing to compare", `${found.title}.`));
  const { title, sides } = found;
  if (!sides.length || sides.some(({ gallery }) => !gallery.ready))
    return root.append(h("p", { class: "note" }, "Reading the maps …"));
  const [{ gallery: one }, { gallery: two } = {}] = sides;
  const alike = two && one.method.name === two.method.name && one.size === two.size && one.length === two.length;
  const list = (two && state.compare !== "methods" ? two : one).sorted().slice(0, MOST);
  const image = one.kind === "image";
  const columns = image ? list : list.slice(0, 3);
  const box = h("div", {
    class: "compare",
    style: { gridTemplateColumns: `112px repeat(${columns.length}, minmax(${image ? 56 : 220}px, 1fr))` },
  });
  const legends = image
    ? [legend(one.signed ? "diverging" : one.map, ...one.sides(list)), alike && legend("diverging", "less", "more")]
    : legend(one.magnitudes ? "sequential" : "diverging", ...one.sides(columns));
  const section = panel("c12", title, legends);
  if (alike) section.append(h("p", {}, verdict(one, two)));
  section.append(box);
  root.append(h("div", { class: "grid" }, section));

  const row = (name, note, cells) =>
    box.append(
      h("div", { class: "side" }, typeof name === "string" ? h("b", {}, breakable(name)) : name, note),
      ...cells,
    );
  const called = (sample) => [
    h("b", {}, one.judge(sample).truth === null ? `sample ${sample}` : one.className(one.judge(sample).truth)),
    one.explainsAnother(sample) && h("span", { class: "speaks" }, one.sides([sample])[1]),
  ];
  const place = Math.floor((section.clientWidth - 124) / columns.length) - 12;
  row(
    "Input",
    "true class",
    columns.map((sample) =>
      h("div", { class: "col" }, called(sample), image && one.input ? canvas(one.picture(sample, 64, false)) : null),
    ),
  );
  for (const { gallery, name } of sides) {
    const { score } = gallery;
    const ended = gallery.notFiniteSince === null ? "" : `not finite since epoch ${gallery.notFiniteSince}`;
    row(
      name,
      ended || (score ? `${score.right} of ${score.of} right` : ""),
      columns.map((sample) => {
        // Both sides share a scale, or the same shade would mean two things; methods have units of their own.
        const hi = alike
          ? Math.max(clipAt(one.values(sample), state.clip), clipAt(two.values(sample), state.clip))
          : undefined;
        const side = image
          ? canvas(gallery.picture(sample, 64, true, { hi }))
          : other(gallery, sample, place, context, alike ? reachOfBoth(one, two, sample) : undefined);
        return h("div", { class: "col" }, side, judged(gallery, sample));
      }),
    );
  }
  if (!alike) return;
  if (image)
    row(
      "Change",
      "second minus first, share that moved",
      columns.map((sample) => {
        const change = difference(one.values(sample), two.values(sample));
        return h(
          "div",
          { class: "col" },
          canvas({
            values: change,
            height: one.shape[0],
            width: one.shape[1],
            hi: clipAt(change, state.clip),
            signed: true,
            size: 64,
            ratio: one.shape[0] / one.shape[1],
          }),
          percent(moved(one.values(sample), two.values(sample))),
        );
      }),
    );
  if (one.percents)
    row(
      "Confidence",
      one.classes ? "in the true class" : "in the explained label",
      columns.map((sample) => h("div", {}, dumbbell(one.confidence(sample), two.confidence(sample)))),
    );
}

/** A path may break after its slashes. */
const breakable = (name) => name.split("/").flatMap((part, i) => (i ? ["/", h("wbr", {}), part] : [part]));

function canvas(options) {
  const node = h("canvas", { class: "thumb" });
  draw(node, options);
  return node;
}

const TILES = {
  tokens: (gallery, sample, width, context, reach) => tokensRow(gallery, sample, reach),
  series: (gallery, sample, width, context, reach) => seriesTile(gallery, sample, width, reach),
};

const other = (gallery, sample, ...rest) => (TILES[gallery.kind] ?? barsTile)(gallery, sample, ...rest);

/** One scale for what is compared. */
const reachOfBoth = (one, two, sample) => rangeOf([...shares(one, sample), ...shares(two, sample)]);

function judged(gallery, sample) {
  const { predicted, right, value } = gallery.judge(sample);
  return h("span", { class: right ? "" : "alarm" }, `${right ? "" : `as ${gallery.className(predicted)}, `}${value}`);
}

/** Shares of magnitude, second minus first: where attribution went. */
function difference(before, after) {
  const sum = (values) => values.reduce((all, value) => all + Math.abs(value), 0) || 1;
  const [a, b] = [sum(before), sum(after)];
  return after.map((value, i) => Math.abs(value) / b - Math.abs(before[i]) / a);
}

/** What the rows below show, in one sentence: who changed class, and where the attribution went. */
function verdict(one, two) {
  const changed = one.samples.filter((sample) => one.judge(sample).predicted !== two.judge(sample).predicted).length;
  const read = one.classes ? `${changed} of ${one.size} samples are read differently. ` : "";
  const names = one.run.probe?.features ?? [];
  const cells = one.kind === "image" ? one.run.probe?.cells : null;
  const places = cells ? cells[0] * cells[1] : one.length;
  if (!names.length || names.length !== places) return read;
  const shares = [one, two].map((gallery) => pooled(gallery, cells, places));
  const most = shares[1].reduce(
    (best, share, i) => (share - shares[0][i] > shares[1][best] - shares[0][best] ? i : best),
    0,
  );
  return `${read}Attribution rose most in ${names[most]}: ${percent(shares[0][most])} → ${percent(shares[1][most])} of the ${cells ? "map" : "whole"}.`;
}

/** The mean share of each feature over the gallery. */
function pooled(gallery, cells, places) {
  const out = new Float64Array(places);
  const [height, width] = gallery.shape;
  for (const sample of gallery.samples) {
    const values = gallery.values(sample);
    const sum = values.reduce((all, value) => all + Math.abs(value), 0) || 1;
    values.forEach((value, i) => {
      const cell = cells
        ? Math.floor((Math.floor(i / width) / height) * cells[0]) * cells[1] +
          Math.floor(((i % width) / width) * cells[1])
        : i;
      out[cell] += Math.abs(value) / sum / gallery.size;
    });
  }
  return out;
}
