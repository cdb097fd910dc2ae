/** One epoch for every view: the track carries the drift score as a faint ridge and the alerts as ticks that jump. */
import { token } from "./colour.js";
import { nearest } from "./chart.js";
import { clamp, h, linear, position, s, tip } from "./dom.js";
import { set, state } from "./state.js";

const HEIGHT = 62;
const BASE = 36;
const STEP = 420; // milliseconds a step of the play button
const PATHS = {
  first: "M11 3.5 6.5 8l4.5 4.5M4 3.5v9",
  previous: "M10 3.5 5.5 8l4.5 4.5",
  play: "M5 2.5v11l8.5-5.5z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  next: "M6 3.5 10.5 8 6 12.5",
  last: "M5 3.5 9.5 8 5 12.5M12 3.5v9",
};

const icon = (name) => {
  const solid = name === "play" || name === "pause";
  return s(
    "svg",
    { width: 16, height: 16, viewBox: "0 0 16 16", "aria-hidden": "true" },
    s("path", {
      d: PATHS[name],
      fill: solid ? "currentColor" : "none",
      stroke: solid ? "none" : "currentColor",
      "stroke-width": 1.75,
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
    }),
  );
};

// Made once: a formatter a step would cost more than the step.
const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "short", timeStyle: "medium" });
const clock = (seconds) => (Number.isFinite(seconds) ? CLOCK.format(1000 * seconds) : "");
const day = (seconds) => (Number.isFinite(seconds) ? DAY.format(1000 * seconds) : "");

/** The transport at the bottom; `update` follows the selection without tearing the track out of a drag. */
export class EpochSlider {
  #context = null;
  #timer = 0;
  #drawn = "";
  #x = (epoch) => epoch;

  constructor(root) {
    const button = (name, label, onclick, kind = "") =>
      h("button", { type: "button", "aria-label": label, title: label, class: kind, onclick }, icon(name));
    this.playButton = button("play", "Play", () => this.play(), "play");
    this.title = h("b", {});
    this.time = h("span", { class: "note" });
    this.latest = h(
      "button",
      {
        type: "button",
        class: "latest",
        title: "Follow new epochs as they arrive",
        onclick: () => set({ epoch: null }),
      },
      "Latest",
    );
    this.still = s("g", {});
    this.done = s("line", { y1: BASE, y2: BASE, "stroke-width": 2, "stroke-linecap": "round" });
    this.knob = s("circle", { cy: BASE, r: 7, "stroke-width": 2 });
    this.svg = s(
      "svg",
      { height: HEIGHT, role: "slider", tabindex: 0, "aria-label": "Epoch" },
      this.still,
      this.done,
      this.knob,
    );
    this.track = h("div", { class: "track" }, this.svg);
    root.replaceChildren(
      h(
        "div",
        { class: "buttons" },
        button("first", "First epoch", () => this.go(0), "end"),
        button("previous", "Previous epoch", () => this.step(-1)),
        this.playButton,
        button("next", "Next epoch", () => this.step(1)),
        button("last", "Last epoch", () => this.go(Infinity), "end"),
      ),
      this.track,
      h("div", { class: "readout" }, h("div", {}, this.title, this.time), this.latest),
    );
    this.svg.addEventListener("pointerdown", (event) => {
      this.svg.setPointerCapture(event.pointerId);
      this.#pointed(event);
    });
    this.svg.addEventListener("pointermove", (event) => {
      if (this.svg.hasPointerCapture(event.pointerId)) this.#pointed(event);
      else this.#hint(event);
    });
    this.svg.addEventListener("pointerleave", (event) => tip(event, ""));
  }

  get epochs() {
    return this.#context?.run?.epochs ?? [];
  }

  /** The epoch at a place among the recorded ones; past the end it is the latest. */
  go(index) {
    const { epochs } = this;
    if (epochs.length) set({ epoch: epochs[clamp(index, 0, epochs.length - 1)] });
  }

  step(by) {
    if (this.epochs.length) this.go(position(this.epochs, this.#context.epoch) + by);
  }

  /** To the next alert in a direction. */
  alert(direction) {
    const now = this.#context?.epoch ?? 0;
    const found = (this.#context?.run?.alerts ?? [])
      .map((alert) => alert.epoch)
      .filter((epoch) => (direction > 0 ? epoch > now : epoch < now));
    if (found.length) set({ epoch: direction > 0 ? found[0] : found.at(-1) });
  }

  /** Plays from here, or from the start when at the end; a long run is played in some sixty steps. */
  play(on = !this.#timer) {
    clearInterval(this.#timer);
    const stride = Math.max(1, Math.round(this.epochs.length / 60));
    this.#timer = on
      ? setInterval(() => {
          const at = position(this.epochs, this.#context.epoch);
          if (at >= this.epochs.length - 1) this.go(0);
          else this.step(stride);
        }, STEP)
      : 0;
    this.playButton.replaceChildren(icon(on ? "pause" : "play"));
    this.playButton.setAttribute("aria-label", on ? "Pause" : "Play");
    this.playButton.title = on ? "Pause" : "Play";
  }

  /** Where a pointer is, as an epoch; near an alert it is the alert. */
  #epochAt(event) {
    const at = event.clientX - this.svg.getBoundingClientRect().left;
    const close = (this.#context.run?.alerts ?? []).find(
      (alert) => Math.abs(this.#x(alert.epoch) - at) < 6 && event.offsetY < BASE - 6,
    );
    if (close) return close.epoch;
    const { epochs } = this;
    return nearest(epochs, linear(this.#x(epochs[0]), this.#x(epochs.at(-1)), epochs[0], epochs.at(-1))(at));
  }

  #pointed(event) {
    if (this.epochs.length) set({ epoch: this.#epochAt(event) });
  }

  #hint(event) {
    if (!this.epochs.length) return;
    const epoch = this.#epochAt(event);
    const { run } = this.#context;
    const said = run.alerts.filter((alert) => alert.epoch === epoch).map((alert) => alert.verdict);
    tip(event, [`epoch ${epoch}  ${day(run.wall_times[run.epochs.indexOf(epoch)])}`, ...said].join("\n"));
  }

  update(context) {
    this.#context = context;
    const { run, epoch } = context;
    const { epochs } = this;
    const width = Math.max(60, this.track.clientWidth - 40);
    const key = [context.name, run?.stamp, width, context.theme].join("|");
    if (key !== this.#drawn) {
      this.#drawn = key;
      this.#draw(width);
    }
    const some = epochs.length > 0;
    const last = epochs.at(-1);
    this.title.textContent = some ? `Epoch ${epoch} of ${last}` : "No epoch yet";
    this.time.textContent = some ? clock(run.wall_times[epochs.indexOf(epoch)]) : "waiting for the first";
    this.time.title = some ? day(run.wall_times[epochs.indexOf(epoch)]) : "";
    this.latest.setAttribute("aria-pressed", String(state.epoch === null));
    for (const [name, value] of Object.entries({
      "aria-valuemin": epochs[0] ?? 0,
      "aria-valuemax": last ?? 0,
      "aria-valuenow": epoch ?? 0,
      "aria-valuetext": this.title.textContent,
    }))
      this.svg.setAttribute(name, String(value));
    this.knob.style.display = this.done.style.display = some ? "" : "none";
    if (!some) return;
    const x = this.#x(epoch);
    this.done.setAttribute("x1", this.#x(epochs[0]));
    this.done.setAttribute("x2", x);
    this.done.setAttribute("stroke", token("accent"));
    this.knob.setAttribute("cx", x);
    this.knob.setAttribute("fill", token("accent"));
    this.knob.setAttribute("stroke", token("rail"));
  }

  /** What stays while the knob moves: the ridge of the score, the rule, its labels and the alerts. */
  #draw(width) {
    const { run } = this.#context;
    const { epochs } = this;
    this.svg.setAttribute("width", width);
    const first = epochs[0] ?? 0;
    const last = epochs.at(-1) ?? 1;
    const x = (this.#x = linear(first, last > first ? last : first + 1, 8, width - 8));
    const marks = [];
    const source = run?.sources?.live ?? run?.sources?.clean;
    if (source) {
      const known = source.epochs.map((epoch, i) => [epoch, source.score[i]]).filter(([, score]) => score !== null);
      const y = linear(0, Math.max(2.1 * source.limit, ...known.map(([, score]) => score)), BASE - 1, 10);
      if (known.length > 1)
        marks.push(
          s("path", {
            d: `M${x(known[0][0])} ${BASE}${known.map(([epoch, score]) => `L${x(epoch).toFixed(1)} ${y(score).toFixed(1)}`).join("")}L${x(known.at(-1)[0])} ${BASE}z`,
            fill: token("line-strong"),
            opacity: 0.55,
          }),
        );
    }
    marks.push(
      s("line", {
        x1: x(first),
        x2: epochs.length ? x(last) : width - 8,
        y1: BASE,
        y2: BASE,
        stroke: token("line-strong"),
        "stroke-width": 2,
        "stroke-linecap": "round",
      }),
    );
    if (Number.isInteger(run?.not_finite_since))
      marks.push(
        s(
          "line",
          {
            x1: x(run.not_finite_since),
            x2: x(last),
            y1: BASE + 4,
            y2: BASE + 4,
            stroke: token("alarm"),
            "stroke-width": 2,
          },
          s("title", {}, `not finite since epoch ${run.not_finite_since}`),
        ),
      );
    const labels = epochLabels(first, last, Math.max(5, Math.floor(width / 130)));
    if (epochs.length) {
      if (width / epochs.length > 5)
        for (const epoch of epochs)
          marks.push(
            s("line", { x1: x(epoch), x2: x(epoch), y1: BASE + 5, y2: BASE + 7, stroke: token("line-strong") }),
          );
      for (const epoch of labels)
        marks.push(
          s("line", { x1: x(epoch), x2: x(epoch), y1: BASE + 5, y2: BASE + 9, stroke: token("line-strong") }),
          s("text", { x: x(epoch), y: BASE + 21, "text-anchor": "middle" }, String(epoch)),
        );
    }
    for (const alert of run?.alerts ?? []) {
      const at = x(alert.epoch);
      marks.push(
        s("line", { x1: at, x2: at, y1: 11, y2: BASE, stroke: token("alarm"), "stroke-width": 1.5 }),
        s("path", { d: `M${at - 5} 3h10l-5 8z`, fill: token("alarm"), class: "alert" }),
      );
    }
    this.still.replaceChildren(...marks);
  }
}

/** Round epochs, and the last one. */
function epochLabels(first, last, most) {
  const span = Math.max(1, last - first);
  let step = 1;
  for (let i = 0; span / step > most; i++) step = 10 ** Math.floor(i / 4) * [1, 2, 4, 5][i % 4];
  const out = [];
  for (let epoch = Math.ceil(first / step) * step; epoch < last; epoch += step)
    if (last - epoch > (span / most) * 0.45) out.push(epoch);
  return [...out, last];
}
