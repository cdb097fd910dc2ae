/** What the buttons of the panels open. Its modules are loaded when the first button is pressed: the page stands without them. */

/** @typedef {{open(button: HTMLElement, context: Context): void, follow(): void}} Tool */

export class PanelTools {
  /** @type {Context | null} */
  #context = null;
  /** @type {Map<string, Promise<Tool>>} */
  #asked = new Map();
  /** @type {Tool[]} */
  #tools = [];

  constructor() {
    document.addEventListener("panel-help", (event) =>
      this.#open(event, async () => (await import("./help.js")).PanelHelp),
    );
    document.addEventListener("panel-menu", (event) =>
      this.#open(event, async () => (await import("./panel_menu.js")).PanelMenu),
    );
  }

  /**
   * Notes what the page shows after a drawing.
   * @param {Context} context
   */
  follow(context) {
    this.#context = context;
    for (const tool of this.#tools) tool.follow();
  }

  /**
   * @param {Event} event of a button
   * @param {() => Promise<new () => Tool>} load
   */
  async #open({ target, type }, load) {
    if (!this.#asked.has(type)) this.#asked.set(type, this.#make(load));
    const tool = await this.#asked.get(type);
    const button = /** @type {HTMLElement} */ (target);
    if (this.#context && button.isConnected) tool?.open(button, this.#context);
  }

  /** @param {() => Promise<new () => Tool>} load */
  async #make(load) {
    const Tool = await load();
    const tool = new Tool();
    this.#tools.push(tool);
    return tool;
  }
}
