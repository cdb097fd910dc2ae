/** Values that were worked out for an object, as long as the object lives. */
export class Memo {
  /** @type {WeakMap<object, Map<string | number, any>>} */
  #values = new WeakMap();

  /**
   * `work()`, once for the same object and key.
   * @template T
   * @param {object} object
   * @param {string | number} key
   * @param {() => T} work
   * @returns {T}
   */
  once(object, key, work) {
    let values = this.#values.get(object);
    if (!values) {
      values = new Map();
      this.#values.set(object, values);
    }
    if (!values.has(key)) values.set(key, work());
    return values.get(key);
  }
}
