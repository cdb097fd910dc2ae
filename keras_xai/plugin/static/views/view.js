/** What a tab is to the shell. A view answers what it needs to, and owns whatever it keeps between two drawings. */

/** @implements {View} */
export class BaseView {
  ofRuns = false;

  /**
   * Everything that decides which settings there are.
   * @param {RunContext} context
   * @returns {string}
   */
  settingsKey(context) {
    return "";
  }

  /**
   * @param {RunContext} context
   * @param {import("../core/controls.js").SettingsRail} rail
   * @returns {HTMLElement[]}
   */
  settings(context, rail) {
    return [];
  }

  /**
   * Asks the server for what `draw` will read, while the page is still being made.
   * @param {RunContext} context
   */
  load(context) {}

  /**
   * @param {HTMLElement} root
   * @param {RunContext} context
   */
  draw(root, context) {}

  /**
   * Shows another epoch on what stands, and says whether that was enough until the slider rests.
   * @param {RunContext} context
   * @returns {boolean}
   */
  step(context) {
    return false;
  }
}
