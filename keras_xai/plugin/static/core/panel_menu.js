/** The menu "⋯" of a panel: what it shows as a picture, as numbers, as the server's files, as a line of a notebook. */
import { address, fetchAnswer } from "./api.js";
import { csvOf } from "./csv.js";
import { h, panelsOnPage } from "./dom.js";
import { figureNumbers } from "./figure_numbers.js";
import { pictureOfChart, pictureOfPanel } from "./picture.js";
import { Popup } from "./popup.js";
import { state } from "./state.js";
import { BEFORE } from "./updates.js";

/** @typedef {import("./chart.js").PlacedChart} PlacedChart */
/** @typedef {{title: string, take: () => unknown}} Entry one thing to take out */

const NAME_LENGTH = 60; // of a run or a panel in the name of a file

export class PanelMenu {
  #popup = new Popup("menu");

  /** Keeps its place beside the button after a drawing. */
  follow() {
    this.#popup.follow();
  }

  /**
   * @param {HTMLElement} button
   * @param {Context} context
   */
  open(button, context) {
    const section = /** @type {HTMLElement} */ (button.closest(".panel"));
    const items = entries(section, context).map(({ title, take }) =>
      menuItem(title, async () => {
        if (await this.#attempt(take)) this.#popup.close();
      }),
    );
    const line = notebookParameters(section, context);
    const notebook =
      context.vocabulary.figures.includes(line.name) &&
      menuItem("Copy line for a notebook", () => this.#attempt(() => this.#showLine(line)));
    this.#popup.toggle(button, button.title, items, notebook);
  }

  /**
   * Says why something could not be taken out, and whether it could.
   * @param {() => unknown} take
   */
  async #attempt(take) {
    try {
      await take();
      return true;
    } catch (error) {
      this.#popup.show(h("p", { class: "alarm", role: "alert" }, String(/** @type {Error} */ (error).message)));
      return false;
    }
  }

  /**
   * The line of Python that draws what the panel shows: copied, and shown for where the browser forbids it.
   * @param {Query} parameters
   */
  async #showLine(parameters) {
    const response = await fetch(address("notebook", parameters));
    const line = await response.text();
    if (!response.ok) throw new Error(line.slice(0, 300));
    const copied = await copy(line);
    this.#popup.show(
      h("p", { role: "status" }, copied ? "Copied:" : "Select and copy:"),
      h("code", { class: "line", tabindex: 0 }, line),
    );
  }
}

/**
 * @param {string} title
 * @param {() => unknown} onclick
 */
const menuItem = (title, onclick) => h("button", { type: "button", role: "menuitem", tabindex: -1, onclick }, title);

/**
 * What can be taken out of a panel as it stands.
 * @param {HTMLElement} section
 * @param {Context} context
 * @returns {Entry[]}
 */
function entries(section, context) {
  const about = panelsOnPage.get(section) ?? {};
  const charts = context.charts.within(section);
  const table = about.csv ?? (charts.length ? () => numbersOf(charts) : null);
  /** @param {string} suffix */
  const name = (suffix) => fileName(section, context, suffix);
  const caption = captionOf(section, context);
  const drawn = section.querySelector(":scope > :not(header) canvas, :scope > :not(header, .chart) svg");
  const chartAlone = charts.length === 1 && !drawn ? charts[0] : null;
  /** @type {Entry[]} */
  const list = [];
  /** @param {"png" | "svg"} format */
  const picture = async (format) => {
    const asked = chartAlone ? pictureOfChart(chartAlone, caption, format) : pictureOfPanel(section, caption);
    save(await asked, name(`.${format}`));
  };
  list.push({ title: "Picture (PNG)", take: () => picture("png") });
  if (chartAlone) list.push({ title: "Picture (SVG)", take: () => picture("svg") });
  if (table) {
    const take = async () => save(new Blob([csvOf(await table())], { type: "text/csv" }), name(".csv"));
    list.push({ title: "Numbers (CSV)", take });
  }
  for (const { title, route, parameters, suffix } of about.files?.() ?? []) {
    list.push({ title, take: () => saveAddress(address(route, parameters), name(suffix)) });
  }
  return list;
}

/**
 * The numbers of the first chart; of one whose figure holds less than was recorded they are asked for.
 * @param {PlacedChart[]} charts
 */
async function numbersOf([{ figure, parameters }]) {
  if (!figure.layout.meta?.coarse) return figureNumbers(figure);
  return figureNumbers(await fetchAnswer(address("figure", { ...parameters, compact: undefined, exact: 1 })));
}

/**
 * "run_panel_epoch_12.csv": what is said of a run by its name is kept to what every file system takes.
 * @param {HTMLElement} section
 * @param {Context} context
 * @param {string} suffix
 */
export function fileName(section, context, suffix) {
  const about = panelsOnPage.get(section) ?? {};
  const title = section.querySelector("h3")?.textContent ?? "panel";
  const update = context.epoch === BEFORE ? ["before_training"] : [context.card.unit, String(context.epoch)];
  const parts = [context.name === "." ? "run" : context.name, about.file ?? about.help ?? title, ...update];
  const words = parts.map((part) => part.replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[-.]+|[-.]+$/g, ""));
  return words.map((part) => part.slice(0, NAME_LENGTH)).join("_") + suffix;
}

/**
 * What stands over a picture: the title, and whose panel it is.
 * @param {HTMLElement} section
 * @param {Context} context
 */
function captionOf(section, context) {
  const runs = context.picked.join(", ");
  const update = context.epoch === BEFORE ? "before training" : `${context.card.unit} ${context.epoch}`;
  return { title: section.querySelector("h3")?.textContent ?? "", words: `${runs} · ${update}` };
}

/**
 * Which figure of the notebook draws a panel, with what it depends on here.
 * @param {HTMLElement} section
 * @param {Context} context
 * @returns {Query & {name: string}}
 */
function notebookParameters(section, context) {
  const about = panelsOnPage.get(section) ?? {};
  const [first] = context.charts.within(section);
  const figure = about.figure ?? first?.parameters ?? { name: state.view };
  return { epoch: context.epoch, ...figure, run: context.name, theme: context.theme };
}

/**
 * Hands a file to the browser.
 * @param {Blob} content
 * @param {string} name
 */
function save(content, name) {
  const url = URL.createObjectURL(content);
  saveAddress(url, name);
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/**
 * @param {string} href
 * @param {string} download
 */
function saveAddress(href, download) {
  const link = h("a", { href, download, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
}

/**
 * Whether the text is on the clipboard, which a page that came over plain HTTP may not use.
 * @param {string} text
 */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
