import { printable } from '../delivery/identity.ts'
import { pageAt } from '../pages.ts'
import type { Clock } from '../time/clock.ts'
import type { EventName, Events } from './events.ts'
import type { Logger } from './logger.ts'
import { PacedTopics } from './paced-topics.ts'

/** What a person has to know. What has one topic is one thing to know, however often it happens. */
interface Notice {
  readonly topic: string
  readonly sentence: string
  /** Whether it ends what the topic's last notice began, which is said at once. */
  readonly isEnd?: boolean
}

const REPLAYS = `see ${pageAt('operations', 'failed-messages-and-replays')}`

/** The other events are for counters. */
const notices: { readonly [Name in EventName]?: (event: Events[Name]) => Notice | undefined } = {
  outage: ({ error }) => ({
    topic: 'store',
    sentence: `the store is down; messages are held until it is back: ${error.message}`,
  }),
  recovered: ({ downMs }) => ({
    topic: 'store',
    sentence: `the store is back after ${seconds(downMs)}; the messages that were held go on`,
    isEnd: true,
  }),
  deadLettered: ({ reason, source, attempt, errorName }) => ({
    topic: `deadLettered ${reason} ${source}`,
    sentence:
      `a message was dead-lettered${source === undefined ? '' : ` from '${source}'`} ` +
      `(${[reason, attempt > 0 ? `attempt ${attempt}` : '', errorName ?? ''].filter(Boolean).join(', ')}); ` +
      `its headers say why, ${REPLAYS}`,
  }),
  finding: ({ code, severity, found, remedy }) =>
    severity === 'info' ? undefined : { topic: `finding ${code}`, sentence: `${found} ${remedy}` },
  unprotected: ({ reason }) => ({
    topic: `unprotected ${reason}`,
    sentence:
      reason === 'missing-key'
        ? 'a message without a key runs without protection; stamp an id at the producer, or set onMissingKey'
        : `a message runs without protection (${reason})`,
  }),
  warning: ({ message }) => ({ topic: message, sentence: message }),
}

function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 1000)} s`
}

/**
 * Tells people what they must know: through the logger or, without one, where nobody listens, as a warning of
 * the process. What happens again and again is counted, and said again ever more rarely.
 */
export class Notices {
  readonly #consumerGroup: string
  readonly #logger: Logger | undefined
  readonly #topics: PacedTopics

  constructor(consumerGroup: string, logger: Logger | undefined, clock: Clock) {
    this.#consumerGroup = consumerGroup
    this.#logger = logger
    this.#topics = new PacedTopics(clock, (sentence) => this.#say(sentence))
  }

  /** Whether an event of this name may need a notice. Not where a listener has it; a logger gets all. */
  concerns(name: EventName, isHeard: boolean): boolean {
    return name in notices && (this.#logger !== undefined || !isHeard)
  }

  tell<Name extends EventName>(name: Name, event: Events[Name]): void {
    const notice = notices[name]?.(event)
    if (notice !== undefined) this.#topics.tell(notice.topic, notice.sentence, notice.isEnd)
  }

  /** Says what has been counted and not said yet. */
  close(): void {
    this.#topics.close()
  }

  #say(sentence: string): void {
    const message = printable(`${this.#consumerGroup}: ${sentence}`)
    if (this.#logger === undefined) return process.emitWarning(message, { type: 'OncemqWarning' })
    // A logger that throws or rejects must not end a delivery, let alone the process.
    try {
      const answer = this.#logger.warn(message)
      if (answer instanceof Promise) answer.catch(() => undefined)
    } catch {}
  }
}
