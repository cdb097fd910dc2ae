/** The colours of the theme as the server knows them, and which theme the host wears. */
import { h } from "./dom.js";

let themes = null;
const tables = new Map();

/** What the server said of both themes. */
export const setColours = (said) => {
  themes = said;
};

export const dark = () => document.documentElement.classList.contains("dark");
export const themeName = () => (dark() ? "dark" : "light");
export const token = (name) => themes[themeName()].tokens[name];

/** The colour of the run first seen at this place. */
export const runColour = (place) => {
  const colours = themes[themeName()].runs;
  return colours[Math.max(0, place) % colours.length];
};

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/** 256 colours as [r, g, b]. @param {"sequential"|"diverging"|"ember"} name */
export function table(name) {
  const key = themeName() + name;
  if (!tables.has(key)) tables.set(key, themes[themeName()].maps[name].map(rgb));
  return tables.get(key);
}

/** 256 colours as the low three bytes of a pixel in memory, for loops over many. */
export function packedTable(name) {
  const key = `packed ${themeName()}${name}`;
  if (!tables.has(key))
    tables.set(
      key,
      Uint32Array.from(table(name), ([r, g, b]) => (b << 16) | (g << 8) | r),
    );
  return tables.get(key);
}

/** The colour at 0..1 of a map. */
export const at = (name, t, alpha = 1) => {
  const [r, g, b] = table(name)[Math.round(255 * Math.min(1, Math.max(0, t)))];
  return `rgb(${r} ${g} ${b} / ${alpha})`;
};

/** A legend that names both its ends. */
export function legend(name, low, high) {
  const canvas = h("canvas", { width: 256, height: 1, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  for (let i = 0; i < 256; i++) {
    context.fillStyle = at(name, i / 255);
    context.fillRect(i, 0, 1, 1);
  }
  return h("span", { class: "legend" }, low, canvas, high);
}

/** Follows the host: TensorBoard marks its body, and lends its Roboto to nobody who does not take it. */
export function followHost(changed) {
  let host = null;
  try {
    host = window.parent === window ? null : window.parent.document;
  } catch {
    /* another origin: stay light */
  }
  const apply = () => {
    const on = Boolean(host?.body?.classList.contains("dark-mode"));
    if (on === dark()) return;
    document.documentElement.classList.toggle("dark", on);
    changed();
  };
  if (!host) return;
  apply();
  new MutationObserver(apply).observe(host.body, { attributes: true, attributeFilter: ["class"] });
  try {
    for (const sheet of host.styleSheets)
      for (const rule of sheet.cssRules)
        if (
          rule instanceof window.parent.CSSFontFaceRule &&
          /Roboto\b/.test(rule.cssText) &&
          !/Mono/.test(rule.cssText)
        )
          adopt(rule, sheet.href ?? host.baseURI);
  } catch {
    /* a sheet from elsewhere keeps its rules to itself: the system's sans stands in */
  }
}

/** A font rule of the host with its address made whole: ours is another base. */
function adopt(rule, base) {
  const address = rule.style
    .getPropertyValue("src")
    .replace(/url\("?([^")]+)"?\)/g, (_, url) => `url("${new URL(url, base).href}")`);
  const face = new FontFace("Roboto", address, {
    weight: rule.style.getPropertyValue("font-weight") || "400",
    style: rule.style.getPropertyValue("font-style") || "normal",
    unicodeRange: rule.style.getPropertyValue("unicode-range") || "U+0-10FFFF",
  });
  document.fonts.add(face);
}
