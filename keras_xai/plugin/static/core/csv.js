/** Tables as CSV (RFC 4180): every number in full, every text as a text that no spreadsheet takes for a formula. */

const FORMULA = /^[=+\-@\t\r]/;
const FLOAT_DIGITS = [6, 7, 8, 9]; // nine always tell two numbers of 32 bits apart

/**
 * The shortest decimal number that is read back as the same number of 32 bits: 0.1, not 0.10000000149011612.
 * @param {number} value of 32 bits
 */
export function shortest(value) {
  const written = FLOAT_DIGITS.map((digits) => Number(value.toPrecision(digits)));
  return written.find((number) => Math.fround(number) === value) ?? value;
}

/** @param {NumberTable} table */
export function csvOf({ columns, rows }) {
  const lines = [columns, ...rows].map((row) => row.map(cell).join(","));
  return `${lines.join("\r\n")}\r\n`;
}

/**
 * A text that begins like a formula gets an apostrophe before it, as the OWASP advises; a number is none.
 * @param {string | number | null} value
 */
function cell(value) {
  if (value === null) return "";
  if (typeof value === "number") return numberCell(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return `"${text.replaceAll('"', '""')}"`;
}

/** @param {number} value */
function numberCell(value) {
  if (Number.isNaN(value)) return "NaN";
  if (Number.isFinite(value)) return String(value);
  return value > 0 ? "inf" : "-inf";
}
