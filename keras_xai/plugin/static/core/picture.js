/** Panels as pictures: a chart by plotly, any other panel as the browser lays it out. At twice the size, in the theme shown. */
import { token } from "./colour.js";
import { context2d, h } from "./dom.js";

const SCALE = 2;
const PADDING = 16; // pixels around a panel
const CAPTION_HEIGHT = 56; // above a chart
const LEGEND_HEIGHT = 44; // below it
/** What of its computed style an element needs to look the same outside its page. */
const STYLE = [
  ...["align-items", "align-self", "aspect-ratio", "background-color", "background-image", "background-size", "border"],
  ...[
    "border-bottom",
    "border-collapse",
    "border-left",
    "border-radius",
    "border-right",
    "border-spacing",
    "border-top",
  ],
  ...["bottom", "box-shadow", "box-sizing", "color", "column-gap", "display", "fill", "fill-opacity", "flex"],
  ...["flex-direction", "flex-wrap", "font-family", "font-size", "font-style", "font-variant-numeric", "font-weight"],
  ...["grid-column", "grid-row", "grid-template-columns", "grid-template-rows", "height", "justify-content", "left"],
  ...["justify-items", "letter-spacing", "line-height", "list-style", "margin", "max-width", "min-width", "opacity"],
  ...["overflow", "overflow-wrap", "padding", "place-content", "position", "right", "row-gap", "stroke"],
  ...["stroke-dasharray", "stroke-width", "table-layout", "text-align", "text-anchor", "text-overflow", "top"],
  ...["transform", "vertical-align", "visibility", "white-space", "width", "word-spacing", "z-index"],
];
const LEFT_OUT = ".panel-help, .panel-menu, .zoom-out, .zoom-frame";

/** @typedef {{title: string, words: string}} Caption */

/**
 * A chart under its title with its run, its epoch and its legend.
 * @param {import("./chart.js").PlacedChart} chart
 * @param {Caption} caption
 * @param {"png" | "svg"} format
 * @returns {Promise<Blob>}
 */
export async function pictureOfChart({ figure, canvas, marks }, caption, format) {
  const plotly = window.Plotly;
  if (!plotly) throw new Error("The chart is not drawn yet.");
  const { clientWidth, clientHeight } = canvas;
  const { data, layout } = figure;
  const margin = layout.margin ?? {};
  const drawn = {
    ...layout,
    ...currentRanges(canvas, layout),
    width: clientWidth,
    height: clientHeight + CAPTION_HEIGHT + LEGEND_HEIGHT,
    paper_bgcolor: token("page"),
    margin: { ...margin, t: (margin.t ?? 0) + CAPTION_HEIGHT, b: (margin.b ?? 0) + LEGEND_HEIGHT },
    title: titleOf(caption),
    shapes: [...(layout.shapes ?? []), ...marks],
    showlegend: data.length > 1 && !layout.meta?.labelled,
    legend: { orientation: "h", x: 0, y: 0, yref: "container", yanchor: "bottom", font: { color: token("text-2") } },
  };
  const traces = data.map((trace) => (trace.type === "heatmap" ? withScale(trace, layout.meta) : trace));
  const options = { format, width: drawn.width, height: drawn.height, scale: format === "svg" ? 1 : SCALE };
  return blobOf(await plotly.toImage({ data: traces, layout: drawn }, options));
}

/**
 * The content of a `data:` address; the page may not fetch one.
 * @param {string} address
 */
function blobOf(address) {
  const [, type, coding, content] = /** @type {RegExpExecArray} */ (/^data:([^;,]*)([^,]*),(.*)$/s.exec(address));
  if (!coding.includes("base64")) return new Blob([decodeURIComponent(content)], { type });
  return new Blob([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], { type });
}

/** @param {Caption} caption */
function titleOf({ title, words }) {
  const below = `<span style="font-size:11px;color:${token("text-2")}">${escaped(words)}</span>`;
  const place = { x: 0, xref: "container", xanchor: "left", y: 1, yref: "container", yanchor: "top" };
  const font = { size: 14, color: token("text") };
  return { text: `${escaped(title)}<br>${below}`, font, ...place, pad: { l: 8, t: 20 } };
}

/**
 * A name as plotly's text, in which some markup has a meaning.
 * @param {string} text
 */
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/**
 * The axes as far as they are zoomed into.
 * @param {HTMLElement} canvas
 * @param {Record<string, any>} layout
 */
function currentRanges(canvas, layout) {
  const full = /** @type {any} */ (canvas)._fullLayout;
  const names = ["xaxis", "yaxis"].filter((name) => layout[name] && full?.[name]);
  return Object.fromEntries(names.map((name) => [name, { ...layout[name], range: [...full[name].range] }]));
}

/**
 * A heat map beside its scale.
 * @param {Record<string, any>} trace
 * @param {FigureMeta} [meta]
 */
function withScale(trace, meta) {
  if (!meta?.scale) return trace;
  const { low, high } = meta.scale;
  const ticks = { tickvals: [trace.zmin, trace.zmax], ticktext: [low, high], tickfont: { color: token("text-2") } };
  const place = { orientation: "h", x: 0, xanchor: "left", y: 0, yref: "container", yanchor: "bottom" };
  const size = { thickness: 8, len: 160, lenmode: "pixels", outlinewidth: 0, ypad: 4, xpad: 40 };
  return { ...trace, showscale: true, colorbar: { ...place, ...size, ...ticks } };
}

/**
 * A panel as it stands, with its captions, its tables and its drawings.
 * @param {HTMLElement} section
 * @param {Caption} caption
 * @returns {Promise<Blob>}
 */
export async function pictureOfPanel(section, { words }) {
  const { width, height } = section.getBoundingClientRect();
  const [w, y] = [Math.ceil(width) + 2 * PADDING, Math.ceil(height) + 3 * PADDING];
  const copy = styledCopy(section);
  const run = h("p", {
    style: { color: token("text-2"), font: `11px/${PADDING}px Roboto, Arial, sans-serif`, margin: 0 },
  });
  run.append(words);
  const style = {
    background: token("page"),
    padding: `${PADDING}px`,
    width: `${w}px`,
    height: `${y}px`,
    boxSizing: "border-box",
  };
  const page = h("div", { style }, run, copy);
  const markup = new XMLSerializer().serializeToString(page);
  const size = `width="${w}" height="${y}"`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" ${size}><foreignObject ${size}>${markup}</foreignObject></svg>`;
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = h("canvas", { width: w * SCALE, height: y * SCALE });
  context2d(canvas).drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done, failed) =>
    canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("This browser draws no picture of it.")))),
  );
}

/**
 * A copy of an element whose styles stand in itself, and whose canvases are images.
 * @param {Element} element
 * @returns {Element}
 */
function styledCopy(element) {
  const copy =
    element instanceof HTMLCanvasElement
      ? h("img", { src: element.toDataURL() })
      : /** @type {HTMLElement} */ (element.cloneNode(false));
  const computed = getComputedStyle(element);
  copy.removeAttribute("class");
  for (const name of STYLE) copy.style.setProperty(name, computed.getPropertyValue(name));
  for (const child of element.childNodes) {
    if (child instanceof Element && child.matches(LEFT_OUT)) continue;
    copy.append(child instanceof Element ? styledCopy(child) : child.cloneNode());
  }
  return copy;
}
