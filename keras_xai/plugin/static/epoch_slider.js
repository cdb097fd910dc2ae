/** One epoch for every view: the track carries the drift score as a faint ridge and the alerts as ticks that jump. */
import { alarmsOf } from "./core/alerts.js";
import { nearest } from "./core/chart.js";
import { token } from "./core/colour.js";
import { clamp, count, h, hideTip, linear, position, s, tip, widthOf } from "./core/dom.js";
import { clock, dateAndClock } from "./core/times.js";
import { set, state } from "./core/state.js";
import { BEFORE, capitalized, moment, named } from "./core/updates.js";

const HEIGHT = 50;
const BASE = 28; // where the rule stands
const ALERT_ROOM = 11; // pixels from one alert to the next below which they share a mark
const ALERT_REACH = 6; // pixels from an alert that are still meant for it
const STEP_MILLISECONDS = 420; // of the play button
const PLAYED_STEPS = 60; // of a long run
const TICK_ROOM = 5; // pixels that an epoch needs for a tick of its own
const LABEL_ROOM = 130;
const END_ROOM = 16; // pixels that the end of an epoch needs
const BEFORE_ROOM = 34; // pixels between the stop before training and the first update
const PATHS = {
  first: "M11 3.5 6.5 8l4.5 4.5M4 3.5v9",
  previous: "M10 3.5 5.5 8l4.5 4.5",
  play: "M5 2.5v11l8.5-5.5z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  next: "M6 3.5 10.5 8 6 12.5",
  last: "M5 3.5 9.5 8 5 12.5M12 3.5v9",
};

/** @param {keyof typeof PATHS} name */
function icon(name) {
  const solid = name === "play" || name === "pause";
  const path = s("path", {
    d: PATHS[name],
    fill: solid ? "currentColor" : "none",
    stroke: solid ? "none" : "currentColor",
    "stroke-width": 1.75,
    "stroke-linecap": "round",
    "stroke-linejoin": "round",
  });
  return s("svg", { width: 16, height: 16, viewBox: "0 0 16 16", "aria-hidden": "true" }, path);
}

/** @typedef {keyof typeof PATHS} Icon */

/** The transport at the bottom; `update` follows the selection without tearing the track out of a drag. */
export class EpochSlider {
  /** @type {Context | null} */
  #context = null;
  #timer = 0;
  #drawn = "";
  /** @type {(epoch: number) => number} */
  #x = (epoch) => epoch;
  #playButton = button("play", "Play", () => this.play(), "play");
  #title = h("b", {});
  #time = h("span", { class: "note" });
  #latest = h(
    "button",
    {
      type: "button",
      class: "latest",
      title: "Follow new epochs as they arrive",
      onclick: () => set({ epoch: null }),
    },
    "Latest",
  );
  #background = s("g", {});
  #done = s("line", { y1: BASE, y2: BASE, "stroke-width": 2, "stroke-linecap": "round" });
  #knob = s("circle", { cy: BASE, r: 7, "stroke-width": 2 });
  #svg = s(
    "svg",
    { height: HEIGHT, role: "slider", tabindex: 0, "aria-label": "Epoch" },
    this.#background,
    this.#done,
    this.#knob,
  );
  #track = h("div", { class: "track" }, this.#svg);

  /** @param {HTMLElement} root */
  constructor(root) {
    const buttons = [
      button("first", "First epoch", () => this.go(0), "end"),
      button("previous", "Previous epoch", () => this.step(-1)),
      this.#playButton,
      button("next", "Next epoch", () => this.step(1)),
      button("last", "Last epoch", () => this.go(Infinity), "end"),
    ];
    const readout = h("div", { class: "readout" }, h("div", {}, this.#title, this.#time), this.#latest);
    root.replaceChildren(h("div", { class: "buttons" }, buttons), this.#track, readout);
    this.#svg.addEventListener("pointerdown", (event) => {
      this.#svg.setPointerCapture(event.pointerId);
      this.#pointed(event);
    });
    this.#svg.addEventListener("pointermove", (event) => {
      if (this.#svg.hasPointerCapture(event.pointerId)) this.#pointed(event);
      else this.#hint(event);
    });
    this.#svg.addEventListener("pointerleave", hideTip);
  }

  get #run() {
    return this.#context?.run;
  }

  get #epochs() {
    return this.#run?.epochs ?? [];
  }

  get #alarms() {
    return this.#run ? alarmsOf(this.#run) : [];
  }

  /** All places to stand at: before training, where that was recorded, and the updates. */
  get #stops() {
    return this.#run?.before ? [BEFORE, ...this.#epochs] : this.#epochs;
  }

  get #at() {
    return position(this.#stops, this.#context?.stop ?? 0);
  }

  /**
   * The stop at a place among all; past the end it is the latest.
   * @param {number} index
   */
  go(index) {
    const stops = this.#stops;
    if (stops.length) set({ epoch: stops[clamp(index, 0, stops.length - 1)] });
  }

  /** @param {number} by */
  step(by) {
    this.go(this.#at + by);
  }

  /**
   * To the next alert in a direction.
   * @param {number} direction
   */
  alert(direction) {
    const current = this.#context?.stop ?? 0;
    const alerted = this.#alarms.map((alert) => alert.epoch);
    const epoch =
      direction > 0
        ? alerted.find((candidate) => candidate > current)
        : alerted.filter((candidate) => candidate < current).pop();
    if (epoch !== undefined) set({ epoch });
  }

  /**
   * Plays from the epoch on, or from the start when at the end; a long run is played in some sixty steps.
   * @param {boolean} [on]
   */
  play(on = !this.#timer) {
    clearInterval(this.#timer);
    const stride = Math.max(1, Math.round(this.#stops.length / PLAYED_STEPS));
    const advance = () => {
      if (this.#at >= this.#stops.length - 1) this.go(0);
      else this.step(stride);
    };
    this.#timer = on ? setInterval(advance, STEP_MILLISECONDS) : 0;
    const label = on ? "Pause" : "Play";
    this.#playButton.replaceChildren(icon(on ? "pause" : "play"));
    this.#playButton.setAttribute("aria-label", label);
    this.#playButton.title = label;
  }

  /**
   * Where a pointer is, as a stop; near an alert it is the alert.
   * @param {PointerEvent} event
   */
  #epochAt(event) {
    const px = event.clientX - this.#svg.getBoundingClientRect().left;
    const onTicks = event.offsetY < BASE - ALERT_REACH;
    const alerted = this.#alarms.map(({ epoch }) => epoch);
    const alert = alerted.length ? nearest(alerted, this.#epochUnder(px)) : NaN;
    if (onTicks && Math.abs(this.#x(alert) - px) < ALERT_REACH) return alert;
    const epochs = this.#epochs;
    const [first] = epochs;
    if (this.#run?.before && (!epochs.length || px < this.#x(first) - BEFORE_ROOM / 2)) return BEFORE;
    return nearest(epochs, this.#epochUnder(px));
  }

  /**
   * What the scale says at a pixel; not every number is an epoch.
   * @param {number} px
   */
  #epochUnder(px) {
    const epochs = this.#epochs;
    const [first, last] = [epochs[0], epochs[epochs.length - 1]];
    return linear(this.#x(first), this.#x(last), first, last)(px);
  }

  /** @param {PointerEvent} event */
  #pointed(event) {
    if (this.#stops.length) set({ epoch: this.#epochAt(event) });
  }

  /** @param {PointerEvent} event */
  #hint(event) {
    const run = this.#run;
    if (!run || !this.#stops.length) return;
    const epoch = this.#epochAt(event);
    const verdicts = run.alerts.filter((alert) => alert.epoch === epoch).map((alert) => alert.verdict);
    const written = dateAndClock(run.wall_times[run.epochs.indexOf(epoch)]);
    tip(event, [`${moment(run, epoch)}  ${written}`.trimEnd(), ...verdicts].join("\n"));
  }

  /** @param {Context} context */
  update(context) {
    this.#context = context;
    const { run, stop } = context;
    const width = Math.max(60, this.#track.clientWidth - 40);
    const key = [context.name, run?.stamp, width, context.theme].join("|");
    if (key !== this.#drawn) {
      this.#drawn = key;
      this.#draw(width);
    }
    this.#latest.setAttribute("aria-pressed", String(state.epoch === null));
    const some = run !== undefined && stop !== null;
    if (some) this.#showStop(run, stop);
    else this.#showNone();
    this.#knob.style.display = this.#done.style.display = some ? "" : "none";
  }

  /**
   * @param {Run} run
   * @param {number} stop
   */
  #showStop(run, stop) {
    const { epochs, wall_times: times } = run;
    const stops = this.#stops;
    const [first, last] = [stops[0], stops[stops.length - 1]];
    const written = times[epochs.indexOf(stop)];
    this.#title.textContent = titleOf(run, stop);
    this.#time.textContent = stop === BEFORE ? "the untrained model" : clock(written);
    this.#time.title = dateAndClock(written);
    this.#setValue(first, last, stop);
    const x = String(this.#x(stop));
    const start = stop === BEFORE ? x : String(this.#x(epochs[0]));
    setAttributes(this.#done, { x1: start, x2: x, stroke: token("accent") });
    setAttributes(this.#knob, { cx: x, fill: token("accent"), stroke: token("rail") });
  }

  /** Where there is no run. */
  showNothing() {
    this.#background.replaceChildren();
    this.#knob.style.display = this.#done.style.display = "none";
    this.#latest.setAttribute("aria-pressed", String(state.epoch === null));
    this.#showNone();
  }

  #showNone() {
    this.#title.textContent = "No epoch yet";
    this.#time.textContent = this.#context ? "waiting for the first" : "";
    this.#time.title = "";
    this.#setValue(0, 0, 0);
  }

  /**
   * @param {number} low
   * @param {number} high
   * @param {number} value
   */
  #setValue(low, high, value) {
    setAttributes(this.#svg, {
      "aria-valuemin": String(low),
      "aria-valuemax": String(high),
      "aria-valuenow": String(value),
      "aria-valuetext": this.#title.textContent ?? "",
    });
  }

  /**
   * What stays while the knob moves: the ridge of the score, the rule, its labels and the alerts.
   * @param {number} width
   */
  #draw(width) {
    const run = this.#run;
    const epochs = this.#epochs;
    this.#svg.setAttribute("width", String(width));
    const first = epochs[0] ?? 0;
    const last = epochs[epochs.length - 1] ?? 1;
    const before = run?.before ?? false;
    const line = linear(first, last > first ? last : first + 1, before ? 8 + BEFORE_ROOM : 8, width - 8);
    /** @param {number} stop */
    const x = (stop) => (stop === BEFORE ? 8 : line(stop));
    this.#x = x;
    const end = epochs.length ? x(last) : width - 8;
    const rule = { x1: x(first), x2: end, y1: BASE, y2: BASE, stroke: token("line-strong") };
    const marks = [
      ...(run ? ridge(run, x) : []),
      s("line", { ...rule, "stroke-width": 2, "stroke-linecap": "round" }),
      ...(run ? notFiniteMark(run, x, last) : []),
      ...(before ? beforeMarks(x(BEFORE), x(first)) : []),
      ...(run ? epochEnds(run, x, width) : []),
      ...(epochs.length ? epochMarks(epochs, x, width) : []),
      ...alertGroups(this.#alarms.map(({ epoch }) => x(epoch))).flatMap(alertMarks),
    ];
    this.#background.replaceChildren(...marks);
  }
}

/**
 * @param {Icon} name
 * @param {string} label
 * @param {() => void} onclick
 * @param {string} [kind]
 */
function button(name, label, onclick, kind = "") {
  return h("button", { type: "button", "aria-label": label, title: label, class: kind, onclick }, icon(name));
}

/**
 * @param {Element} node
 * @param {Record<string, string>} attributes
 */
function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
}

/**
 * The drift score as a faint ridge.
 * @param {Run} run
 * @param {(epoch: number) => number} x
 */
function ridge(run, x) {
  const source = run.sources.live ?? run.sources.clean;
  if (!source) return [];
  const points = source.epochs.flatMap((epoch, i) => {
    const score = source.score[i];
    return score === null ? [] : [{ epoch, score }];
  });
  if (points.length < 2) return [];
  const y = linear(0, Math.max(2.1 * source.limit, ...points.map(({ score }) => score)), BASE - 1, 6);
  const line = points.map(({ epoch, score }) => `L${x(epoch).toFixed(1)} ${y(score).toFixed(1)}`).join("");
  const [from, to] = [x(points[0].epoch), x(points[points.length - 1].epoch)];
  const d = `M${from} ${BASE}${line}L${to} ${BASE}z`;
  return [s("path", { d, fill: token("line-strong"), opacity: 0.55 })];
}

/**
 * @param {Run} run
 * @param {(epoch: number) => number} x
 * @param {number} last
 */
function notFiniteMark(run, x, last) {
  const { not_finite_since: since } = run;
  if (since === null) return [];
  const line = { x1: x(since), x2: x(last), y1: BASE + 4, y2: BASE + 4, stroke: token("alarm"), "stroke-width": 2 };
  return [s("line", line, s("title", {}, `not finite since ${named(run, since)}`))];
}

/**
 * "Epoch 3 of 11", "Step 400 of epoch 0" or "Before training".
 * @param {Run} run
 * @param {number} stop
 */
function titleOf(run, stop) {
  if (run.unit === "step" || stop === BEFORE) return capitalized(moment(run, stop));
  return `Epoch ${stop} of ${run.epochs[run.epochs.length - 1]}`;
}

/**
 * The stop before training: a ring apart from the updates, since it is none.
 * @param {number} px
 * @param {number} first where the updates begin
 */
function beforeMarks(px, first) {
  const stroke = token("line-strong");
  const dots = { x1: px + 8, x2: first - 4, y1: BASE, y2: BASE, stroke, "stroke-width": 2, "stroke-dasharray": "1 5" };
  return [
    s("line", { ...dots, "stroke-linecap": "round" }),
    s("circle", { cx: px, cy: BASE, r: 4, fill: token("rail"), stroke, "stroke-width": 2 }),
  ];
}

/**
 * Thin lines at the ends of epochs, of a run that counts in steps, where there is room for them.
 * @param {Run} run
 * @param {(step: number) => number} x
 * @param {number} width
 */
function epochEnds({ ends }, x, width) {
  if (width / (ends.length || 1) < END_ROOM) return [];
  return ends.map((step) => {
    const px = x(step);
    const line = { x1: px, x2: px, y1: BASE - 9, y2: BASE + 9, stroke: token("line-strong") };
    return s("line", line, s("title", {}, `end of an epoch, step ${step}`));
  });
}

/**
 * A tick for each update where there is room, and labels at round ones.
 * @param {number[]} epochs
 * @param {(epoch: number) => number} x
 * @param {number} width
 */
function epochMarks(epochs, x, width) {
  /** @param {number} epoch @param {number} length */
  const tick = (epoch, length) => {
    const px = x(epoch);
    return s("line", { x1: px, x2: px, y1: BASE + 5, y2: BASE + 5 + length, stroke: token("line-strong") });
  };
  const ticks = width / epochs.length > TICK_ROOM ? epochs.map((epoch) => tick(epoch, 2)) : [];
  const labels = epochLabels(epochs[0], epochs[epochs.length - 1], Math.max(5, Math.floor(width / LABEL_ROOM)));
  const texts = labels.flatMap((epoch) => [
    tick(epoch, 4),
    s("text", { x: x(epoch), y: BASE + 18, "text-anchor": "middle" }, String(epoch)),
  ]);
  return [...ticks, ...texts];
}

/**
 * Alerts whose marks would touch, together.
 * @param {number[]} places in pixels
 */
function alertGroups(places) {
  /** @type {number[][]} */
  const groups = [];
  for (const px of [...new Set(places)].sort((a, b) => a - b)) {
    const last = groups[groups.length - 1];
    if (last && px - last[last.length - 1] < ALERT_ROOM) last.push(px);
    else groups.push([px]);
  }
  return groups;
}

/**
 * A triangle on a line; of several alerts a bar over their lines, with their number where there is room.
 * @param {number[]} group
 */
function alertMarks(group) {
  const colour = token("alarm");
  const [left, right] = [group[0], group[group.length - 1]];
  if (group.length === 1) {
    return [
      s("line", { x1: left, x2: left, y1: 11, y2: BASE, stroke: colour, "stroke-width": 1.5 }),
      s("path", { d: `M${left - 5} 3h10l-5 8z`, fill: colour, class: "alert" }),
    ];
  }
  const label = count(group.length, "alert");
  const bar = { x: left - 4, y: 1, width: right - left + 8, height: 13, rx: 3, fill: colour, class: "alert" };
  const room = { x: left, y: 14, width: Math.max(1.5, right - left), height: BASE - 14, fill: colour, opacity: 0.3 };
  const short = right - left + 8 < widthOf(label, 500) + 6;
  const words = {
    x: (left + right) / 2,
    y: 11,
    "text-anchor": "middle",
    style: { fill: token("page"), fontSize: "10px", fontWeight: 500 },
  };
  const text = s("text", words, short ? String(group.length) : label);
  return [s("rect", room), s("g", {}, s("rect", bar), text, s("title", {}, label))];
}

/**
 * Round epochs, and the last one; none so near the last that the labels touch.
 * @param {number} first
 * @param {number} last
 * @param {number} count
 */
function epochLabels(first, last, count) {
  const span = Math.max(1, last - first);
  let step = 1;
  for (let i = 0; span / step > count; i++) step = 10 ** Math.floor(i / 4) * [1, 2, 4, 5][i % 4];
  const labels = [];
  for (let epoch = Math.ceil(first / step) * step; epoch < last; epoch += step) {
    if (last - epoch > (span / count) * 0.45) labels.push(epoch);
  }
  return [...labels, last];
}
