/**
 * Inputs and maps on canvas, from raw values: opacity, clip and colours ask the server for nothing. What does not change
 * while the slider moves is kept: painted inputs, and every map at the size it is seen.
 */
import { dark, packedTable, themeName } from "./colour.js";

/** Pixels of the screen a pixel of the page that a picture is worth. */
export const density = () => Math.min(2, devicePixelRatio || 1);

const scratch = document.createElement("canvas");
/** The pixels of one map: the next one of its size is written over it. */
let sheet = new ImageData(1, 1);
/** @type {WeakMap<object, Map<string, any>>} what was worked out for an array of values, as long as the array lives */
const known = new WeakMap();

/** `work()` once for the same array and key. */
function once(array, key, work) {
  let found = known.get(array);
  if (!found) known.set(array, (found = new Map()));
  if (!found.has(key)) found.set(key, work());
  return found.get(key);
}

/**
 * The value at a percentile of |values|, so that one bright pixel does not dim the rest. By counting into 1,024 steps:
 * sorting every map of a gallery would take longer than drawing it.
 */
export function clipAt(values, percentile) {
  let high = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]);
    if (size > high && size < Infinity) high = size;
  }
  if (!high) return 1e-12;
  if (percentile >= 100) return high;
  const counts = new Uint32Array(1024);
  const scale = 1023.999 / high;
  let finite = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]);
    if (size < Infinity) {
      counts[(size * scale) | 0]++;
      finite++;
    }
  }
  const wanted = (percentile / 100) * finite;
  for (let i = 0, seen = 0; i < 1024; i++) if ((seen += counts[i]) >= wanted) return ((i + 1) / 1024) * high;
  return high;
}

/**
 * A sample's map out of all maps of an epoch, at most about `most` pixels wide: the mean of what falls together. Of maps
 * that came as bytes the bytes are added up, and only their means become numbers.
 */
export function reduced(maps, sample, height, width, most) {
  const step = Math.max(1, Math.floor(width / Math.max(1, most)));
  const length = height * width;
  const from = sample * length;
  if (step === 1 && !maps.steps) return { values: maps.data.subarray(from, from + length), height, width };
  return once(maps, `reduced ${sample} ${step}`, () => {
    if (step === 1) return { values: maps.fill(new Float32Array(length), sample), height, width };
    const [h, w] = [Math.ceil(height / step), Math.ceil(width / step)];
    const source = maps.steps ?? maps.data;
    const values = new Float32Array(h * w);
    const [low, unit] = maps.steps ? [maps.low[sample], maps.step(sample)] : [0, 1];
    const sums = new Float64Array(w);
    for (let y = 0, i = from; y < h; y++) {
      const rows = Math.min(step, height - y * step);
      sums.fill(0);
      // Every step-th value of a row in one go: long loops are what a browser is fast at.
      for (let row = 0; row < rows; row++, i += width)
        for (let k = 0; k < step; k++)
          for (let x = 0, at = i + k; at < i + width; x++, at += step) sums[x] += source[at];
      for (let x = 0; x < w; x++)
        values[y * w + x] = low + (unit * sums[x]) / (rows * Math.min(step, width - x * step));
    }
    return { values, height: h, width: w };
  });
}

/**
 * The clip of one sample's map, worked out once.
 * @param {{counts: Int32Array, low: number, high: number}} [counted] how the whole map's values spread where `maps` are means
 */
export const clipOf = (maps, sample, length, percentile, counted) =>
  once(maps, `clip ${sample} ${percentile}`, () =>
    counted || maps.steps
      ? clipOfCounts(counted ?? countsOf(maps, sample), percentile)
      : clipAt(maps.data.subarray(sample * length, (sample + 1) * length), percentile),
  );

function countsOf(maps, sample) {
  const counts = new Int32Array(256);
  for (let i = sample * maps.length, end = i + maps.length; i < end; i++) counts[maps.steps[i]]++;
  return { counts, low: maps.low[sample], high: maps.high[sample] };
}

/** `clipAt` of values that stand at 256 steps: from both ends inwards, the largest magnitude first. */
function clipOfCounts({ counts, low, high }, percentile) {
  const largest = Math.max(Math.abs(low), Math.abs(high));
  if (!largest) return 1e-12;
  const size = (step) => Math.abs(low + (step * (high - low)) / 255);
  let above = (1 - percentile / 100) * counts.reduce((sum, count) => sum + count, 0);
  let [left, right] = [0, 255];
  while (left < right) {
    const last = size(left) > size(right) ? left : right;
    if (counts[last] > above) return Math.max(size(last), largest / 1024); // as fine as `clipAt` is: most of a map may be nothing
    above -= counts[last];
    if (last === left) left++;
    else right--;
  }
  return Math.max(size(left), largest / 1024);
}

/** The sheet as a picture stretched over the canvas. */
function paint(context, smooth) {
  const { width, height } = sheet;
  if (scratch.width !== width || scratch.height !== height) Object.assign(scratch, { width, height });
  scratch.getContext("2d").putImageData(sheet, 0, 0);
  stretch(context, scratch, smooth);
}

function stretch(context, picture, smooth) {
  context.imageSmoothingEnabled = smooth;
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, context.canvas.width, context.canvas.height);
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{input?: {data: Uint8Array, height: number, width: number, channels: number, all: Uint8Array, sample: number},
 *   values?: ArrayLike<number>, height?: number, width?: number, hi?: number, signed?: boolean, opacity?: number,
 *   smooth?: boolean, map?: string, size: number, ratio?: number}} o `size` is the width on the page, `ratio` height ÷ width
 */
export function draw(canvas, o) {
  const scale = density();
  const [width, height] = [
    Math.max(1, Math.round(o.size * scale)),
    Math.max(1, Math.round(o.size * (o.ratio ?? 1) * scale)),
  ];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height }); // either clears it, and costs
  const context = canvas.getContext("2d");
  if (!o.input) {
    context.fillStyle = dark() ? "#232323" : "#fff";
    context.fillRect(0, 0, width, height);
  }
  if (o.input) context.drawImage(backdrop(o.input, Boolean(o.values), width, height), 0, 0);
  if (!o.values) return;
  const colours = packedTable(o.map ?? (o.signed ? "diverging" : "ember"));
  if (sheet.width !== o.width || sheet.height !== o.height) sheet = new ImageData(o.width, o.height);
  const words = new Uint32Array(sheet.data.buffer).fill(0);
  const alphas = alphaTable(o.opacity ?? 1, Boolean(o.input));
  const inverse = 1 / o.hi;
  for (let i = 0; i < words.length; i++) {
    const value = o.values[i] * inverse;
    if (!(value < Infinity && value > -Infinity)) continue; // a gap stays the picture below
    const held = value > 1 ? 1 : value < -1 ? -1 : value;
    const size = held < 0 ? -held : held;
    const colour = colours[((o.signed ? 127.5 + 127.5 * held : 255 * size) + 0.5) | 0];
    words[i] = ((alphas[(255 * size + 0.5) | 0] << 24) | colour) >>> 0;
  }
  paint(context, Boolean(o.smooth));
}

/**
 * As `draw`, for one of many maps that a slider goes to and fro between: a picture that is seen again is kept with its
 * values, and drawn anew only when something that it depends on changed. The first time costs nothing but its drawing.
 * @param {ArrayLike<number>} values that live as long as the picture is worth keeping
 * @param {any[]} look everything that the picture depends on
 * @param {() => any} options of `draw`
 */
export function drawKept(canvas, values, key, look, options) {
  const kept = once(values, `picture ${key}`, () => ({ look: [], picture: null }));
  if (look.some((one, i) => one !== kept.look[i])) {
    draw(canvas, options());
    Object.assign(kept, { look, picture: null });
    return;
  }
  if (!kept.picture) draw((kept.picture = document.createElement("canvas")), options());
  const { width, height } = kept.picture;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.getContext("2d").drawImage(kept.picture, 0, 0);
}

/** Over an input the alpha follows the magnitude, so that noise does not tint the picture; alone a map is opaque. */
function alphaTable(opacity, over) {
  const out = new Uint8ClampedArray(256);
  for (let i = 0; i < 256; i++) out[i] = over ? 255 * Math.min(1, Math.max(0, i / 255 - 0.06) * 1.5) * opacity : 255;
  return out;
}

/** An input at the size it is seen: it stands below one map after the other. */
function backdrop(input, faint, width, height) {
  return once(input.all, `backdrop ${input.sample} ${faint} ${themeName()} ${width} ${height}`, () => {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    stretch(canvas.getContext("2d"), painted(input, faint), input.width > 96);
    return canvas;
  });
}

/** An input as a canvas: colour as it is, one channel as ink on the theme's paper; fainter where a map lies above. */
function painted(input, faint) {
  return once(input.all, `input ${input.sample} ${faint} ${themeName()}`, () => {
    const pixels = new Uint8ClampedArray(input.height * input.width * 4);
    const [ink, paper] = dark() ? [240, 35] : [25, 255];
    const strength = faint ? 0.55 : 0.92;
    for (let p = 0, q = 0; p < pixels.length; p += 4, q += input.channels) {
      if (input.channels >= 3) {
        for (let c = 0; c < 3; c++)
          pixels[p + c] = faint ? paper + (input.data[q + c] - paper) * 0.6 : input.data[q + c];
      } else {
        pixels[p] = pixels[p + 1] = pixels[p + 2] = paper + (ink - paper) * (input.data[q] / 255) * strength;
      }
      pixels[p + 3] = 255;
    }
    const canvas = document.createElement("canvas");
    canvas.width = input.width;
    canvas.height = input.height;
    canvas.getContext("2d").putImageData(new ImageData(pixels, input.width, input.height), 0, 0);
    return canvas;
  });
}
