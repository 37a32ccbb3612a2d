import { OncemqError, received } from '../../errors.ts'
import type { RowId } from '../../store/state-contract.ts'
import type { HandlerBound } from '../bounded.ts'
import { bounded } from '../bounded.ts'
import type { Machine } from './machine.ts'

/** Reads a message: which row it is about, and which transition it asks for. */
export type Read<Message> = (
  message: Message,
) =>
  | { readonly id: unknown; readonly transition: string }
  | Promise<{ readonly id: unknown; readonly transition: string }>

/** What a message asks for. */
export interface Reading {
  readonly id: RowId
  readonly transition: string
  readonly from: readonly string[]
  readonly to: string
}

const ID_MAX = 1000

/** What a message is read by, and for how long that may take. */
export interface Reader<Message> {
  readonly read: Read<Message>
  readonly machine: Machine
  readonly bound: HandlerBound
}

/**
 * Never rejects. What cannot be read is an error to put the message aside with; `ONCEMQ_HANDLER_TIMEOUT` is
 * one that says nothing about the message.
 */
export async function readingOf<Message>(
  message: unknown,
  { read, machine, bound }: Reader<Message>,
): Promise<Reading | OncemqError> {
  let isOver = false
  const abort = (reason: unknown): void => {
    isOver = true
    bound.abort(reason)
  }
  try {
    const asked = async (): Promise<unknown> => read(message as Message)
    const answer = await bounded(asked, { ...bound, what: 'read', abort })
    const { id, transition } = (answer ?? {}) as { readonly id?: unknown; readonly transition?: unknown }
    if (!isRowId(id)) return unreadable('an id: a string, a number or a bigint', received(id))
    if (typeof transition !== 'string') return unreadable("a transition's name", received(transition))
    const found = machine.transition(transition)
    if (found === undefined) return unreadable('a transition of the machine', 'another name')
    return { id, transition, ...found }
  } catch (cause) {
    if (isOver) return cause as OncemqError
    return unreadable('an answer', received(cause), cause)
  }
}

/**
 * What databases compare without surprises. A class of a driver's own, such as an ObjectId, is left to its
 * store.
 */
function isRowId(id: unknown): id is RowId {
  if (typeof id === 'string')
    return id !== '' && id.length <= ID_MAX && id.isWellFormed() && !id.includes('\0')
  if (typeof id === 'number') return Number.isSafeInteger(id)
  // A driver may keep 64 bits of a larger one, which then is another id.
  if (typeof id === 'bigint') return BigInt.asIntN(64, id) === id
  if (typeof id !== 'object' || id === null) return false
  // A payload brings plain objects alone, whose prototypes have no such name.
  const prototype = Object.getPrototypeOf(id) as { readonly _bsontype?: unknown } | null
  return typeof prototype?._bsontype === 'string'
}

function unreadable(expected: string, what: string, cause?: unknown): OncemqError {
  return new OncemqError(
    'ONCEMQ_MESSAGE_UNREADABLE',
    `read: expected ${expected}, received ${what}; correct the producer, or what read makes of its messages`,
    cause === undefined ? {} : { cause },
  )
}
