import { waitQueuePrefix } from './names.ts'

type Headers = Readonly<Record<string, unknown>>

const HISTORY = 'x-death'
const FIRST = 'x-first-death-'
const LAST = 'x-last-death-'

/** The broker's own history of dead-lettering: on a copy it would make the broker see a cycle. */
export function isDeathHeader(name: string): boolean {
  return name === HISTORY || name.startsWith(FIRST) || name.startsWith(LAST)
}

/**
 * What was set aside of a message (`original`), with the history that the broker has written on the copy
 * since. Who counts rounds through a dead-letter exchange would else see the same count for ever. The way
 * through our own wait queues is left out.
 */
export function deathsOf(queue: string, headers: Headers, original: Headers): Headers {
  const own = waitQueuePrefix(queue)
  const since = entriesOf(headers[HISTORY]).filter(({ queue: from }) => !isOwn(from, own))
  if (since.length === 0) return original
  const before = entriesOf(original[HISTORY])
  const summed = since.map((entry) =>
    sum(
      entry,
      before.find((each) => isSame(each, entry)),
    ),
  )
  const others = before.filter((each) => !since.some((entry) => isSame(each, entry)))
  const last = isOwn(headers[`${LAST}queue`], own) ? {} : startingWith(LAST, headers)
  const first = isOwn(headers[`${FIRST}queue`], own) ? {} : startingWith(FIRST, headers)
  return { ...first, ...original, ...last, [HISTORY]: [...summed, ...others] }
}

/** One queue and reason that a message was dead-lettered by, as the broker writes it, or anybody. */
type Entry = Headers

function entriesOf(history: unknown): Entry[] {
  if (!Array.isArray(history)) return []
  return history.filter((each): each is Entry => typeof each === 'object' && each !== null)
}

function isOwn(from: unknown, own: string): boolean {
  return typeof from === 'string' && from.startsWith(own)
}

function isSame(one: Entry, other: Entry): boolean {
  return one['queue'] === other['queue'] && one['reason'] === other['reason']
}

function sum(entry: Entry, before: Entry | undefined): Entry {
  return { ...entry, count: countOf(entry) + (before === undefined ? 0 : countOf(before)) }
}

function countOf({ count }: Entry): number {
  return typeof count === 'number' ? count : 0
}

function startingWith(prefix: string, headers: Headers): Headers {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith(prefix)))
}
