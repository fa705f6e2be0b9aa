/** A frozen snapshot that one owner replaces and many read. */
export class Latest<T> {
  #value: T | undefined
  readonly #listeners = new Set<(value: T) => void>()

  get(): T | undefined {
    return this.#value
  }

  /** Only the loop that owns this value calls it. */
  set(value: T): void {
    this.#value = value
    for (const listener of this.#listeners) listener(value)
  }

  /** Calls `listener` now, if there is a value, and at every change. */
  follow(listener: (value: T) => void): void {
    this.#listeners.add(listener)
    if (this.#value !== undefined) listener(this.#value)
  }
}
