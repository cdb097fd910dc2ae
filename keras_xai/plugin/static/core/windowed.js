/** Long lists of which only what is in sight is in the page. Rows have one height. */

const WHOLE = 160; // rows up to which all of them stand, so that the browser's own search finds them
const BEYOND = 8; // rows above and below what is in sight

/** @template T */
export class Windowed {
  #scroller;
  #body;
  #height;
  #make;
  #spacer;
  /** @type {T[]} */
  #rows = [];
  #first = -1;
  #last = -1;
  #top = 0;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} body that holds the rows, in the scroller
   * @param {number} height of a row, in pixels
   * @param {(row: T, index: number) => HTMLElement} make
   * @param {(height: number) => HTMLElement} spacer stands for the rows that are out of sight
   */
  constructor(scroller, body, height, make, spacer) {
    this.#scroller = scroller;
    this.#body = body;
    this.#height = height;
    this.#make = make;
    this.#spacer = spacer;
    scroller.addEventListener("scroll", () => {
      if (!scroller.isConnected || !scroller.clientHeight) return;
      this.#top = scroller.scrollTop;
      this.#draw();
    });
    new ResizeObserver(() => this.#draw()).observe(scroller);
  }

  /** @param {T[]} rows */
  show(rows) {
    this.#rows = rows;
    this.#first = -1;
    this.#draw();
    this.restore();
  }

  /** Scrolls back to where the list was, after it was taken out of the page. */
  restore() {
    if (this.#scroller.scrollTop !== this.#top) this.#scroller.scrollTop = this.#top;
  }

  /**
   * Scrolls until a row is in sight.
   * @param {number} index
   */
  reveal(index) {
    const { clientHeight } = this.#scroller;
    const top = index * this.#height;
    if (index < 0 || !clientHeight) return;
    if (top >= this.#top && top + this.#height <= this.#top + clientHeight) return;
    this.#top = Math.max(0, top - clientHeight / 2);
    this.#scroller.scrollTop = this.#top;
    this.#draw();
  }

  #draw() {
    const rows = this.#rows;
    const all = rows.length <= WHOLE;
    const from = Math.floor(Math.min(this.#top, rows.length * this.#height) / this.#height);
    const first = all ? 0 : Math.max(0, from - BEYOND);
    const inSight = Math.ceil((this.#scroller.clientHeight || 800) / this.#height);
    const last = all ? rows.length : Math.min(rows.length, from + inSight + BEYOND);
    if (this.#first >= 0 && first === this.#first && last === this.#last) return;
    this.#first = first;
    this.#last = last;
    const nodes = rows.slice(first, last).map((row, i) => this.#make(row, first + i));
    if (first) nodes.unshift(this.#spacer(first * this.#height));
    if (last < rows.length) nodes.push(this.#spacer((rows.length - last) * this.#height));
    const key = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.key;
    const held = key && this.#body.contains(document.activeElement);
    this.#body.replaceChildren(...nodes);
    if (held) {
      const node = this.#body.querySelector(`[data-key="${CSS.escape(key)}"]`);
      /** @type {HTMLElement | null} */ (node)?.focus({ preventScroll: true });
    }
  }

  /** The rows that stand in the page. */
  get inSight() {
    return this.#rows.slice(Math.max(0, this.#first), Math.max(0, this.#last));
  }
}
