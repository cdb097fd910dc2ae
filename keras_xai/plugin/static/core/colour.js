/** The colours of the theme as the server knows them, and which theme the host wears. */
import { context2d, h } from "./dom.js";
import { Memo } from "./memo.js";

/**
 * The colours of both themes: constants of the server, which arrive once, before anything is drawn.
 * @type {Record<Theme, ThemeColours>}
 */
let themes;
/** @type {string[]} */
let dashes = ["solid"];
const tables = new Memo();

/** @param {Presentation} served */
export const setColours = (served) => {
  themes = served;
  dashes = served.dashes;
};

export const dark = () => document.documentElement.classList.contains("dark");
/** @returns {Theme} */
export const themeName = () => (dark() ? "dark" : "light");
/** @param {string} name */
export const token = (name) => themes[themeName()].tokens[name];

/**
 * The colour of the run first met at this place.
 * @param {number} place
 */
export function runColour(place) {
  const colours = themes[themeName()].runs;
  return colours[Math.max(0, place) % colours.length];
}

/**
 * The dash of the line of the run first met at this place, in plotly's words: another one for each turn of the colours.
 * @param {number} place
 */
export function runDash(place) {
  const turn = Math.floor(Math.max(0, place) / themes[themeName()].runs.length);
  return dashes[turn % dashes.length];
}

/** @param {string} hex */
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/**
 * 256 colours as [r, g, b].
 * @param {ColourMap} name
 */
export function table(name) {
  const { maps } = themes[themeName()];
  return tables.once(maps, name, () => maps[name].map(rgb));
}

/**
 * 256 colours as the low three bytes of a pixel in memory, for loops over many.
 * @param {ColourMap} name
 */
export function packedTable(name) {
  const { maps } = themes[themeName()];
  return tables.once(maps, `packed ${name}`, () =>
    Uint32Array.from(table(name), ([r, g, b]) => (b << 16) | (g << 8) | r),
  );
}

/**
 * The colour at 0..1 of a map.
 * @param {ColourMap} name
 * @param {number} t
 * @param {number} [alpha]
 */
export function at(name, t, alpha = 1) {
  const [r, g, b] = table(name)[Math.round(255 * Math.min(1, Math.max(0, t)))];
  return `rgb(${r} ${g} ${b} / ${alpha})`;
}

/**
 * The ink, black or white, that can be read on a colour of a map: WCAG's relative luminance decides.
 * @param {ColourMap} name
 * @param {number} t
 */
export function inkOn(name, t) {
  const linear = table(name)[Math.round(255 * Math.min(1, Math.max(0, t)))].map((part) => {
    const value = part / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179 ? "#000" : "#fff";
}

/**
 * A legend that names both its ends.
 * @param {ColourMap} name
 * @param {string} low
 * @param {string} high
 */
export function legend(name, low, high) {
  const canvas = h("canvas", { width: 256, height: 1, "aria-hidden": "true" });
  const context = context2d(canvas);
  for (let i = 0; i < 256; i++) {
    context.fillStyle = at(name, i / 255);
    context.fillRect(i, 0, 1, 1);
  }
  return h("span", { class: "legend" }, low, canvas, high);
}

/**
 * Follows the host: TensorBoard marks its body, and lends its Roboto to nobody who does not take it.
 * @param {() => void} changed
 */
export function followHost(changed) {
  const host = hostDocument();
  if (!host) return;
  const apply = () => {
    const on = host.body.classList.contains("dark-mode");
    if (on === dark()) return;
    document.documentElement.classList.toggle("dark", on);
    changed();
  };
  apply();
  new MutationObserver(apply).observe(host.body, { attributes: true, attributeFilter: ["class"] });
  adoptFonts(host);
}

/** The page around the frame; null where there is none, or it is of another origin, whose theme is not told: light. */
function hostDocument() {
  try {
    return window.parent === window ? null : window.parent.document;
  } catch {
    return null;
  }
}

/** @param {Document} host */
function adoptFonts(host) {
  const FontFaceRule = /** @type {typeof globalThis & Window} */ (window.parent).CSSFontFaceRule;
  try {
    for (const sheet of host.styleSheets) {
      for (const rule of sheet.cssRules) {
        if (!(rule instanceof FontFaceRule)) continue;
        if (/Roboto\b/.test(rule.cssText) && !/Mono/.test(rule.cssText)) adopt(rule, sheet.href ?? host.baseURI);
      }
    }
  } catch {
    /* a sheet from elsewhere keeps its rules to itself: the system's sans stands in */
  }
}

/**
 * Takes over a font rule of the host, with its address made whole: ours is another base.
 * @param {CSSFontFaceRule} rule
 * @param {string} base
 */
function adopt(rule, base) {
  /** @param {string} name */
  const value = (name) => rule.style.getPropertyValue(name);
  const source = value("src").replace(/url\("?([^")]+)"?\)/g, (_, url) => `url("${new URL(url, base).href}")`);
  const face = new FontFace("Roboto", source, {
    weight: value("font-weight") || "400",
    style: value("font-style") || "normal",
    unicodeRange: value("unicode-range") || "U+0-10FFFF",
  });
  document.fonts.add(face);
}
