/**
 * Finds rows of a table by a text that each of them has. It keeps their numbers alone, about ten bytes a row where a Map takes forty: open
 * addressing with linear probing, and nothing left behind by what was removed.
 */
export class TextIndex {
  readonly #textOf: (row: number) => string
  /** Row + 1; zero is free. The length is a power of two. */
  #slots = new Uint32Array(16)
  #size = 0

  /** @param textOf must give the same text for a row from `add` until after `remove` */
  constructor(textOf: (row: number) => string) {
    this.#textOf = textOf
  }

  get(text: string): number | undefined {
    for (let at = this.#home(text); ; at = this.#after(at)) {
      const slot = this.#slots[at] as number
      if (slot === 0) return undefined
      if (this.#textOf(slot - 1) === text) return slot - 1
    }
  }

  /** Of a row whose text is not there yet. */
  add(row: number): void {
    if (++this.#size > this.#slots.length * 0.6) this.#grow()
    this.#place(row)
  }

  /** Of a row that is there. */
  remove(row: number): void {
    let hole = this.#home(this.#textOf(row))
    while (this.#slots[hole] !== row + 1) hole = this.#after(hole)
    this.#size--
    // What stands behind the hole moves into it, unless that is before its home: nothing is ever looked for beyond a free slot.
    for (let at = this.#after(hole); this.#slots[at] !== 0; at = this.#after(at)) {
      const slot = this.#slots[at] as number
      const mask = this.#slots.length - 1
      const fromHome = (at - this.#home(this.#textOf(slot - 1))) & mask
      if (fromHome < ((at - hole) & mask)) continue
      this.#slots[hole] = slot
      hole = at
    }
    this.#slots[hole] = 0
  }

  #place(row: number): void {
    let at = this.#home(this.#textOf(row))
    while (this.#slots[at] !== 0) at = this.#after(at)
    this.#slots[at] = row + 1
  }

  #grow(): void {
    const before = this.#slots
    this.#slots = new Uint32Array(before.length * 2)
    for (const slot of before) if (slot !== 0) this.#place(slot - 1)
  }

  #after(at: number): number {
    return (at + 1) & (this.#slots.length - 1)
  }

  /** FNV-1a over the end of the text. They are serial numbers and UIDs: random there, and chosen by no caller. */
  #home(text: string): number {
    let hash = 0x811c9dc5
    for (let at = Math.max(0, text.length - 16); at < text.length; at++)
      hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
    return (hash ^ (hash >>> 15)) & (this.#slots.length - 1)
  }
}
