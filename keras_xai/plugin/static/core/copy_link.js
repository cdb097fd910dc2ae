/** The button that copies a link to what is seen; a box to copy it from where the clipboard is closed to us. */
import { h } from "./dom.js";

const SAID = 2000; // milliseconds

/**
 * @param {() => string} link
 * @param {(words: string) => void} announce tells those who listen
 */
export function copyLink(link, announce) {
  const input = h("input", { type: "text", readonly: true, "aria-label": "Link to what is seen" });
  const dialog = h(
    "dialog",
    { class: "link-dialog", "aria-label": "Link" },
    h("h3", {}, "Link to what is seen"),
    h("p", { class: "note" }, "The browser keeps the clipboard closed: copy it from here."),
    input,
  );
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  const button = h("button", { type: "button", class: "link copy-link", onclick: copy }, "Copy link");
  let timer = 0;

  async function copy() {
    const text = link();
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      input.value = text;
      dialog.showModal();
      input.select();
      return;
    }
    announce("The link is copied.");
    button.textContent = "Copied";
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.textContent = "Copy link";
    }, SAID);
  }

  return { button, dialog };
}
