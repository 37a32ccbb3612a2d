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
  const tx = new Proxy(session, {
    get(target, name) {
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
  return { tx, revoke: () => void (isOver = true) }
}
