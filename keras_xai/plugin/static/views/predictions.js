/** Predictions: the model's answers for the rows of the probe at the slider's epoch, and the rows behind each of them. */
import { group } from "../core/controls.js";
import { h, message } from "../core/dom.js";
import { state } from "../core/state.js";
import { matrixPanel } from "../marks/confusion.js";
import { confusionsPanel, errorsPanel, metricsPanel, predictedPanel, slicesPanel } from "../marks/prediction_tables.js";
import { examplesPanel } from "./examples.js";
import { figurePanel } from "./figure_panel.js";
import { BaseView } from "./view.js";

const SMALL = 6; // classes whose matrix leaves room below it

export class PredictionsView extends BaseView {
  /** @type {{name: string, answer: Predictions} | null} the last answer: it stands in until that of the epoch is there */
  #last = null;

  /** @param {RunContext} context */
  load(context) {
    read(context);
  }

  /** @param {RunContext} context */
  settingsKey(context) {
    const answer = this.#answer(context);
    return answer && hasColumns(answer) ? [answer.answer, ...Object.values(answer.names)].join() : "";
  }

  /**
   * @param {RunContext} context
   * @param {import("../core/controls.js").SettingsRail} rail
   */
  settings(context, rail) {
    const answer = this.#answer(context);
    if (!answer || !hasColumns(answer)) return [];
    const title = answer.answer === "labels" ? "Label" : "Output";
    /** @type {[string, string][]} */
    const options = Object.entries(answer.names);
    return [group(title, rail.choice("label", title, options, String(answer.shown)))];
  }

  /**
   * @param {HTMLElement} root
   * @param {RunContext} context
   */
  draw(root, context) {
    const answer = this.#answer(context);
    if (!answer) {
      const words = context.server.refusal("predictions", query(context)) ?? "Reading the predictions …";
      root.append(h("p", { class: "note" }, words));
      return;
    }
    if (answer.absent !== undefined) {
      const why = `${answer.absent[0].toUpperCase()}${answer.absent.slice(1)}.`;
      root.append(message("No predictions were recorded", why, "kx.Explain(log_dir, probe)"));
      return;
    }
    const kind = answer.finite ? "sentence" : "sentence alarm";
    const lead = h("div", { class: "lead c12" }, h("h2", { class: kind }, answer.sentence));
    root.append(h("div", { class: "grid" }, lead, panels(context, answer)));
  }

  /**
   * The answer for the epoch, or the last one of this run.
   * @param {RunContext} context
   */
  #answer(context) {
    const answer = read(context);
    if (answer) this.#last = { name: context.name, answer };
    return this.#last?.name === context.name ? this.#last.answer : null;
  }
}

/** @param {RunContext} context */
const query = ({ name, epoch }) => ({ run: name, epoch });

/** @param {RunContext} context */
const read = (context) => context.server.read("predictions", query(context), context.run.stamp);

/**
 * Whether a row has several labels or numbers, of which one is shown.
 * @param {Predictions} answer
 */
const hasColumns = (answer) => answer.absent === undefined && answer.answer !== "class" && answer.classes > 1;

/**
 * The label or output that is shown.
 * @param {Predictions} answer
 */
const labelOf = (answer) => (state.label !== "" && state.label in answer.names ? Number(state.label) : answer.shown);

/**
 * @param {RunContext} context
 * @param {Predictions} answer
 * @returns {Child}
 */
function panels(context, answer) {
  const label = labelOf(answer);
  const parameters = hasColumns(answer) ? { label } : {};
  /** @param {string} name @param {string} span */
  const figure = (name, span) => figurePanel(context, { name, span, still: true, ofEpoch: true, parameters });
  const examples = examplesPanel(context, answer, label, "c5");
  const slices = slicesPanel(answer);
  if (answer.answer === "value") {
    const errors = errorsPanel(answer, label, "c5");
    return [figure("predicted_against_true", "c7"), examples, figure("residuals", "c7"), errors, slices];
  }
  const matrix = matrixPanel(answer, label, "c7");
  const certainty = [figure("calibration", "c4"), figure("truth_histogram", "c4")];
  if (!matrix) return [predictedPanel(answer, "c7") ?? confusionsPanel(answer, "c7"), examples, certainty, slices];
  if (matrixSize(answer) <= SMALL) {
    const stack = h("div", { class: "c7 stack" }, matrix, metricsPanel(answer, label, ""));
    return [stack, examples, figure("calibration", "c5"), figure("truth_histogram", "c7"), slices];
  }
  if (matrixSize(answer) < answer.classes) {
    return [matrix, examples, confusionsPanel(answer, "c4"), certainty, metricsPanel(answer, label, "c12"), slices];
  }
  return [matrix, examples, certainty, metricsPanel(answer, label, "c4"), slices];
}

/** @param {Predictions} answer */
const matrixSize = (answer) => answer.matrices[0]?.classes.length ?? 0;
