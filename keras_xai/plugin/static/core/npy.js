/** NumPy's file format, version 1, of numbers of 32 or 64 bits in C order: what the server writes. */

const MAGIC_LENGTH = 8;
const TYPES = { "<f4": Float32Array, "<f8": Float64Array };

/**
 * @param {ArrayBuffer} buffer
 * @returns {FloatTensor}
 */
export function parseNpy(buffer) {
  const length = new DataView(buffer).getUint16(MAGIC_LENGTH, true);
  const start = MAGIC_LENGTH + 2;
  const header = new TextDecoder("latin1").decode(new Uint8Array(buffer, start, length));
  const type = /'descr': '([^']*)'/.exec(header)?.[1] ?? "";
  const shape = (/'shape': \(([^)]*)\)/.exec(header)?.[1] ?? "").split(",").filter((side) => side.trim());
  const Values = TYPES[/** @type {keyof typeof TYPES} */ (type)];
  if (!Values) throw new Error(`an array of ${type}`);
  return { shape: shape.map(Number), data: Float32Array.from(new Values(buffer, start + length)) };
}
