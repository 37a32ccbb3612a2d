/** Lets the messages of one message group go one after the other, in the order in which they came. */
export class MessageGroups {
  readonly #tails = new Map<string, Promise<unknown>>()

  /** Runs `work` when all that came before it in its group has ended; at once without a group. */
  run<Value>(group: string | undefined, work: () => Promise<Value>): Promise<Value> {
    if (group === undefined) return work()
    const before = this.#tails.get(group)
    const turn = before === undefined ? work() : before.then(work)
    const tail = turn
      .catch(() => undefined)
      .then(() => {
        if (this.#tails.get(group) === tail) this.#tails.delete(group)
      })
    this.#tails.set(group, tail)
    return turn
  }
}
