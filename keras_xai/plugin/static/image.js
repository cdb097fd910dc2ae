/** Inputs and maps on canvas, from raw values: opacity, clip and colours ask the server for nothing. */
import { dark, table } from "./colour.js";

const small = document.createElement("canvas");

/** One picture of `width` × `height` pixels stretched over the canvas. */
function paint(context, pixels, width, height, smooth) {
  small.width = width;
  small.height = height;
  small.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  const { width: w, height: t } = context.canvas;
  context.imageSmoothingEnabled = smooth;
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, w, t);
}

/**
 * The value at a percentile of |values|, so that one bright pixel does not dim the rest. By counting into 1,024 steps:
 * sorting every map of a gallery would take longer than drawing it.
 */
export function clipAt(values, percentile) {
  let high = 0;
  for (const value of values) {
    const size = Math.abs(value);
    if (size > high && size < Infinity) high = size;
  }
  if (!high) return 1e-12;
  if (percentile >= 100) return high;
  const counts = new Uint32Array(1024);
  let known = 0;
  for (const value of values) {
    const size = Math.abs(value);
    if (size < Infinity) {
      counts[Math.min(1023, Math.floor((size / high) * 1024))]++;
      known++;
    }
  }
  const wanted = (percentile / 100) * known;
  for (let i = 0, seen = 0; i < 1024; i++) if ((seen += counts[i]) >= wanted) return ((i + 1) / 1024) * high;
  return high;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{input?: {data: Uint8Array, height: number, width: number, channels: number}, values?: ArrayLike<number>,
 *   height?: number, width?: number, hi?: number, signed?: boolean, opacity?: number, smooth?: boolean, map?: string,
 *   size: number, ratio?: number}} o `size` is the width on the page, `ratio` height ÷ width
 */
export function draw(canvas, o) {
  const scale = Math.min(2, devicePixelRatio || 1);
  canvas.width = Math.max(1, Math.round(o.size * scale));
  canvas.height = Math.max(1, Math.round(o.size * (o.ratio ?? 1) * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = dark() ? "#232323" : "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (o.input) paintInput(context, o.input, Boolean(o.values));
  if (!o.values) return;
  const colours = table(o.map ?? (o.signed ? "diverging" : "ember"));
  const pixels = new Uint8ClampedArray(o.height * o.width * 4);
  const opacity = o.opacity ?? 1;
  for (let i = 0, p = 0; i < o.height * o.width; i++, p += 4) {
    const value = o.values[i] / o.hi;
    if (!(value < Infinity && value > -Infinity)) continue; // a gap stays the picture below
    const size = Math.min(1, Math.abs(value));
    const [r, g, b] = colours[o.signed ? Math.round(127.5 + 127.5 * Math.max(-1, Math.min(1, value))) : Math.round(255 * size)];
    pixels[p] = r;
    pixels[p + 1] = g;
    pixels[p + 2] = b;
    // Over an input the alpha follows the magnitude, so that noise does not tint the picture.
    pixels[p + 3] = o.input ? 255 * Math.min(1, Math.max(0, size - 0.06) * 1.5) * opacity : 255;
  }
  paint(context, pixels, o.width, o.height, Boolean(o.smooth));
}

/** Colour as it is; one channel as ink on the theme's paper. Fainter where a map lies above. */
function paintInput(context, input, faint) {
  const pixels = new Uint8ClampedArray(input.height * input.width * 4);
  const [ink, paper] = dark() ? [240, 35] : [25, 255];
  const strength = faint ? 0.55 : 0.92;
  for (let i = 0, p = 0, q = 0; i < input.height * input.width; i++, p += 4, q += input.channels) {
    if (input.channels >= 3) {
      for (let c = 0; c < 3; c++) pixels[p + c] = faint ? paper + (input.data[q + c] - paper) * 0.6 : input.data[q + c];
    } else {
      const value = paper + (ink - paper) * (input.data[q] / 255) * strength;
      pixels[p] = pixels[p + 1] = pixels[p + 2] = value;
    }
    pixels[p + 3] = 255;
  }
  paint(context, pixels, input.width, input.height, input.width > 96);
}
