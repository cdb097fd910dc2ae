/**
 * Zooming into a chart: the pointer is dragged with the shift key held; a double click, or the button, shows all of it again.
 * What was zoomed into stays through every drawing, and while new epochs arrive.
 */
import { clamp, h, hideTip, short } from "./dom.js";

const LEAST = 6; // pixels of a drag; less is a click
const DOUBLE = 500; // milliseconds between two clicks that are one double click
/** @typedef {{xaxis: [any, any], yaxis: [any, any]}} Ranges */

export class Zoom {
  #node;
  #draw;
  #subject = "";
  /** @type {Ranges | null} */
  #ranges = null;
  #last = { timeStamp: -Infinity, clientX: 0, clientY: 0 };
  #frame = h("div", { class: "zoom-frame", hidden: true });
  #button = h(
    "button",
    { type: "button", class: "zoom-out", hidden: true, onclick: () => this.#to(null) },
    "Reset zoom",
  );

  /**
   * @param {HTMLElement} node of the chart
   * @param {() => void} draw draws the chart again
   */
  constructor(node, draw) {
    this.#node = node;
    this.#draw = draw;
    node.append(this.#frame, this.#button);
    // Before plotly, which takes hold of the pointer where it is pressed.
    node.addEventListener("pointerdown", (event) => this.#pressed(event), true);
    node.addEventListener("click", (event) => this.#clicked(event));
  }

  /**
   * Shows all of a chart that shows something else now.
   * @param {string} subject
   */
  of(subject) {
    if (subject === this.#subject) return;
    this.#subject = subject;
    this.#ranges = null;
    this.#button.hidden = true;
  }

  /**
   * A layout with the axes as far as they are zoomed into.
   * @param {Record<string, any>} layout
   */
  applied(layout) {
    if (!this.#ranges) return layout;
    const axes = Object.entries(this.#ranges).map(([name, range]) => [name, zoomedAxis(layout[name], range)]);
    return { ...layout, ...Object.fromEntries(axes) };
  }

  /** @param {EventTarget | null} target */
  isButton(target) {
    return target === this.#button;
  }

  /**
   * A double click by the clock: the first click draws the page again, and the browser counts from one.
   * @param {MouseEvent} event
   */
  #clicked({ timeStamp, clientX, clientY, target }) {
    const last = this.#last;
    this.#last = { timeStamp, clientX, clientY };
    if (!this.#ranges || target === this.#button) return;
    const near = Math.abs(clientX - last.clientX) < LEAST && Math.abs(clientY - last.clientY) < LEAST;
    if (near && timeStamp - last.timeStamp < DOUBLE) this.#to(null);
  }

  /** @param {Ranges | null} ranges */
  #to(ranges) {
    this.#ranges = ranges;
    this.#button.hidden = !ranges;
    this.#draw();
  }

  /** @param {PointerEvent} start */
  #pressed(start) {
    const axes = this.#axes;
    if (!start.shiftKey || start.button !== 0 || !axes) return;
    start.preventDefault();
    start.stopPropagation();
    hideTip();
    const box = this.#node.getBoundingClientRect();
    /** @param {PointerEvent} event */
    const place = (event) => ({
      x: clamp(event.clientX - box.left - axes.x._offset, 0, axes.x._length),
      y: clamp(event.clientY - box.top - axes.y._offset, 0, axes.y._length),
    });
    const from = place(start);
    const listeners = new AbortController();
    const { signal } = listeners;
    /** @param {PointerEvent} event */
    const moved = (event) => this.#showFrame(axes, from, place(event));
    /** @param {PointerEvent} event */
    const released = (event) => {
      listeners.abort();
      this.#frame.hidden = true;
      this.#take(axes, from, place(event));
    };
    addEventListener("pointermove", moved, { signal });
    addEventListener("pointerup", released, { signal });
    addEventListener(
      "pointercancel",
      () => {
        listeners.abort();
        this.#frame.hidden = true;
      },
      { signal },
    );
  }

  /** @returns {{x: any, y: any} | null} plotly's own description of the drawn axes */
  get #axes() {
    const layout = /** @type {any} */ (this.#node.querySelector(".canvas"))?._fullLayout;
    return layout?.xaxis && layout?.yaxis ? { x: layout.xaxis, y: layout.yaxis } : null;
  }

  /**
   * @param {{x: any, y: any}} axes
   * @param {{x: number, y: number}} from
   * @param {{x: number, y: number}} to
   */
  #showFrame(axes, from, to) {
    const [left, right, top, bottom] = extent(axes, from, to);
    this.#frame.hidden = false;
    Object.assign(this.#frame.style, {
      left: `${axes.x._offset + left}px`,
      top: `${axes.y._offset + top}px`,
      width: `${right - left}px`,
      height: `${bottom - top}px`,
    });
  }

  /**
   * @param {{x: any, y: any}} axes
   * @param {{x: number, y: number}} from
   * @param {{x: number, y: number}} to
   */
  #take(axes, from, to) {
    if (Math.abs(to.x - from.x) < LEAST && Math.abs(to.y - from.y) < LEAST) return;
    const [left, right, top, bottom] = extent(axes, from, to);
    const reversed = axes.y.range[0] > axes.y.range[1] && axes.y.type !== "log";
    const ends = [axes.y.p2l(bottom), axes.y.p2l(top)];
    this.#to({
      xaxis: [axes.x.p2l(left), axes.x.p2l(right)],
      yaxis: reversed ? [Math.max(...ends), Math.min(...ends)] : [Math.min(...ends), Math.max(...ends)],
    });
  }
}

const ROUND = [1, 2, 5]; // digits of a logarithmic axis with a label

/**
 * An axis as far as it is zoomed into, with labels of its own where those of the whole may lie outside.
 * @param {Record<string, any>} axis
 * @param {[number, number]} range
 */
function zoomedAxis(axis, range) {
  if (axis.type === "log") {
    const [low, high] = range;
    const exponents = Array.from({ length: Math.ceil(high) - Math.floor(low) + 1 }, (_, i) => Math.floor(low) + i);
    const values = exponents.flatMap((exponent) => ROUND.map((digit) => digit * 10 ** exponent));
    const inside = values.filter((value) => Math.log10(value) >= low && Math.log10(value) <= high);
    if (inside.length > 1) return { ...axis, range, tickmode: "array", tickvals: inside, ticktext: inside.map(short) };
    return { ...axis, range, tickmode: "auto", tickvals: undefined, ticktext: undefined, nticks: 5 };
  }
  if (!axis.unifiedhovertitle) return { ...axis, range }; // rows, and axes whose labels plotly chooses
  const unit = axis.ticktext?.[0]?.split(" ")[0] ?? "";
  const ticks = { tickmode: "auto", tickvals: undefined, ticktext: undefined, nticks: 6, tickformat: ",d" };
  return { ...axis, ...ticks, range, tickprefix: `${unit} `, showtickprefix: "first" };
}

/**
 * What a drag frames; one along an axis frames all of the other.
 * @param {{x: any, y: any}} axes
 * @param {{x: number, y: number}} from
 * @param {{x: number, y: number}} to
 */
function extent(axes, from, to) {
  const wide = Math.abs(to.x - from.x) >= LEAST;
  const tall = Math.abs(to.y - from.y) >= LEAST;
  const [left, right] = wide ? [Math.min(from.x, to.x), Math.max(from.x, to.x)] : [0, axes.x._length];
  const [top, bottom] = tall ? [Math.min(from.y, to.y), Math.max(from.y, to.y)] : [0, axes.y._length];
  return [left, right, top, bottom];
}
