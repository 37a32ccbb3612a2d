import { deferred } from '../time/deferred.ts'

/** What a message does that shall no longer wait for its turn. */
export interface Leaving {
  readonly signal: AbortSignal
  leave(): Promise<unknown>
}

const toNobody = (): void => undefined

/** Lets the messages of one order go one after the other, in the order in which they came. */
export class MessageOrder {
  readonly #tails = new Map<string, Promise<unknown>>()

  /**
   * Runs `work` when all that came before it in its order has ended; at once without one. One that waits for
   * its turn when `signal` aborts leaves at that moment, and not when its turn has come: what is given back
   * then would be overtaken by what is received meanwhile. `work` may pass its turn on before it has ended.
   */
  run(
    order: string | undefined,
    work: (passOn: () => void) => Promise<unknown>,
    leaving: Leaving,
  ): Promise<unknown> {
    if (order === undefined) return work(toNobody)
    const { promise: passedOn, resolve: passOn } = deferred<void>()
    const before = this.#tails.get(order)
    const turn =
      before === undefined
        ? work(passOn)
        : isTurn(before, leaving.signal).then((isMine) => (isMine ? work(passOn) : leaving.leave()))
    // What comes next waits for whatever came before a message that has left.
    const tail = Promise.race([passedOn, Promise.allSettled([before, turn])]).then(() => {
      if (this.#tails.get(order) === tail) this.#tails.delete(order)
    })
    this.#tails.set(order, tail)
    return turn
  }
}

/** Resolves with true when `before` has ended, with false when `signal` aborts before that. */
function isTurn(before: Promise<unknown>, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false)
  return new Promise((resolve) => {
    const aborted = (): void => resolve(false)
    signal.addEventListener('abort', aborted)
    void before.then(() => {
      signal.removeEventListener('abort', aborted)
      resolve(true)
    })
  })
}
