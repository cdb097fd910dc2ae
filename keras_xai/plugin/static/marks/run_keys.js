/** Which line is whose, where several runs are laid over each other. */
import { runColour, runDash } from "../core/colour.js";
import { h, s } from "../core/dom.js";
import { distinct } from "../core/names.js";

const LETTERS = 18;
const [WIDTH, HEIGHT] = [18, 8]; // pixels of a piece of line

/**
 * A piece of the line of a run, in its colour and dash.
 * @param {number} place
 */
function sample(place) {
  const dash = runDash(place);
  return s(
    "svg",
    { width: WIDTH, height: HEIGHT, class: "run-sample", "aria-hidden": "true" },
    s("line", {
      x1: 0,
      x2: WIDTH,
      y1: HEIGHT / 2,
      y2: HEIGHT / 2,
      stroke: runColour(place),
      "stroke-width": 2,
      "stroke-dasharray": dash === "solid" ? null : dash.replaceAll("px", ""),
    }),
  );
}

/**
 * The names of runs with pieces of their lines: the first few, and a button for the others.
 * @param {Context} context
 * @param {string[]} names
 * @param {number} most that are named
 */
export function runKeys({ place }, names, most) {
  const labels = distinct(names, LETTERS);
  const keys = names.map((name, i) => h("span", { class: "key of-run", title: name }, sample(place(name)), labels[i]));
  const others = keys.slice(most);
  if (!others.length) return keys;
  const more = `+${others.length} more`;
  for (const node of others) node.hidden = true;
  const button = h(
    "button",
    {
      type: "button",
      class: "link",
      "aria-expanded": "false",
      title: names.slice(most).join("\n"),
      onclick: () => {
        const opens = others[0].hidden;
        for (const node of others) node.hidden = !opens;
        button.textContent = opens ? "fewer" : more;
        button.setAttribute("aria-expanded", String(opens));
        button.closest(".note")?.classList.toggle("unfolded", opens);
      },
    },
    more,
  );
  return [...keys, button];
}
