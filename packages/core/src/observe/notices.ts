import { printable } from '../delivery/identity.ts'
import type { EventName, Events } from './events.ts'
import type { Logger } from './logger.ts'

/** How many different sentences are remembered as told. */
const TOLD_MAX = 1000

/** What a person has to know, as a sentence. The other events are for counters. */
const sentences: { readonly [Name in EventName]?: (event: Events[Name]) => string | undefined } = {
  outage: ({ error }) => `the store is down; messages are held until it is back: ${error.message}`,
  deadLettered: ({ reason, source }) =>
    `a message was dead-lettered (${reason})${source === undefined ? '' : ` from '${source}'`}; ` +
    `its headers say why`,
  finding: ({ severity, found, remedy }) => (severity === 'info' ? undefined : `${found} ${remedy}`),
  unprotected: ({ reason }) =>
    reason === 'missing-key'
      ? 'a message without a key runs without protection; stamp an id at the producer, or set onMissingKey'
      : `a message runs without protection (${reason})`,
  warning: ({ message }) => message,
}

/** Each of these is said once, however often it happens: its count is what counters are for. */
const ONCE_A_KIND: ReadonlySet<EventName> = new Set(['outage', 'deadLettered', 'unprotected'])

/**
 * Tells people what they must know where nobody listens: through the logger, each time; without one, once as
 * a warning of the process.
 */
export class Notices {
  readonly #consumerGroup: string
  readonly #logger: Logger | undefined
  readonly #told = new Set<string>()

  constructor(consumerGroup: string, logger: Logger | undefined) {
    this.#consumerGroup = consumerGroup
    this.#logger = logger
  }

  /** Whether an event of this name may need a notice. Not where a listener has it; a logger gets all. */
  concerns(name: EventName, isHeard: boolean): boolean {
    if (!(name in sentences)) return false
    if (this.#logger !== undefined) return true
    return !isHeard && !(ONCE_A_KIND.has(name) && this.#told.has(name))
  }

  tell<Name extends EventName>(name: Name, event: Events[Name]): void {
    const sentence = sentences[name]?.(event)
    if (sentence === undefined) return
    const message = printable(`${this.#consumerGroup}: ${sentence}`)
    if (this.#logger !== undefined) return this.#log(message)
    const topic = ONCE_A_KIND.has(name) ? name : message
    if (this.#told.has(topic) || this.#told.size >= TOLD_MAX) return
    this.#told.add(topic)
    process.emitWarning(message, { type: 'OncemqWarning' })
  }

  #log(message: string): void {
    // A logger that throws or rejects must not end a delivery, let alone the process.
    try {
      const answer = this.#logger?.warn(message)
      if (answer instanceof Promise) answer.catch(() => undefined)
    } catch {}
  }
}
