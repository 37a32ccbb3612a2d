/** What can be in one {@link Bag} at a time. */
export interface Baggable {
  /** Where it is in its bag, for the bag alone; -1 when it is in none. */
  bagPosition: number
}

/**
 * A set, in no order, of objects that come and go with each delivery. A `Set` is built anew each time as many
 * have gone as it holds, and what stood in it then stays in memory until the whole heap is collected.
 */
export class Bag<Item extends Baggable> {
  readonly #items: Item[] = []

  get size(): number {
    return this.#items.length
  }

  add(item: Item): void {
    item.bagPosition = this.#items.push(item) - 1
  }

  /** Answers whether it was there. */
  delete(item: Item): boolean {
    const { bagPosition } = item
    if (bagPosition === -1) return false
    item.bagPosition = -1
    const last = this.#items.pop() as Item
    if (last === item) return true
    this.#items[bagPosition] = last
    last.bagPosition = bagPosition
    return true
  }

  /** What is in it now. */
  items(): readonly Item[] {
    return [...this.#items]
  }
}
