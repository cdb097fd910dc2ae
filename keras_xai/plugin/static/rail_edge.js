/** The edge of the rail, which can be moved: by the pointer, by the arrow keys, and back by a double click. */
import { clamp, h } from "./core/dom.js";
import { set, state } from "./core/state.js";

const [LEAST, USUAL, MOST] = [160, 216, 480]; // pixels
const STEP = 16; // pixels of an arrow key

/** @param {number} width */
function show(width) {
  document.body.style.setProperty("--rail-width", `${width}px`);
  edge.setAttribute("aria-valuenow", String(width));
}

/** @param {PointerEvent} event */
function dragged(event) {
  event.preventDefault();
  edge.setPointerCapture(event.pointerId);
  edge.classList.add("dragged");
  /** @param {PointerEvent} move */
  const follow = (move) => show(clamp(Math.round(move.clientX), LEAST, MOST));
  /** @param {PointerEvent} end */
  const drop = (end) => {
    edge.removeEventListener("pointermove", follow);
    edge.classList.remove("dragged");
    set({ railWidth: clamp(Math.round(end.clientX), LEAST, MOST) });
  };
  edge.addEventListener("pointermove", follow);
  edge.addEventListener("lostpointercapture", drop, { once: true });
}

/** @param {KeyboardEvent} event */
function pressed(event) {
  const step = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  set({ railWidth: clamp(state.railWidth + step, LEAST, MOST) });
}

const edge = h("div", {
  class: "edge",
  role: "separator",
  tabindex: 0,
  "aria-orientation": "vertical",
  "aria-label": "Width of the rail",
  "aria-valuemin": LEAST,
  "aria-valuemax": MOST,
  onpointerdown: dragged,
  onkeydown: pressed,
  ondblclick: () => set({ railWidth: USUAL }),
});

/** The edge at the width that was chosen last. */
export function railEdge() {
  show(state.railWidth);
  return edge;
}
