/**
 * Inputs and maps on canvas, from raw values: opacity, clip and colours ask the server for nothing. What does not change
 * while the slider moves is kept with the values it was made of: painted inputs, and every map at the size it is seen.
 */
import { dark, packedTable, themeName } from "./colour.js";
import { context2d } from "./dom.js";
import { Memo } from "./memo.js";

const CLIP_BINS = 1024;
const ALPHA_FROM = 0.06; // share of the scale below which a map lets its input through
const WIDE_INPUT = 96; // pixels: wider inputs are photographs, and are stretched smoothly

/**
 * @typedef {object} InputPixels one sample of the inputs
 * @property {Uint8Array} data
 * @property {number} height
 * @property {number} width
 * @property {number} channels
 * @property {Uint8Array} all the array that `data` is a part of
 * @property {number} sample
 */

/**
 * @typedef {object} Drawing
 * @property {InputPixels} [input]
 * @property {ArrayLike<number>} [values] of the map
 * @property {number} [height] of the map
 * @property {number} [width] of the map
 * @property {number} [hi] the value of the strongest colour
 * @property {boolean} [signed]
 * @property {ColourMap} [map]
 * @property {number} [opacity] 0..1
 * @property {boolean} [smooth]
 * @property {number} size width on the page
 * @property {number} [ratio] height ÷ width on the page
 */

/**
 * The spread of values: counts at 256 steps between low and high.
 * @typedef {{counts: Int32Array, low: number, high: number}} Spread
 */

/** Pixels of the screen that a pixel of the page is worth in an image. */
export const density = () => Math.min(2, devicePixelRatio || 1);

/** Values worked out for an array, as long as the array lives. */
const memo = new Memo();

/** Scratch space of the painting: the pixels of one map, and a canvas of that size to stretch them from. */
const scratch = { canvas: document.createElement("canvas"), pixels: new ImageData(1, 1) };

/**
 * The value at a percentile of |values|, so that one bright pixel does not dim the others. By counting into 1,024 steps:
 * sorting every map of a gallery would take longer than drawing it.
 * @param {ArrayLike<number>} values
 * @param {number} percentile
 */
export function clipAt(values, percentile) {
  let high = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]);
    if (size > high && size < Infinity) high = size;
  }
  if (!high) return 1e-12;
  if (percentile >= 100) return high;
  const counts = new Uint32Array(CLIP_BINS);
  const scale = (CLIP_BINS - 0.001) / high;
  let finite = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]);
    if (size < Infinity) {
      counts[(size * scale) | 0]++;
      finite++;
    }
  }
  const below = (percentile / 100) * finite;
  let sum = 0;
  for (let i = 0; i < CLIP_BINS; i++) {
    sum += counts[i];
    if (sum >= below) return ((i + 1) / CLIP_BINS) * high;
  }
  return high;
}

/**
 * A sample's map out of all maps of an epoch, at most about `pixels` wide: the mean of what falls together.
 * @param {MapTensor} maps
 * @param {number} sample
 * @param {number} height
 * @param {number} width
 * @param {number} pixels
 * @returns {{values: Float32Array, height: number, width: number}}
 */
export function reduced(maps, sample, height, width, pixels) {
  const step = Math.max(1, Math.floor(width / Math.max(1, pixels)));
  const length = height * width;
  if (step === 1 && !maps.steps) {
    return { values: maps.data.subarray(sample * length, (sample + 1) * length), height, width };
  }
  return memo.once(maps, `reduced ${sample} ${step}`, () => {
    if (step === 1 && maps.steps) return { values: maps.fill(new Float32Array(length), sample), height, width };
    return means(maps, sample, height, width, step);
  });
}

/**
 * Means of step × step values. Of maps that came as bytes the bytes are added up, and only their means become numbers.
 * @param {MapTensor} maps
 * @param {number} sample
 * @param {number} height
 * @param {number} width
 * @param {number} step
 */
function means(maps, sample, height, width, step) {
  const [h, w] = [Math.ceil(height / step), Math.ceil(width / step)];
  const source = maps.steps ?? maps.data;
  const values = new Float32Array(h * w);
  const [low, unit] = maps.steps ? [maps.low[sample], maps.step(sample)] : [0, 1];
  const sums = new Float64Array(w);
  let i = sample * height * width;
  for (let y = 0; y < h; y++) {
    const rows = Math.min(step, height - y * step);
    sums.fill(0);
    for (let row = 0; row < rows; row++, i += width) {
      // Every step-th value of a row in one go: long loops are what a browser is fast at.
      for (let k = 0; k < step; k++) {
        for (let x = 0, at = i + k; at < i + width; x++, at += step) sums[x] += source[at];
      }
    }
    for (let x = 0; x < w; x++) {
      const count = rows * Math.min(step, width - x * step);
      values[y * w + x] = low + (unit * sums[x]) / count;
    }
  }
  return { values, height: h, width: w };
}

/**
 * The clip of one sample's map, worked out once.
 * @param {MapTensor} maps
 * @param {number} sample
 * @param {number} length values of a map
 * @param {number} percentile
 * @param {Spread} [spread] of the whole map's values, where `maps` are means
 */
export const clipOf = (maps, sample, length, percentile, spread) =>
  memo.once(maps, `clip ${sample} ${percentile}`, () => {
    if (spread) return clipOfSpread(spread, percentile);
    if (maps.steps) return clipOfSpread(spreadOf(maps, sample), percentile);
    return clipAt(maps.data.subarray(sample * length, (sample + 1) * length), percentile);
  });

/**
 * @param {import("./api.js").Quantized} maps
 * @param {number} sample
 * @returns {Spread}
 */
function spreadOf(maps, sample) {
  const counts = new Int32Array(256);
  const from = sample * maps.length;
  for (let i = from; i < from + maps.length; i++) counts[maps.steps[i]]++;
  return { counts, low: maps.low[sample], high: maps.high[sample] };
}

/**
 * `clipAt` of values that stand at 256 steps: from both ends inwards, the largest magnitude first.
 * @param {Spread} spread
 * @param {number} percentile
 */
function clipOfSpread({ counts, low, high }, percentile) {
  const largest = Math.max(Math.abs(low), Math.abs(high));
  if (!largest) return 1e-12;
  const finest = largest / CLIP_BINS; // as fine as `clipAt` is: most of a map may be nothing
  /** @param {number} step */
  const size = (step) => Math.abs(low + (step * (high - low)) / 255);
  let above = (1 - percentile / 100) * counts.reduce((sum, count) => sum + count, 0);
  let [left, right] = [0, 255];
  while (left < right) {
    const last = size(left) > size(right) ? left : right;
    if (counts[last] > above) return Math.max(size(last), finest);
    above -= counts[last];
    if (last === left) left++;
    else right--;
  }
  return Math.max(size(left), finest);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {HTMLCanvasElement} image
 * @param {boolean} smooth
 */
function stretch(context, image, smooth) {
  context.imageSmoothingEnabled = smooth;
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, context.canvas.width, context.canvas.height);
}

/**
 * Gives a canvas a size; setting either side clears it, and costs.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 */
function resize(canvas, width, height) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
}

/**
 * Draws an input, a map, or a map over its input.
 * @param {HTMLCanvasElement} canvas
 * @param {Drawing} drawing
 */
export function draw(canvas, drawing) {
  const scale = density();
  const width = Math.max(1, Math.round(drawing.size * scale));
  const height = Math.max(1, Math.round(drawing.size * (drawing.ratio ?? 1) * scale));
  resize(canvas, width, height);
  const context = context2d(canvas);
  if (drawing.input) {
    context.drawImage(backdrop(drawing.input, Boolean(drawing.values), width, height), 0, 0);
  } else {
    context.fillStyle = dark() ? "#232323" : "#fff";
    context.fillRect(0, 0, width, height);
  }
  if (drawing.values) paintMap(context, drawing, drawing.values);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Drawing} drawing
 * @param {ArrayLike<number>} values
 */
function paintMap(context, drawing, values) {
  const { width = 1, height = 1, signed = false } = drawing;
  const colours = packedTable(drawing.map ?? (signed ? "diverging" : "ember"));
  if (scratch.pixels.width !== width || scratch.pixels.height !== height) scratch.pixels = new ImageData(width, height);
  const words = new Uint32Array(scratch.pixels.data.buffer).fill(0);
  const alphas = alphaTable(drawing.opacity ?? 1, Boolean(drawing.input));
  const inverse = 1 / (drawing.hi ?? 1);
  for (let i = 0; i < words.length; i++) {
    const value = values[i] * inverse;
    if (!(value < Infinity && value > -Infinity)) continue; // a gap stays the image below
    let held = value;
    if (held > 1) held = 1;
    else if (held < -1) held = -1;
    const size = held < 0 ? -held : held;
    const colour = colours[((signed ? 127.5 + 127.5 * held : 255 * size) + 0.5) | 0];
    words[i] = ((alphas[(255 * size + 0.5) | 0] << 24) | colour) >>> 0;
  }
  resize(scratch.canvas, width, height);
  context2d(scratch.canvas).putImageData(scratch.pixels, 0, 0);
  stretch(context, scratch.canvas, Boolean(drawing.smooth));
}

/**
 * As `draw`, for one of many maps that a slider goes to and fro between: an image that is seen again is kept with its
 * values, and drawn anew only when something that it depends on changed. The first time costs nothing but its drawing.
 * @param {HTMLCanvasElement} canvas
 * @param {object} values that live as long as the image is worth keeping
 * @param {string} key
 * @param {any[]} look everything that the image depends on
 * @param {() => Drawing} drawing
 */
export function drawKept(canvas, values, key, look, drawing) {
  const entry = memo.once(values, `image ${key}`, () => ({
    look: /** @type {any[]} */ ([]),
    image: /** @type {HTMLCanvasElement | null} */ (null),
  }));
  if (look.some((part, i) => part !== entry.look[i])) {
    draw(canvas, drawing());
    entry.look = look;
    entry.image = null;
    return;
  }
  if (!entry.image) {
    entry.image = document.createElement("canvas");
    draw(entry.image, drawing());
  }
  resize(canvas, entry.image.width, entry.image.height);
  context2d(canvas).drawImage(entry.image, 0, 0);
}

/**
 * Over an input the alpha follows the magnitude, so that noise does not tint the image; alone a map is opaque.
 * @param {number} opacity
 * @param {boolean} over
 */
function alphaTable(opacity, over) {
  const alphas = new Uint8ClampedArray(256);
  for (let i = 0; i < 256; i++) {
    const strength = Math.min(1, Math.max(0, i / 255 - ALPHA_FROM) * 1.5);
    alphas[i] = over ? 255 * strength * opacity : 255;
  }
  return alphas;
}

/**
 * An input at the size it is seen: it stands below one map after the other.
 * @param {InputPixels} input
 * @param {boolean} faint
 * @param {number} width
 * @param {number} height
 */
function backdrop(input, faint, width, height) {
  return memo.once(input.all, `backdrop ${input.sample} ${faint} ${themeName()} ${width} ${height}`, () => {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    stretch(context2d(canvas), painted(input, faint), input.width > WIDE_INPUT);
    return canvas;
  });
}

/**
 * An input as a canvas: colour as it is, one channel as ink on the theme's paper; fainter where a map lies above.
 * @param {InputPixels} input
 * @param {boolean} faint
 */
function painted(input, faint) {
  return memo.once(input.all, `input ${input.sample} ${faint} ${themeName()}`, () => {
    const pixels = new Uint8ClampedArray(input.height * input.width * 4);
    const [ink, paper] = dark() ? [240, 35] : [25, 255];
    const strength = faint ? 0.55 : 0.92;
    for (let p = 0, q = 0; p < pixels.length; p += 4, q += input.channels) {
      for (let c = 0; c < 3; c++) {
        const value = input.data[q + (input.channels >= 3 ? c : 0)];
        if (input.channels < 3) pixels[p + c] = paper + (ink - paper) * (value / 255) * strength;
        else pixels[p + c] = faint ? paper + (value - paper) * 0.6 : value;
      }
      pixels[p + 3] = 255;
    }
    const canvas = Object.assign(document.createElement("canvas"), { width: input.width, height: input.height });
    context2d(canvas).putImageData(new ImageData(pixels, input.width, input.height), 0, 0);
    return canvas;
  });
}
