/** Pictures of the gallery's inputs, and where on them a feature of the importance lies. */
import { token } from "../core/colour.js";
import { h, s } from "../core/dom.js";
import { draw } from "../core/image.js";

/**
 * One sample's picture, of a volume one slice of it.
 * @param {Inputs} inputs
 * @param {number} sample
 * @param {number} [depth] the slice as a share of the depth, 0 to 1
 * @returns {import("../core/image.js").InputPixels | undefined} undefined where the first input is no picture
 */
export function pixelsOf(inputs, sample, depth = 0.5) {
  const input = inputs.x0;
  if (!input || input.shape.length < 3 || !(input.data instanceof Uint8Array)) return undefined;
  const [rows, height, width, channels = 1] = input.shape;
  const slices = inputs.depth?.x0 || 1;
  const row = sample * slices + Math.min(slices - 1, Math.floor(depth * slices));
  if (row >= rows) return undefined;
  const length = height * width * channels;
  const data = input.data.subarray(row * length, (row + 1) * length);
  return { data, height, width, channels, all: input.data, sample: row };
}

/**
 * A sample with a frame around each of some cells, so that "block (1,1)" need not be looked for.
 * @param {Inputs} inputs
 * @param {Cells} cells along the axes of the input
 * @param {number[]} marked numbers of cells; of a volume those in the slice of the first are shown
 * @param {number} size pixels of width
 * @param {string} label
 * @returns {HTMLElement | null} null where there is no picture
 */
export function markedSample(inputs, cells, marked, size, label) {
  const [rows, columns] = cells.slice(-2);
  const area = rows * columns;
  const slice = Math.floor(marked[0] / area);
  const pixels = pixelsOf(inputs, 0, cells.length > 2 ? (slice + 0.5) / cells[0] : 0.5);
  if (!pixels) return null;
  const ratio = pixels.height / pixels.width;
  const canvas = h("canvas", {});
  draw(canvas, { input: pixels, size, ratio });
  const frames = marked
    .filter((cell) => Math.floor(cell / area) === slice)
    .map((cell) => {
      const [row, column] = [Math.floor((cell % area) / columns), cell % columns];
      const [left, right] = endsOf(column, columns, pixels.width);
      const [top, bottom] = endsOf(row, rows, pixels.height);
      const place = { x: left, y: top, width: right - left, height: bottom - top };
      return s("rect", {
        ...place,
        fill: "none",
        stroke: token("alarm"),
        "stroke-width": 2,
        "vector-effect": "non-scaling-stroke",
      });
    });
  const viewBox = `0 0 ${pixels.width} ${pixels.height}`;
  const layer = s("svg", { viewBox, preserveAspectRatio: "none", role: "img", "aria-label": label }, frames);
  return h(
    "span",
    { class: "marked", style: { width: `${size}px`, height: `${Math.round(size * ratio)}px` } },
    canvas,
    layer,
  );
}

/**
 * The pixels of an axis that a cell pools: those whose place falls into it.
 * @param {number} cell
 * @param {number} cells
 * @param {number} pixels
 * @returns {[number, number]}
 */
const endsOf = (cell, cells, pixels) => [Math.ceil((cell * pixels) / cells), Math.ceil(((cell + 1) * pixels) / cells)];
