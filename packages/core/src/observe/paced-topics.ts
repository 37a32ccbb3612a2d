import { backoffMs } from '../time/backoff.ts'
import type { Clock, Timer } from '../time/clock.ts'

/** Between two sentences on one topic. One that was quiet for the longest of these begins anew. */
const PACE = { firstMs: 60_000, factor: 4, maxMs: 3_600_000 }
/** How many topics are kept apart; what is beyond shares one. */
const TOPICS_MAX = 200
const OTHERS = ''

interface Topic {
  /** How often something was said of it without a longer rest. */
  times: number
  saidMs: number
  heardMs: number
  /** Whether what was said last is the end of something. */
  isEnded: boolean
  /** How often it was heard of since, and the last of it. */
  missed: number
  sentence: string
  isEnd: boolean
  timer: Timer | undefined
}

/**
 * Says the first sentence on a topic at once, and the following ones with growing waits between them, each
 * with the count of those that were left out:
 *
 *   told ──▶ said ──told, told──▶ counted ──a minute──▶ said (1 more) ──▶ ... ──four minutes──▶ said ...
 */
export class PacedTopics {
  readonly #clock: Clock
  readonly #say: (sentence: string) => void
  readonly #topics = new Map<string, Topic>()
  #isClosed = false

  constructor(clock: Clock, say: (sentence: string) => void) {
    this.#clock = clock
    this.#say = say
  }

  /** `isEnd`: it ends what was told last on this topic, which is said at once if that was. */
  tell(name: string, sentence: string, isEnd = false): void {
    const topic = this.#topic(name)
    const nowMs = this.#clock.monotonicMs()
    const leftMs = topic.times === 0 ? 0 : topic.saidMs + waitMs(topic) - nowMs
    const isAwaited = isEnd && !topic.isEnded
    Object.assign(topic, { heardMs: nowMs, sentence, isEnd, missed: topic.missed + 1 })
    if (this.#isClosed || (topic.timer === undefined && (leftMs <= 0 || isAwaited)))
      return this.#sayNow(topic)
    topic.timer ??= this.#clock.after(leftMs, () => this.#sayNow(topic), 'background')
  }

  close(): void {
    this.#isClosed = true
    for (const topic of this.#topics.values()) {
      topic.timer?.cancel()
      if (topic.missed > 0) this.#sayNow(topic)
    }
  }

  #sayNow(topic: Topic): void {
    const { isEnd, missed, sentence } = topic
    const saidMs = this.#clock.monotonicMs()
    const times = topic.times + (isEnd && !topic.isEnded ? 0 : 1)
    Object.assign(topic, { isEnded: isEnd, missed: 0, saidMs, timer: undefined, times })
    this.#say(missed > 1 ? `${sentence} (and ${missed - 1} more like this)` : sentence)
  }

  #topic(name: string): Topic {
    const known = this.#topics.get(name)
    if (known !== undefined) {
      const isRested = this.#clock.monotonicMs() - known.heardMs >= PACE.maxMs
      if (isRested && known.missed === 0) known.times = 0
      return known
    }
    if (this.#topics.size >= TOPICS_MAX) this.#dropRested()
    if (this.#topics.size >= TOPICS_MAX && name !== OTHERS) return this.#topic(OTHERS)
    const topic = newTopic()
    this.#topics.set(name, topic)
    return topic
  }

  #dropRested(): void {
    const nowMs = this.#clock.monotonicMs()
    for (const [name, { heardMs, missed }] of this.#topics)
      if (missed === 0 && nowMs - heardMs >= PACE.maxMs) this.#topics.delete(name)
  }
}

function newTopic(): Topic {
  const times = { times: 0, saidMs: 0, heardMs: 0 }
  return { ...times, isEnded: true, missed: 0, sentence: '', isEnd: false, timer: undefined }
}

/** The wait after what was said last. */
function waitMs({ times }: Topic): number {
  return backoffMs(PACE, Math.max(0, times - 1))
}
