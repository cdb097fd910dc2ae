/** A panel of the server's own words and drawing: all that a view needs to show one of its figures. */
import { chart, figureBehind } from "../core/chart.js";
import { legend } from "../core/colour.js";
import { h, panel } from "../core/dom.js";

const CHART_HEIGHT = 236;

/**
 * A figure of the server's `PANELS`, under the title, the sentences, the reading and the scale of its `layout.meta`.
 * @typedef {object} FigurePanel
 * @property {string} name
 * @property {string} span "c4", "c5", "c7" or "c12": so many of the twelve columns
 * @property {boolean} [still] there is no epoch to click on
 * @property {boolean} [ofEpoch] it is drawn for the slider's epoch
 * @property {Query} [parameters] further options of the figure
 */

/**
 * Shows a figure; nothing where this run has nothing for it.
 * @param {RunContext} context
 * @param {FigurePanel} options
 * @returns {HTMLElement[]}
 */
export function figurePanel(context, { name, span, still = false, ofEpoch = false, parameters: more = {} }) {
  const parameters = ofEpoch ? { epoch: context.epoch, ...more } : more;
  const figure = figureBehind(context, name, parameters, false);
  if (figure && !figure.data.length) return [];
  const { title = "…", reading, sentences = [], scale } = figure?.layout.meta ?? {};
  const height = CHART_HEIGHT + context.spare;
  const options = { parameters, overlays: false, still, height, label: figure ? title : name };
  const note = h("p", { class: "note reading" }, reading);
  const findings = sentences.length
    ? [
        h(
          "ul",
          { class: "findings" },
          sentences.map((words) => h("li", {}, words)),
        ),
      ]
    : [];
  const scaleLegend = scale && legend(scale.map, scale.low, scale.high);
  const help = context.vocabulary.help[name] ? name : undefined;
  return [
    panel(span, title, { help, file: name, note: scaleLegend }, ...findings, note, chart(context, name, options)),
  ];
}
