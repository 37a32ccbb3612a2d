/** What can stand in one {@link LinkedList} at a time. */
export interface Linked {
  /** For the list alone. */
  earlier: this | undefined
  /** For the list alone. */
  later: this | undefined
}

/**
 * A set, in the order of arrival, of objects that come and go with each delivery. A `Set` or `Map` that has
 * grown old is built anew each time as many have gone as it holds, and what stood in it then stays in memory
 * until the whole heap is collected.
 */
export class LinkedList<Item extends Linked> {
  #first: Item | undefined
  #last: Item | undefined

  get first(): Item | undefined {
    return this.#first
  }

  /** Adds an item that is in no list. */
  add(item: Item): void {
    item.earlier = this.#last
    if (this.#last === undefined) this.#first = item
    else this.#last.later = item
    this.#last = item
  }

  /** Answers whether it was there. */
  delete(item: Item): boolean {
    const { earlier, later } = item
    if (earlier === undefined && item !== this.#first) return false
    if (earlier === undefined) this.#first = later
    else earlier.later = later
    if (later === undefined) this.#last = earlier
    else later.earlier = earlier
    item.earlier = undefined
    item.later = undefined
    return true
  }

  /** From the first to the last. Copy it to delete meanwhile. */
  *[Symbol.iterator](): Generator<Item, void> {
    for (let item = this.#first; item !== undefined; item = item.later) yield item
  }
}
