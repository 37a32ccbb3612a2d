import type { KafkaMessage } from './client.ts'

/** Of so many records that wait for a further attempt at the most; those of a member are far fewer. */
const RECORDS_MAX = 10_000

/** How often handlers have failed at records that no store counts, as Kafka does not count either. */
export class RecordFailures {
  readonly #counts = new Map<string, number>()

  of(place: KafkaMessage): number {
    return this.#counts.get(nameOf(place)) ?? 0
  }

  add(place: KafkaMessage): void {
    const name = nameOf(place)
    const count = this.of(place) + 1
    this.#counts.delete(name)
    this.#counts.set(name, count)
    const [oldest] = this.#counts.keys()
    if (this.#counts.size > RECORDS_MAX && oldest !== undefined) this.#counts.delete(oldest)
  }

  forget(place: KafkaMessage): void {
    this.#counts.delete(nameOf(place))
  }
}

function nameOf({ topic, partition, offset, timestamp }: KafkaMessage): string {
  return `${topic}/${partition}/${offset}@${timestamp}`
}
