/** Lets the messages of one order go one after the other, in the order in which they came. */
export class MessageOrder {
  readonly #tails = new Map<string, Promise<unknown>>()

  /** Runs `work` when all that came before it in its order has ended; at once without one. */
  run<Value>(order: string | undefined, work: () => Promise<Value>): Promise<Value> {
    if (order === undefined) return work()
    const before = this.#tails.get(order)
    const turn = before === undefined ? work() : before.then(work)
    const tail = turn
      .catch(() => undefined)
      .then(() => {
        if (this.#tails.get(order) === tail) this.#tails.delete(order)
      })
    this.#tails.set(order, tail)
    return turn
  }
}
