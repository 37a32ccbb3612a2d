import type { Deduplicator, Delivery, ProcessOutcome } from '@oncemq/core'
import { DeliveryLoop, rejectedForAttempts, retryDefaults } from '@oncemq/core/broker'
import type { EachBatch, KafkaMessage } from './client.ts'
import { messageOf } from './client.ts'
import { committedOf } from './clients/kafkajs-records.ts'
import { ConsumedMessage } from './consumed-message.ts'
import { givenBack } from './given-back.ts'
import type { BatchRecord } from './given-batch.ts'
import { GivenBatch } from './given-batch.ts'
import type { RecordFailures } from './record-failures.ts'
import { arrivalOf } from './parked-copy.ts'
import type { Parking } from './parking.ts'
import type { DedupEachBatchSettings } from './settings.ts'

export interface BatchServices {
  readonly dedup: Deduplicator<never>
  readonly parking: Parking
  readonly settings: DedupEachBatchSettings
  readonly failures: RecordFailures
}

/**
 * The way of a batch, in its order. Nothing is held that is not given to the handler, while something waits:
 * two members that waited for each other's records would wait for ever.
 *
 *   all claimed at once ──▶ those before the first that has to wait ──▶ given to the handler ──▶ done
 *        ▲                        └── those after it given back
 *        └──────────── that one alone, for as long as it takes ◀──────────────┘
 */
export class BatchPassage<Payload extends EachBatch> {
  readonly #payload: Payload
  readonly #handler: (payload: Payload) => unknown
  readonly #services: BatchServices
  readonly #ended = new AbortController()
  /** Ends what waits here; what runs goes on. */
  readonly #signal: AbortSignal
  /** Whether records are given one by one, since one of them has failed before. */
  #isCareful = false
  #isDedupClosed = false

  constructor(payload: Payload, handler: (payload: Payload) => unknown, services: BatchServices) {
    this.#payload = payload
    this.#handler = handler
    this.#services = services
    const { signal } = services.settings
    this.#signal = signal === undefined ? this.#ended.signal : AbortSignal.any([signal, this.#ended.signal])
  }

  /** The client waits no longer, and gives the batch to somebody again. */
  end(): void {
    this.#ended.abort()
  }

  /** @throws what the handler throws, and when the client is to fetch again what is not resolved. */
  async run(): Promise<void> {
    const records = await this.#records()
    let patiently = false
    for (let from = 0; from < records.length;) {
      const isAlone = patiently || this.#isCareful
      const part = records.slice(from, isAlone ? from + 1 : undefined)
      const length = await this.#claim(part, patiently)
      if (length === 0 && (this.#signal.aborted || this.#isDedupClosed)) throw givenBack('dedupEachBatch')
      patiently = length === 0
      if (length > 0 && !(await this.#hand(part.slice(0, length)))) return
      from += length
    }
    // Also of those after them that were aborted, or the client would fetch them for ever.
    const last = this.#payload.batch.messages.at(-1)
    if (last !== undefined && last.offset !== records.at(-1)?.message.offset) this.#resolve(last.offset)
  }

  async #records(): Promise<readonly BatchRecord[]> {
    const { topic, partition } = this.#payload.batch
    const records: BatchRecord[] = []
    for (const each of committedOf(this.#payload.batch)) {
      const place = messageOf(topic, partition, each)
      const arrival = await arrivalOf(place, this.#services.dedup, this.#signal)
      const held = new ConsumedMessage(arrival, place, 'none', {
        signal: this.#signal,
        startsBefore: this.#services.failures.of(place),
        ack: () => {
          record.isSettled = true
          this.#services.failures.forget(place)
        },
        deadLetter: (of, letter) => this.#services.parking.park(of, letter),
        giveBack: () => undefined,
      })
      const { key, value, headers } = held.message
      const record: BatchRecord = {
        held,
        message: { ...each, key, value, headers },
        isSettled: false,
        grant: undefined,
      }
      records.push(record)
    }
    return records
  }

  /** Answers how many of them, from the first on, are settled or granted. The others are given back. */
  async #claim(records: readonly BatchRecord[], patiently: boolean): Promise<number> {
    const { dedup, settings } = this.#services
    const loop = new DeliveryLoop<KafkaMessage>({
      dedup,
      key: settings.key,
      policy: { retry: retryDefaults, onUnconfirmed: dedup.settings.onUnconfirmed },
      window: 2 * records.length + 2,
      concurrency: records.length,
      holdMs: Number.POSITIVE_INFINITY,
      onClosed: () => (this.#isDedupClosed = true),
    })
    for (const record of records) {
      if (record.isSettled) continue
      void loop.run(record.held, (_, delivery) => this.#ask(record, delivery, loop))
    }
    while (patiently ? !loop.isEmpty : loop.active > 0) await loop.changed()
    loop.stop()
    while (!loop.isEmpty) await loop.changed()
    // Nothing new is started by one who is to end.
    if (this.#signal.aborted) await Promise.all(records.map(giveBack))
    const length = this.#lengthOf(records)
    await Promise.all(records.slice(length).map(giveBack))
    return length
  }

  async #ask(
    record: BatchRecord,
    delivery: Delivery,
    loop: DeliveryLoop<KafkaMessage>,
  ): Promise<ProcessOutcome | undefined> {
    const { dedup } = this.#services
    const { attemptsMax } = dedup.settings
    const { startsBefore } = record.held
    // These have failed, and did not end their process: none of them has to be alone.
    if (startsBefore >= attemptsMax) return rejectedForAttempts(startsBefore, attemptsMax)
    const outcome = await dedup.claim(delivery)
    if (!('claim' in outcome)) return outcome
    const { claim, status } = outcome
    const { attempt } = claim
    record.grant = { claim, attempt, isRecorded: status !== 'unprotected' }
    if (loop.isStopped) await giveBack(record)
    return undefined
  }

  /** One that has failed before is given alone. */
  #lengthOf(records: readonly BatchRecord[]): number {
    let length = 0
    let granted = 0
    for (const { isSettled, grant } of records) {
      if (!isSettled && grant === undefined) break
      if (grant !== undefined && grant.attempt > 1) {
        this.#isCareful = true
        if (granted === 0) length += 1
        break
      }
      if (grant !== undefined) granted += 1
      length += 1
    }
    return length
  }

  /** Answers whether all of them are done. */
  async #hand(records: readonly BatchRecord[]): Promise<boolean> {
    const { dedup, settings, failures } = this.#services
    const resolve = (offset: string): void => this.#resolve(offset)
    const granted = records.filter(({ grant }) => grant !== undefined)
    const lastOffset = records.at(-1)?.message.offset ?? '0'
    if (granted.length > 0) {
      const services = { settings: dedup.settings, lastOffset, resolve }
      const batch = new GivenBatch(this.#payload, granted, services)
      const unrecorded = granted.filter(({ grant }) => grant?.isRecorded === false)
      try {
        if (!(await batch.handledBy(this.#handler, settings.eachBatchAutoResolve))) return false
        for (const { held } of unrecorded) failures.forget(held.place)
      } finally {
        for (const record of unrecorded) if (batch.failed.includes(record)) failures.add(record.held.place)
      }
    }
    resolve(lastOffset)
    return true
  }

  #resolve(offset: string): void {
    // Somebody else may have the partition by then, or this client from another offset on.
    if (!this.#ended.signal.aborted) this.#payload.resolveOffset(offset)
  }
}

async function giveBack(record: BatchRecord): Promise<void> {
  const { grant } = record
  record.grant = undefined
  await grant?.claim.release('unstarted')
}
