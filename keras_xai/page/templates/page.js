// Draws the figures of the page when they are scrolled to, in the reader's theme; sorts the table of runs.

/**
 * @typedef {{path: (string | number)[], value?: any}} Change
 * @typedef {[(string | number)[], any] | [(string | number)[]]} Difference a place, and what to set there; alone: to delete
 * @typedef {{data: any[], layout: any, dark: Difference[], stops: {light: Difference[], dark: Difference[]}[]}} Content
 * @typedef {{react: (node: Element, data: any[], layout: any, config: any) => Promise<unknown>}} Plotly
 */

(() => {
  const plotly = /** @type {{Plotly: Plotly}} */ (/** @type {unknown} */ (window)).Plotly;
  const CONFIG = { responsive: true, displaylogo: false, modeBarButtons: [["toImage"]] };
  const darkScheme = matchMedia("(prefers-color-scheme: dark)");
  const figures = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".figure")]);

  /** @type {Map<string, Content>} */
  const contents = new Map();
  /** @type {Set<HTMLElement>} */
  const drawn = new Set();

  /**
   * Return the content of a figure, read once.
   * @param {HTMLElement} node
   * @returns {Content}
   */
  function contentOf(node) {
    let content = contents.get(node.id);
    if (content === undefined) {
      content = /** @type {Content} */ (JSON.parse(document.getElementById(`${node.id}-content`)?.textContent ?? "{}"));
      contents.set(node.id, content);
    }
    return content;
  }

  /**
   * Apply differences to a document in place; those of a place that it does not have are passed over.
   * @param {any} top
   * @param {Difference[]} differences
   */
  function apply(top, differences) {
    for (const difference of differences) {
      const path = difference[0];
      const last = path[path.length - 1];
      const place = path.slice(0, -1).reduce((inside, key) => inside?.[key], top);
      if (typeof place !== "object" || place === null || last === undefined) continue;
      if (difference.length === 1) delete place[last];
      else if (!Array.isArray(place) || last in place) place[last] = structuredClone(difference[1]);
    }
  }

  /**
   * Return the slider of a figure, if it has one.
   * @param {HTMLElement} node
   */
  function sliderOf(node) {
    return /** @type {HTMLInputElement | null} */ (document.getElementById(`${node.id}-stop`));
  }

  /**
   * Draw a figure, or draw it again.
   * @param {HTMLElement} node
   * @param {boolean} dark
   */
  function draw(node, dark) {
    const content = contentOf(node);
    const stop = content.stops[Number(sliderOf(node)?.value ?? -1)];
    const figure = structuredClone({ data: content.data, layout: content.layout });
    if (stop) apply(figure, stop.light);
    if (dark) apply(figure, content.dark);
    if (dark && stop) apply(figure, stop.dark);
    drawn.add(node);
    void plotly.react(node, figure.data, figure.layout, CONFIG);
  }

  // A folded run has no figure in view: nothing of it is drawn until it is opened.
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const node = /** @type {HTMLElement} */ (target);
        if (isIntersecting && !drawn.has(node)) draw(node, darkScheme.matches);
      }
    },
    { rootMargin: "600px" },
  );
  figures.forEach((node) => observer.observe(node));

  darkScheme.addEventListener("change", () => drawn.forEach((node) => draw(node, darkScheme.matches)));
  addEventListener("beforeprint", () => {
    const visible = figures.filter((node) => node.closest("details.run[open]"));
    visible.filter((node) => darkScheme.matches || !drawn.has(node)).forEach((node) => draw(node, false));
  });
  addEventListener("afterprint", () => {
    if (darkScheme.matches) drawn.forEach((node) => draw(node, true));
  });

  for (const node of figures) {
    const slider = sliderOf(node);
    if (!slider) continue;
    const labels = /** @type {string[]} */ (JSON.parse(node.dataset.stops ?? "[]"));
    const output = slider.parentElement?.querySelector("output");
    const move = () => {
      const label = labels[Number(slider.value)] ?? "";
      slider.setAttribute("aria-valuetext", label);
      if (output) output.textContent = label;
    };
    move();
    slider.addEventListener("input", () => {
      move();
      draw(node, darkScheme.matches);
    });
  }

  // Runs are unfolded by their links, too.
  function openTarget() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!(target instanceof HTMLDetailsElement)) return;
    target.open = true;
    target.scrollIntoView();
  }
  addEventListener("hashchange", openTarget);
  document
    .querySelectorAll("table.runs a")
    .forEach((link) => link.addEventListener("click", () => setTimeout(openTarget)));
  openTarget();

  for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("[data-open]"))) {
    button.addEventListener("click", () => {
      const runs = /** @type {NodeListOf<HTMLDetailsElement>} */ (document.querySelectorAll("details.run"));
      runs.forEach((run) => (run.open = button.dataset.open === "true"));
    });
  }

  /**
   * Compare two keys of a column: numbers by size, texts with their numbers by size; empty ones come last either way.
   * @param {string} a
   * @param {string} b
   * @param {number} direction 1 or -1
   */
  function compare(a, b, direction) {
    if (a === "" || b === "") return Number(a === "") - Number(b === "");
    const [x, y] = [a, b].map((key) => (key === "inf" ? Infinity : Number(key)));
    const difference = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
    return direction * (Number.isNaN(difference) ? 0 : difference);
  }

  const headers = [...document.querySelectorAll("table.runs thead th")];
  headers.forEach((header, column) => {
    header.querySelector("button")?.addEventListener("click", () => {
      const direction = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
      const body = document.querySelector("table.runs tbody");
      const rows = /** @type {HTMLTableRowElement[]} */ ([...(body?.children ?? [])]);
      const keyOf = (/** @type {HTMLTableRowElement} */ row) => row.cells[column]?.dataset.key ?? "";
      body?.append(...rows.sort((a, b) => compare(keyOf(a), keyOf(b), direction)));
    });
  });
})();
