import type { ClaimAnswer, ClaimRequest, ClaimUpdate, StoredRecord, UpdateAnswer } from '@oncemq/core'
import { StoreError } from '@oncemq/core'
import { textOf } from './client.ts'
import type { Connection } from './connection.ts'
import { LAYOUT_PATTERN, STATES, scripts } from './statements.ts'
import type { Script } from './statements.ts'
import { keyOf, tagOf } from './tags.ts'

const FRESH: ClaimAnswer = Object.freeze({ status: 'granted', epoch: 1, attempt: 1 })
const ABOUT_NONE = '-'
const ABOUT_SOME = '+'
const RESULT_MARK = '\0'

/** What entries of one script have in common, and what each has of its own. */
interface Step<Entry> {
  readonly script: Script
  /** The script's first arguments; only entries with the same may be in one script. */
  readonly shared: (entry: Entry) => readonly number[]
  /** The entry's own argument; `undefined` if the script needs none. */
  readonly own: (entry: Entry) => string | undefined
}

type Update<Op extends ClaimUpdate['op']> = Extract<ClaimUpdate, { op: Op }>

const claim: Step<ClaimRequest> = {
  script: scripts.claim,
  shared: ({ leaseMs, retentionMs }) => [leaseMs, retentionMs],
  own: ({ claimId, fingerprint = ABOUT_NONE, label }) =>
    `${claimId}${fingerprint} ${label === undefined ? ABOUT_NONE : ABOUT_SOME + label}`,
}
const renew: Step<Update<'renew'>> = {
  script: scripts.renew,
  shared: ({ leaseMs, retentionMs }) => [leaseMs, retentionMs],
  own: ({ claimId }) => claimId,
}
const complete: Step<Update<'complete'>> = {
  script: scripts.complete,
  shared: ({ retentionMs }) => [retentionMs],
  own: ({ claimId, result }) => (result === undefined ? claimId : claimId + RESULT_MARK + base64(result)),
}
const release: Step<Update<'release'>> = {
  script: scripts.release,
  shared: ({ retentionMs, attempts }) => [retentionMs, attempts],
  own: ({ claimId }) => claimId,
}
const updates = { renew, complete, release } as Readonly<Record<ClaimUpdate['op'], Step<ClaimUpdate>>>
const byIdAlone = { shared: () => [], own: () => undefined }
const inspect: Step<string> = { script: scripts.inspect, ...byIdAlone }
const forget: Step<string> = { script: scripts.forget, ...byIdAlone }

/** Entries that one script handles, by their positions in the batch. */
interface Part<Entry> {
  readonly step: Step<Entry>
  readonly shared: readonly number[]
  readonly positions: number[]
}

/** The protocol's steps, each in as few scripts as may be, all of them on their way at the same time. */
export class Records {
  readonly #connection: Connection
  readonly #prefix: string

  constructor(connection: Connection, prefix: string) {
    this.#connection = connection
    this.#prefix = prefix
  }

  async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    const answers: ClaimAnswer[] = batch.map(() => FRESH)
    const ids = batch.map(({ id }) => id)
    await this.#run(
      batch,
      ids,
      () => claim,
      ([granted, ...others], positions) => {
        requireWhole(countOf(granted) + others.length, positions.length)
        for (const other of others) {
          const [index, answer] = claimAnswer(textOf(other))
          answers[positions[index] as number] = answer
        }
      },
    )
    return answers
  }

  async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    const answers: UpdateAnswer[] = batch.map(() => 'ok')
    const ids = batch.map(({ id }) => id)
    await this.#run(
      batch,
      ids,
      ({ op }) => updates[op],
      ([changed, ...lost], positions) => {
        requireWhole(countOf(changed) + lost.length, positions.length)
        for (const index of lost) answers[positions[countOf(index) - 1] as number] = 'lost'
      },
    )
    return answers
  }

  async inspect(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
    const records: (StoredRecord | undefined)[] = ids.map(() => undefined)
    await this.#run(
      ids,
      ids,
      () => inspect,
      ([now, ...found], positions) => {
        requireWhole(found.length, positions.length)
        for (const [index, record] of found.entries()) {
          if (record === null) continue
          records[positions[index] as number] = storedRecord(textOf(record), countOf(now))
        }
      },
    )
    return records
  }

  async forget(ids: readonly string[]): Promise<void> {
    await this.#run(
      ids,
      ids,
      () => forget,
      ([asked], positions) => {
        requireWhole(countOf(asked), positions.length)
      },
    )
  }

  async #run<Entry>(
    entries: readonly Entry[],
    ids: readonly string[],
    stepOf: (entry: Entry) => Step<Entry>,
    read: (reply: readonly unknown[], positions: readonly number[]) => void,
  ): Promise<void> {
    const parts = this.#partsOf(entries, ids, stepOf)
    await Promise.all(
      parts.map(async ({ step, shared, positions }) => {
        const keys = positions.map((position) => keyOf(this.#prefix, ids[position] as string))
        const args = shared.map(String)
        for (const position of positions) {
          const own = step.own(entries[position] as Entry)
          if (own !== undefined) args.push(own)
        }
        const reply = await this.#connection.run(step.script, keys, args)
        read(Array.isArray(reply) ? reply : [], positions)
      }),
    )
  }

  /** As a rule all entries are alike and this is one part, in a cluster one for each tag. */
  #partsOf<Entry>(
    entries: readonly Entry[],
    ids: readonly string[],
    stepOf: (entry: Entry) => Step<Entry>,
  ): readonly Part<Entry>[] {
    const { isCluster } = this.#connection.commands
    const parts = new Map<string, Part<Entry>>()
    entries.forEach((entry, position) => {
      const step = stepOf(entry)
      const shared = step.shared(entry)
      const name = `${step.script.sha1} ${shared.join()} ${isCluster ? tagOf(ids[position] as string) : ''}`
      const part = parts.get(name)
      if (part === undefined) parts.set(name, { step, shared, positions: [position] })
      else part.positions.push(position)
    })
    return [...parts.values()]
  }
}

function countOf(reply: unknown): number {
  return Number(textOf(reply))
}

/** Text, since a client that is set to give bytes would give bytes for all other answers too. */
function base64({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64')
}

/** Reads '<position> <kind> <rest>' of the script, whose positions begin with 1. */
function claimAnswer(text: string): readonly [index: number, answer: ClaimAnswer] {
  const space = text.indexOf(' ')
  const index = Number(text.slice(0, space)) - 1
  const kind = text.charAt(space + 1)
  const rest = text.slice(space + 3)
  if (kind === 'd') {
    const { fingerprint, result } = aboutOf(rest)
    return [index, { status: 'done', fingerprint, result }]
  }
  const [epoch, number] = rest.split(' ').map(Number) as [number, number]
  return [
    index,
    kind === 'g'
      ? { status: 'granted', epoch, attempt: number }
      : { status: 'busy', epoch, leaseRemainingMs: number },
  ]
}

/** Reads '<ms until it expires> <record>'. */
function storedRecord(text: string, nowMs: number): StoredRecord {
  const space = text.indexOf(' ')
  const parts = LAYOUT_PATTERN.exec(text.slice(space + 1))
  if (parts === null) {
    throw new StoreError(
      'ONCEMQ_STORE_CORRUPT',
      'RedisStore: expected a record of this version, received another value; choose another prefix, or ' +
        'use the version of @oncemq/redis that wrote it',
    )
  }
  const [, letter, until, epoch, attempts, , about] = parts
  const state = STATES[letter as keyof typeof STATES]
  return {
    state,
    epoch: hex(epoch),
    attempts: hex(attempts),
    leaseRemainingMs: state === 'running' ? hex(until) - nowMs : 0,
    expiresInMs: Number(text.slice(0, space)),
    ...aboutOf(about as string),
  }
}

function hex(text: string | undefined): number {
  return Number.parseInt(text as string, 16)
}

function aboutOf(about: string): Pick<StoredRecord, 'fingerprint' | 'label' | 'result'> {
  const space = about.indexOf(' ')
  const mark = about.indexOf(RESULT_MARK)
  const fingerprint = about.slice(0, space)
  const label = about.slice(space + 1, mark === -1 ? undefined : mark)
  return {
    fingerprint: fingerprint === ABOUT_NONE ? undefined : fingerprint,
    label: label === ABOUT_NONE ? undefined : label.slice(ABOUT_SOME.length),
    result: mark === -1 ? undefined : Buffer.from(about.slice(mark + 1), 'base64'),
  }
}

/** A proxy that answers by itself, or a client that changes answers, must not grant anything. */
function requireWhole(answered: number, asked: number): void {
  if (answered === asked) return
  throw new StoreError(
    'ONCEMQ_STORE_BROKEN',
    `RedisStore: expected ${asked} answers of a script, received ${answered}; ` +
      `connect to a real Redis or Valkey, with a client that leaves replies as they are`,
  )
}
