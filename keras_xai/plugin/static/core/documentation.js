/** Pages of the documentation, which the server has from the installed package. */
import { h } from "./dom.js";

const SENTENCE = /\s*See docs\/([\w-]+)\.md(#[\w-]+)?\.$/; // the last one of an advice

/**
 * A link to a page, in the look of the tab.
 * @param {string} page with its anchor, "drift#verdicts"
 * @param {string} theme
 * @param {string} words
 */
export function pageLink(page, theme, words) {
  const [name, anchor] = page.split("#");
  const href = `./docs/${name}?theme=${theme}${anchor ? `#${anchor}` : ""}`;
  return h("a", { class: "link", href, target: "_blank", rel: "noopener" }, words);
}

/**
 * An advice, with a link in place of the page that it ends with.
 * @param {string} advice
 * @param {string} theme
 * @returns {Child[]}
 */
export function adviceWords(advice, theme) {
  const page = SENTENCE.exec(advice);
  if (!page) return [advice];
  return [`${advice.slice(0, page.index)} `, pageLink(page[1] + (page[2] ?? ""), theme, "What to do about it →")];
}
