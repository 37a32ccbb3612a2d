/** What can stand in one {@link Unsettled} at a time; the list alone writes it. */
export interface Listed {
  earlier: this | undefined
  later: this | undefined
}

/**
 * What is not settled, in the order of arrival. A list by links, since a `Map` from which entries go as fast
 * as they come keeps what stood in it in memory until the whole heap is collected.
 */
export class Unsettled<Item extends Listed> {
  #first: Item | undefined
  #last: Item | undefined

  get first(): Item | undefined {
    return this.#first
  }

  add(item: Item): void {
    item.earlier = this.#last
    if (this.#last === undefined) this.#first = item
    else this.#last.later = item
    this.#last = item
  }

  /** Takes out an item that is in it. */
  delete(item: Item): void {
    const { earlier, later } = item
    if (earlier === undefined) this.#first = later
    else earlier.later = later
    if (later === undefined) this.#last = earlier
    else later.earlier = earlier
    item.earlier = undefined
    item.later = undefined
  }

  *[Symbol.iterator](): Generator<Item, void> {
    for (let item = this.#first; item !== undefined; item = item.later) yield item
  }
}
