/** The (i) of a panel: what it is, what good and what bad look like, and the page that says more. */
import { pageLink } from "./documentation.js";
import { h, panelsOnPage } from "./dom.js";
import { Popup } from "./popup.js";

export class PanelHelp {
  #popup = new Popup("about");

  /** Keeps its place beside the button after a drawing. */
  follow() {
    this.#popup.follow();
  }

  /**
   * @param {HTMLElement} button
   * @param {Context} context
   */
  open(button, { vocabulary, theme }) {
    const section = button.closest(".panel");
    const name = (section && panelsOnPage.get(section)?.help) ?? "";
    const words = vocabulary.help[name];
    if (!words) return;
    this.#popup.toggle(
      button,
      words.term,
      h("h4", {}, words.term),
      h("p", {}, words.what),
      h("dl", {}, h("dt", {}, "Good"), h("dd", {}, words.good), h("dt", {}, "Bad"), h("dd", {}, words.bad)),
      pageLink(words.page, theme, "Read more in the documentation →"),
    );
  }
}
