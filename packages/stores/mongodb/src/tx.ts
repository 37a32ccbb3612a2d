import type { MongoSession } from './client.ts'
import { lateError } from './errors.ts'

/** Methods that would end a transaction, or begin one, by hand. */
const ENDING: ReadonlySet<string | symbol> = new Set([
  'abortTransaction',
  'commitTransaction',
  'endSession',
  'startTransaction',
  'withTransaction',
])

/** A session that is lent to a handler, until it is taken back. */
export interface LentSession<Session extends MongoSession> {
  readonly tx: Session
  /** Resolves when all that was asked by it is answered; `undefined` if it is by now. */
  readonly answered: () => Promise<void> | undefined
  /** Ends it: the driver refuses to use it, and so it does itself. */
  readonly revoke: () => void
}

/**
 * Lends a session. The driver refuses operations on sessions that have ended, at their start and once more
 * before they are sent; so the handler's copy says that it has, while the store still completes and commits
 * by the session itself. All else goes on, since the driver keeps its books on operations under way by it.
 */
export function lend<Session extends MongoSession>(session: Session): LentSession<Session> {
  let isOver = false
  const operations = new Operations()
  const tx = new Proxy(session, {
    get(target, name) {
      operations.read(name)
      if (name === 'hasEnded' && isOver) return true
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function' || !ENDING.has(name)) return value
      return (...args: unknown[]): unknown => {
        if (isOver) throw lateError()
        return Reflect.apply(value, target, args)
      }
    },
    // What is set by way of the copy is the session's.
    set: (target, name, value) => Reflect.set(target, name, value, target),
  })
  return { tx, answered: () => operations.answered(), revoke: () => void (isOver = true) }
}

/**
 * What of a handler's is under way, awaited or not, by what the driver reads of a session: whether it has
 * ended and takes snapshots, one after the other, when an operation begins, and whose it is when that has
 * ended. A driver that reads otherwise has nothing under way here.
 */
class Operations {
  #underWay = 0
  #last: string | symbol | undefined
  #answered: (() => void) | undefined

  read(name: string | symbol): void {
    if (name === 'snapshotEnabled' && this.#last === 'hasEnded') this.#underWay += 1
    if (name === 'owner' && this.#underWay > 0) this.#underWay -= 1
    if (this.#underWay === 0) this.#answered?.()
    this.#last = name
  }

  answered(): Promise<void> | undefined {
    return this.#underWay === 0 ? undefined : new Promise((resolve) => (this.#answered = resolve))
  }
}
