/** Runs: one line each, with its verdict; sorted by any column, by their folders, found by a filter. */
import { ago, dateAndClock } from "../core/times.js";
import { aligned, count, h, short, thousands } from "../core/dom.js";
import { filterBox } from "../core/filter.js";
import { group } from "../core/controls.js";
import { distinct, natural } from "../core/names.js";
import { filtered, groupLabels, groupsOf, isFolded, labelsOf, toggleGroup } from "../core/run_groups.js";
import { RunRows } from "../core/run_rows.js";
import { set, state } from "../core/state.js";
import { Windowed } from "../core/windowed.js";
import { focusRun, tickBox, tickButtons } from "../runs.js";
import { BaseView } from "./view.js";

const ROW = 32; // pixels
const LETTER = 7; // pixels of a letter of a name
const FEATURE_LETTERS = 17;
const OTHER_COLUMNS = 848; // pixels of all but the first

/** The severest first. @type {RunRow["verdict"][]} */
const VERDICTS = ["alarm", "not watched", "quiet"];

/**
 * @typedef {object} Column
 * @property {string} id
 * @property {string} title
 * @property {string} explained
 * @property {(card: Card, row: RunRow | undefined) => string | number | null} key that it is sorted by; null comes last
 * @property {boolean} [down] whether the first click sorts from the large end
 * @property {boolean} [number] whether its cells are numbers
 */

/**
 * A number to sort by; one that is not finite is beyond all others.
 * @param {Recorded | undefined} value
 */
const sortable = (value) => (typeof value === "string" ? Infinity : (value ?? null));

/** @type {Column[]} */
const COLUMNS = [
  { id: "name", title: "Run", explained: "its directory below the log directory", key: (card) => card.name },
  {
    id: "verdict",
    title: "Verdict",
    explained: "as keras-xai check says",
    key: (_, row) => (row?.verdict ? VERDICTS.indexOf(row.verdict) : null),
  },
  {
    id: "since",
    title: "Since",
    explained: "when the first alarm was raised, or a part of the watch ended",
    key: (_, row) => row?.since ?? null,
    number: true,
  },
  {
    id: "guilty",
    title: "Feature",
    explained: "that moved most in the first alarm; of a gradient flag the variable",
    key: (_, row) => row?.guilty || null,
  },
  {
    id: "score",
    title: "Highest score",
    explained: "drift score after the burn-in, with its limit; sorted by their ratio",
    key: (_, row) => (typeof row?.score === "number" ? row.score / Number(row.limit) : sortable(row?.score)),
    down: true,
    number: true,
  },
  {
    id: "metric",
    title: "Metric",
    explained: "the last validation metric",
    key: (_, row) => sortable(row?.metric),
    down: true,
    number: true,
  },
  { id: "loss", title: "Loss", explained: "the last", key: (_, row) => sortable(row?.loss), number: true },
  {
    id: "flags",
    title: "Flags",
    explained: "flags that stand, of gradients and of training checks",
    key: (_, row) => row?.flags?.length ?? null,
    down: true,
    number: true,
  },
  {
    id: "updates",
    title: "Updates",
    explained: "that were recorded",
    key: (card) => card.epochs,
    down: true,
    number: true,
  },
  {
    id: "written",
    title: "Last written",
    explained: "when the last update was recorded",
    key: (card) => card.last?.wall_time ?? null,
    down: true,
    number: true,
  },
];

/** A line of the table. @typedef {{card: Card} | {group: string, cards: Card[]}} Line */

export class RunsTableView extends BaseView {
  ofRuns = true;
  #rows = new RunRows(() => this.#node.isConnected && this.show());
  /** @type {Context | null} */
  #context = null;
  #tools = h("div", { class: "finder" });
  #words = h("p", { class: "note" });
  #head = h("thead", {});
  #body = h("tbody", {});
  #table = h("table", { class: "runs-table", "aria-label": "Runs" }, this.#head, this.#body);
  #scroller = h("div", { class: "runs-scroller", tabindex: -1 }, this.#table);
  #node = h("div", { class: "runs-view" }, this.#tools, this.#words, this.#scroller);
  #buttons = tickButtons(() => this.#names);
  /** @type {Windowed<Line>} */
  #window = new Windowed(
    this.#scroller,
    this.#body,
    ROW,
    (line, index) => this.#line(line, index),
    (height) =>
      h("tr", { "aria-hidden": "true" }, h("td", { colspan: COLUMNS.length + 1, style: { height: `${height}px` } })),
  );
  /** @type {string[]} */
  #names = [];
  /** @type {Card[]} in the order in which they are shown */
  #sorted = [];
  /** @type {Map<string, string>} */
  #labels = new Map();
  /** @type {Map<string, string>} */
  #groupLabels = new Map();
  /** @type {Map<string, string>} the features that are named, cut where they agree */
  #features = new Map();
  #headKey = "";

  /**
   * @param {Context} context
   * @param {import("../core/controls.js").SettingsRail} rail
   */
  settings(context, rail) {
    const choices = rail.segments("runRows", "Rows", [
      ["grouped", "By folder"],
      ["flat", "All"],
    ]);
    return [group("Rows", choices)];
  }

  /**
   * @param {HTMLElement} root
   * @param {Context} context
   */
  draw(root, context) {
    this.#context = context;
    root.append(this.#node);
    this.show();
    this.#rows.load(context.server, () => this.#wanted());
  }

  /** The runs whose rows are to be there: those in sight first; none while another view is shown. */
  #wanted() {
    if (!this.#node.isConnected) return [];
    const inSight = this.#window.inSight.flatMap((line) => ("card" in line ? line.card : []));
    return [...inSight, ...this.#sorted, ...(this.#context?.cards ?? [])];
  }

  /** Shows the table anew, as the selection asks and as far as the rows are here. */
  show() {
    const context = this.#context;
    if (!context) return;
    const { cards } = context;
    const groups = groupsOf(cards);
    const shown = filtered(groups);
    const letters = Math.max(18, Math.floor((this.#scroller.clientWidth - OTHER_COLUMNS) / LETTER));
    const isFlat = state.runRows === "flat";
    this.#labels = isFlat ? flatLabels(cards, letters) : labelsOf(groups, letters);
    this.#groupLabels = groupLabels(groups, 80);
    const features = [...new Set(cards.map((card) => this.#rows.of(card.name)?.guilty ?? ""))];
    const cut = distinct(features, FEATURE_LETTERS);
    this.#features = new Map(features.map((name, i) => [name, cut[i]]));
    const box = filterBox("runFilter", "Filter runs: text or regular expression", "table");
    const order = this.#order();
    const sorted = shown.map(({ name, cards: members }) => ({ name, cards: [...members].sort(order) }));
    if (!isFlat && state.runSort !== "name") sorted.sort((a, b) => order(a.cards[0], b.cards[0]));
    if (!isFlat && state.runSort === "name" && state.runsDown) sorted.reverse();
    const all = sorted.flatMap((entry) => entry.cards);
    this.#sorted = isFlat ? all.sort(order) : all;
    this.#names = this.#sorted.map((card) => card.name);
    /** @type {Line[]} */
    const lines = isFlat
      ? this.#sorted.map((card) => ({ card }))
      : sorted.flatMap((entry) => [
          ...(entry.name ? [{ group: entry.name, cards: entry.cards }] : []),
          ...(isFolded(entry.name) ? [] : entry.cards.map((card) => ({ card }))),
        ]);
    if (!this.#tools.firstChild) this.#tools.append(box.node, this.#buttons);
    box.count(this.#names.length, cards.length);
    this.#words.textContent = this.#summary(cards);
    this.#showHead();
    this.#table.setAttribute("aria-rowcount", String(lines.length + 1));
    this.#window.show(lines);
  }

  /**
   * How the runs are, in words.
   * @param {Card[]} cards
   */
  #summary(cards) {
    const verdicts = cards.map((card) => this.#rows.of(card.name)?.verdict);
    const parts = VERDICTS.flatMap((verdict) => {
      const runs = verdicts.filter((other) => other === verdict).length;
      return runs ? [`${thousands(runs)} ${verdict === "alarm" ? "with an alarm" : verdict}`] : [];
    });
    const waiting = this.#rows.waiting(cards);
    if (waiting) parts.push(`${thousands(waiting)} not judged yet`);
    return `${count(cards.length, "run")}: ${parts.join(", ")}.`;
  }

  /** How two runs are ordered by the column that is sorted by. */
  #order() {
    const column = COLUMNS.find(({ id }) => id === state.runSort) ?? COLUMNS[0];
    const sign = state.runsDown ? -1 : 1;
    /** @type {Map<Card, string | number | null>} */
    const keys = new Map();
    /** @param {Card} card */
    const key = (card) => {
      if (!keys.has(card)) keys.set(card, column.key(card, this.#rows.of(card.name)));
      return keys.get(card) ?? null;
    };
    /** @param {Card} a @param {Card} b */
    return (a, b) => {
      const [first, second] = [key(a), key(b)];
      if (first === null || second === null) return Number(first === null) - Number(second === null);
      const difference =
        typeof first === "string" || typeof second === "string"
          ? natural(String(first), String(second))
          : Math.sign(first - second) || 0;
      return sign * difference || natural(a.name, b.name);
    };
  }

  #showHead() {
    const names = new Set(this.#sorted.map((card) => this.#rows.of(card.name)?.metric_name).filter(Boolean));
    const metric = names.size === 1 ? String([...names][0]) : "Metric";
    const key = [metric, state.runSort, state.runsDown].join();
    if (key === this.#headKey) return;
    this.#headKey = key;
    const cells = COLUMNS.map((column) => headCell(column, column.id === "metric" ? metric : column.title));
    const held = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.key;
    this.#head.replaceChildren(
      h("tr", {}, h("th", { scope: "col", class: "tick" }, h("span", { class: "hidden" }, "Overlaid")), cells),
    );
    if (!held?.startsWith("sort ")) return;
    /** @type {HTMLElement | null} */ (this.#head.querySelector(`[data-key="${CSS.escape(held)}"]`))?.focus();
  }

  /**
   * @param {Line} line
   * @param {number} index
   */
  #line(line, index) {
    const node = "card" in line ? this.#run(line.card) : this.#group(line.group, line.cards);
    node.setAttribute("aria-rowindex", String(index + 2));
    return node;
  }

  /**
   * @param {string} name
   * @param {Card[]} cards
   */
  #group(name, cards) {
    const alarms = cards.filter((card) => this.#rows.of(card.name)?.verdict === "alarm").length;
    const attributes = {
      type: "button",
      class: "group-name",
      title: name,
      "aria-expanded": String(!isFolded(name)),
      "data-key": `row group ${name}`,
      onclick: () => toggleGroup(name),
    };
    const button = h("button", attributes, h("span", {}, this.#groupLabels.get(name) ?? name));
    const words = h("span", { class: "mark" }, count(cards.length, "run"));
    const alarmWords = alarms ? h("span", { class: "mark alarm" }, count(alarms, "alarm")) : null;
    const cell = h("th", { colspan: COLUMNS.length, scope: "rowgroup" }, button, words, alarmWords);
    return h("tr", { class: "group-line" }, h("td", {}), cell);
  }

  /** @param {Card} card */
  #run(card) {
    const { name } = card;
    const focused = name === state.focus;
    const attributes = {
      type: "button",
      class: "name",
      title: name,
      "aria-current": focused ? "true" : null,
      "data-key": `row ${name}`,
    };
    const label = h("button", attributes, this.#labels.get(name) ?? name);
    const cells = this.#cells(card).map(([content, kind, title]) => h("td", { class: kind, title }, content));
    const box = h("td", { class: "tick" }, tickBox(name, state.runs.includes(name), " in the table"));
    const first = h("th", { scope: "row" }, label);
    return h("tr", { class: focused ? "focus" : "", onclick: () => focusRun(name) }, box, first, cells);
  }

  /**
   * What a run's line says behind its name.
   * @param {Card} card
   * @returns {[content: Child, kind: string, title: string | null][]}
   */
  #cells(card) {
    const row = this.#rows.of(card.name);
    const updates = /** @type {[Child, string, string | null]} */ ([
      card.pending ? "…" : count(card.epochs, card.unit),
      "number",
      null,
    ]);
    const written = this.#writtenCell(card);
    if (card.error || row?.error)
      return [["unreadable", "alarm", card.error || (row?.error ?? "")], ...blank(6), updates, written];
    if (!row) return [["…", "wait", "not judged yet"], ...blank(6), updates, written];
    return [
      this.#verdictCell(card, row),
      [row.moment, "number", null],
      [this.#features.get(row.guilty) ?? row.guilty, "text", row.guilty || null],
      [scoreWords(row), `number ${isOver(row) ? "alarm" : ""}`, null],
      [numberWords(row.metric), `number ${typeof row.metric === "string" ? "alarm" : ""}`, row.metric_name || null],
      [numberWords(row.loss), `number ${typeof row.loss === "string" ? "alarm" : ""}`, null],
      [row.flags.length || "", "number alarm", row.flags.join("\n") || null],
      updates,
      written,
    ];
  }

  /**
   * The verdict; that of an alarm leads to it.
   * @param {Card} card
   * @param {RunRow} row
   * @returns {[Child, string, string | null]}
   */
  #verdictCell(card, row) {
    if (row.verdict !== "alarm") return [row.verdict, row.verdict === "quiet" ? "quiet" : "wait", row.reason];
    const attributes = {
      type: "button",
      class: "link",
      "aria-label": `alarm of ${card.name}: see the overview`,
      "data-key": `verdict ${card.name}`,
      onclick: (/** @type {Event} */ event) => {
        event.stopPropagation();
        focusRun(card.name, { view: "overview", epoch: null });
      },
    };
    return [h("button", attributes, row.verdict), "alarm", row.reason];
  }

  /**
   * @param {Card} card
   * @returns {[Child, string, string | null]}
   */
  #writtenCell({ last }) {
    if (!last) return ["", "number", null];
    const words = ago((this.#context?.now ?? 0) - last.wall_time);
    return [words, "number", dateAndClock(last.wall_time)];
  }
}

/**
 * @param {number} cells
 * @returns {[Child, string, string | null][]}
 */
const blank = (cells) => Array.from({ length: cells }, () => ["", "", null]);

/**
 * @param {Column} column
 * @param {string} title
 */
function headCell(column, title) {
  const isSorted = state.runSort === column.id;
  const order = state.runsDown ? "descending" : "ascending";
  const onclick = () => set({ runSort: column.id, runsDown: isSorted ? !state.runsDown : Boolean(column.down) });
  const mark = h("span", { class: "order", "aria-hidden": "true" }, isSorted ? (state.runsDown ? "↓" : "↑") : "");
  const button = h(
    "button",
    { type: "button", title: column.explained, "data-key": `sort ${column.id}`, onclick },
    title,
    mark,
  );
  const attributes = { scope: "col", class: column.number ? "number" : "", "aria-sort": isSorted ? order : "none" };
  return h("th", attributes, button);
}

/** @param {RunRow} row */
const isOver = (row) => typeof row.score === "number" && row.score > Number(row.limit);

/** @param {Exclude<Recorded, null>} score */
const scored = (score) => (typeof score === "string" ? score : score.toFixed(1));

/** @param {RunRow} row */
const scoreWords = (row) => (row.score === null ? "–" : `${scored(row.score)}, limit ${row.limit}`);

/**
 * A number of a run, with its decimal point where those of up to three decimals have it.
 * @param {Recorded} value
 */
function numberWords(value) {
  if (value === null) return "–";
  return typeof value === "string" ? value : aligned([short(value), "0.000"])[0];
}

/** @type {WeakMap<Card[], Map<string, string>>} */
let flat = new WeakMap();
let flatLetters = 0;

/**
 * The names of all runs, cut where they agree.
 * @param {Card[]} cards
 * @param {number} letters
 */
function flatLabels(cards, letters) {
  if (letters !== flatLetters) flat = new WeakMap();
  flatLetters = letters;
  let labels = flat.get(cards);
  if (!labels) {
    const names = cards.map(({ name }) => name);
    const cut = distinct(names, letters);
    labels = new Map(names.map((name, i) => [name, cut[i]]));
    flat.set(cards, labels);
  }
  return labels;
}
