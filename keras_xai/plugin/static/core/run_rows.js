/** The rows of the table of runs. The server judges a run in some milliseconds, so they come a few at a time. */

const NAMES = 64; // of one request
const LETTERS = 6000; // of its address
const REST = 2000; // milliseconds after a request that failed

/** The rows that have arrived, and those that are asked for. */
export class RunRows {
  /** @type {Map<string, RunRow>} */
  #rows = new Map();
  /** @type {Map<string, string>} the stamp of the card for which a row was asked for last */
  #asked = new Map();
  #isAsking = false;
  #onRows;

  /** @param {() => void} onRows is called after rows arrived */
  constructor(onRows) {
    this.#onRows = onRows;
  }

  /** @param {string} name */
  of(name) {
    return this.#rows.get(name);
  }

  /** @param {Card} card */
  #isStale(card) {
    const stamp = this.#asked.get(card.name);
    return stamp === undefined || (stamp !== card.stamp && !card.pending);
  }

  /**
   * How many runs wait for their row.
   * @param {Card[]} cards
   */
  waiting(cards) {
    return cards.filter((card) => !this.#rows.has(card.name)).length;
  }

  /**
   * Asks for rows that are not here or older than their cards, the first ones first, until `wanted` has no more of them.
   * @param {import("./api.js").Server} server
   * @param {() => Card[]} wanted
   */
  async load(server, wanted) {
    if (this.#isAsking) return;
    this.#isAsking = true;
    let cards = this.#next(wanted());
    while (cards.length) {
      try {
        await this.#ask(server, cards);
      } catch {
        await new Promise((done) => setTimeout(done, REST));
      }
      cards = this.#next(wanted());
    }
    this.#isAsking = false;
  }

  /** @param {Card[]} cards */
  #next(cards) {
    const next = [];
    let letters = 0;
    for (const card of cards) {
      if (!this.#isStale(card)) continue;
      letters += encodeURIComponent(card.name).length + 5;
      if (next.length && letters > LETTERS) break;
      next.push(card);
      if (next.length === NAMES) break;
    }
    return next;
  }

  /**
   * @param {import("./api.js").Server} server
   * @param {Card[]} cards
   */
  async #ask(server, cards) {
    const rows = await server.fetchNow("rows", { run: cards.map((card) => card.name) });
    const stamps = new Map(cards.map((card) => [card.name, card.stamp]));
    for (const row of rows) {
      this.#rows.set(row.name, row);
      this.#asked.set(row.name, row.error ? (stamps.get(row.name) ?? "") : stamps.get(row.name) || row.stamp);
    }
    // A run that is gone has no row, and is not asked for again until it changes.
    if (!rows.length) for (const card of cards) this.#asked.set(card.name, card.stamp);
    this.#onRows();
  }
}
