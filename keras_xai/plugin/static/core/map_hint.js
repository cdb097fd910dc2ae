/** The value under the pointer on a map of attributions: as it was recorded, where the picture is of 256 steps or of means. */
import { address } from "./api.js";
import { hideTip, percent, short, tip } from "./dom.js";
import { parseNpy } from "./npy.js";

const MAPS_KEPT = 32;
const REST = 60; // milliseconds of a pointer at rest until the recorded values are asked for

/** @typedef {{gallery: import("./gallery.js").Gallery, sample: number, slice?: number}} Shown */

/** Recorded maps by their address, the last asked for at the end. @type {Map<string, Promise<FloatTensor>>} */
const recorded = new Map();

/**
 * Says what lies under the pointer: where it is, the attribution there, and its share of the map.
 * @param {HTMLCanvasElement} canvas
 * @param {() => Shown | null} shown what the canvas shows at the moment
 */
export function mapHint(canvas, shown) {
  let timer = 0;
  let over = false;
  canvas.addEventListener("pointermove", (event) => {
    const now = shown();
    if (!now?.gallery.isPictured) return;
    over = true;
    clearTimeout(timer);
    const place = placeUnder(event, canvas, now);
    timer = setTimeout(async () => {
      const map = await recordedMap(now).catch(() => null);
      if (over && map) tip(event, words(map, place));
    }, REST);
  });
  canvas.addEventListener("pointerleave", () => {
    over = false;
    clearTimeout(timer);
    hideTip();
  });
}

/**
 * @param {PointerEvent} event
 * @param {HTMLCanvasElement} canvas
 * @param {Shown} shown
 */
function placeUnder(event, canvas, { gallery, sample, slice: shown }) {
  const box = canvas.getBoundingClientRect();
  const slice = gallery.depth ? gallery.mapSlice(shown ?? gallery.sliceOf(sample)) : null;
  return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height, slice };
}

/** @param {Shown} shown */
async function recordedMap({ gallery, sample }) {
  const { run, method, epoch } = gallery.parameters;
  const url = address("attribution.npy", { run, method, epoch, input: gallery.part, sample });
  let map = recorded.get(url);
  if (!map) {
    map = fetch(url).then(async (response) => {
      if (!response.ok) throw new Error(response.statusText);
      return parseNpy(await response.arrayBuffer());
    });
    recorded.set(url, map);
    if (recorded.size > MAPS_KEPT) recorded.delete([...recorded.keys()][0]);
  }
  return map;
}

/**
 * @param {FloatTensor} map (h, w), of a volume (d, h, w)
 * @param {{x: number, y: number, slice: number | null}} place in the picture, 0 to 1
 */
function words({ shape, data }, { x, y, slice }) {
  const [height, width] = shape.slice(-2);
  /** @param {number} share @param {number} cells */
  const index = (share, cells) => Math.max(0, Math.min(cells - 1, Math.floor(share * cells)));
  const [row, column] = [index(y, height), index(x, width)];
  const value = data[((slice ?? 0) * height + row) * width + column];
  const where = `${slice === null ? "" : `slice ${slice}, `}row ${row}, column ${column} of ${height} × ${width}`;
  if (!Number.isFinite(value)) return `${where}\nnot measured`;
  const sum = data.reduce((total, other) => total + (Number.isFinite(other) ? Math.abs(other) : 0), 0);
  return `${where}\nattribution ${short(value)}\n${percent(Math.abs(value) / (sum || 1))} of the map`;
}
