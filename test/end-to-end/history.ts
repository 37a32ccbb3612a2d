import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'vitest'

/**
 * One line of the history. Consumers and the test append to it, each at the moment it happens, and nothing
 * that is tested knows of it; it survives whoever is killed.
 */
export type Event = Happening & {
  /** Milliseconds since 1970. */
  readonly atMs?: number
}

type Happening =
  /** The store has granted a key: the consumer looks at the lease, and its handler starts. */
  | { readonly type: 'granted'; readonly pid: number; readonly key: string; readonly epoch: number }
  /** A handler starts, and ends. */
  | { readonly type: 'run'; readonly pid: number; readonly key: string; readonly epoch: number }
  | { readonly type: 'ran'; readonly pid: number; readonly key: string }
  /** The store has said that a key is done: to who did it, or to who asked for it. */
  | { readonly type: 'done' | 'known'; readonly pid: number; readonly key: string }
  /** A handler came to its end, and the store did not say in time that its key is done, or that it is not. */
  | { readonly type: 'unconfirmed' | 'lost'; readonly pid: number; readonly key: string }
  /** The broker has confirmed a copy that is to be delivered later. */
  | { readonly type: 'copy'; readonly pid: number; readonly key: string }
  /** A delivery is about to be acked; `message` is the broker's id, where it has one. */
  | { readonly type: 'ack'; readonly pid: number; readonly key: string; readonly message?: string }
  /** What a consumer sees of its store. */
  | { readonly type: 'outage' | 'recovered'; readonly pid: number }
  /** What the test does. */
  | { readonly type: 'kill' | 'freeze' | 'thaw'; readonly pid: number }
  /** A process that was frozen has kept the store from all others until now. */
  | { readonly type: 'kept'; readonly pid: number }
  | { readonly type: 'down' | 'up' }

export class History {
  readonly #file: string

  constructor(file: string) {
    this.#file = file
  }

  /** The line break before it parts it from what a process that was killed did not get to its end. */
  append(event: Event): void {
    appendFileSync(this.#file, `\n${JSON.stringify({ ...event, atMs: Date.now() })}\n`)
  }

  /** Without what is being written just now, or was when its process was killed. */
  events(): readonly Event[] {
    const lines = readFileSync(this.#file, { encoding: 'utf8', flag: 'a+' }).split('\n')
    return lines.filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as Event)
  }

  count(type: Event['type']): number {
    return this.events().filter((event) => event.type === type).length
  }
}

/** What became of a key, for a person to read: its own events, and those of processes and of the store. */
export function storyOf(key: string, events: readonly Event[]): string {
  const own = events.filter((event) => !('key' in event) || event.key === key)
  return own.map((event) => `\n  ${lineOf(event)}`).join('')
}

function lineOf({ type, atMs = 0, ...rest }: Event): string {
  const at = new Date(atMs).toISOString().slice('2026-01-01T'.length, -1)
  const details = Object.entries(rest).map(([name, value]) => ` ${name} ${value}`)
  return `${at} ${type}${details.join('')}`
}

/** A file for the history of one test, in a folder of its own. */
export function historyFileOf({ onTestFinished }: Pick<TestContext, 'onTestFinished'>): string {
  const folder = mkdtempSync(join(tmpdir(), 'oncemq-history-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return join(folder, 'history')
}
