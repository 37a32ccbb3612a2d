import type { ClaimAnswer, ClaimRequest, ClaimUpdate, StoredRecord, UpdateAnswer } from '@oncemq/core/store'
import { storeError } from '@oncemq/core/store'
import { textOf } from './client.ts'
import type { Connection } from './connection.ts'
import { FOREIGN, STORE } from './errors.ts'
import { ABOUT_NOTHING, LAYOUT_PATTERN, STATES, scripts } from './statements.ts'
import type { Script } from './statements.ts'
import { keysWith, tagOf } from './tags.ts'

const FRESH: ClaimAnswer = Object.freeze({ status: 'granted', epoch: 1, attempt: 1 })
const CONFLICT: ClaimAnswer = Object.freeze({ status: 'conflict' })
const ABOUT_NONE = '-'
const ABOUT_SOME = '+'
const RESULT_MARK = '\0'
const RESULT_SOME = '+'
const TEXT_END = '\0'

/** What entries of one script have in common, and what each has of its own. */
interface Step<Entry> {
  readonly script: Script
  /** The script's first arguments; only entries with the same two may be in one script. */
  readonly shared: (entry: Entry) => readonly [first?: number, second?: number]
  readonly claimId?: (entry: Entry) => string
  /** A text of the entry's own, without NUL; it goes without saying if it is `nothing` for all entries. */
  readonly own?: { readonly of: (entry: Entry) => string; readonly nothing: string }
}

type Update<Op extends ClaimUpdate['op']> = Extract<ClaimUpdate, { op: Op }>

const claimId = (entry: { readonly claimId: string }): string => entry.claimId
const claim: Step<ClaimRequest> = {
  script: scripts.claim,
  shared: ({ leaseMs, retentionMs }) => [leaseMs, retentionMs],
  claimId,
  own: { of: aboutClaim, nothing: ABOUT_NOTHING },
}
const renew: Step<Update<'renew'>> = {
  script: scripts.renew,
  shared: ({ leaseMs, retentionMs }) => [leaseMs, retentionMs],
  claimId,
}
const complete: Step<Update<'complete'>> = {
  script: scripts.complete,
  shared: ({ retentionMs }) => [retentionMs],
  claimId,
  own: { of: ({ result }) => (result === undefined ? '' : RESULT_SOME + base64(result)), nothing: '' },
}
const release: Step<Update<'release'>> = {
  script: scripts.release,
  shared: ({ retentionMs, attempts }) => [retentionMs, attempts],
  claimId,
}
const updates = { renew, complete, release } as Readonly<Record<ClaimUpdate['op'], Step<ClaimUpdate>>>
const inspect: Step<string> = { script: scripts.inspect, shared: () => [] }
const forget: Step<string> = { script: scripts.forget, shared: () => [] }

function aboutClaim({ fingerprint, label }: ClaimRequest): string {
  if (fingerprint === undefined && label === undefined) return ABOUT_NOTHING
  return `${fingerprint ?? ABOUT_NONE} ${label === undefined ? ABOUT_NONE : ABOUT_SOME + label}`
}

/** Entries that one script handles, by their positions in the batch. */
interface Part<Entry> {
  readonly step: Step<Entry>
  readonly shared: readonly [first?: number, second?: number]
  readonly tag: number
  readonly positions: number[]
}

/** The protocol's steps, each in as few scripts as may be, all of them on their way at the same time. */
export class Records {
  readonly #connection: Connection
  readonly #keyOf: (id: string) => string

  constructor(connection: Connection, prefix: string) {
    this.#connection = connection
    this.#keyOf = keysWith(prefix)
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
        const keys = positions.map((position) => this.#keyOf(ids[position] as string))
        const args = argumentsOf(step, shared, entries, positions)
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
    const parts: Part<Entry>[] = []
    let last: Part<Entry> | undefined
    entries.forEach((entry, position) => {
      const step = stepOf(entry)
      const [first, second] = step.shared(entry)
      const tag = isCluster ? tagOf(ids[position] as string) : 0
      const fits = (part: Part<Entry>): boolean =>
        part.step === step && part.tag === tag && part.shared[0] === first && part.shared[1] === second
      if (last === undefined || !fits(last)) last = parts.find(fits)
      if (last !== undefined) return void last.positions.push(position)
      last = { step, shared: step.shared(entry), tag, positions: [position] }
      parts.push(last)
    })
    return parts
  }
}

/** A script's arguments besides its keys, as few as may be. */
function argumentsOf<Entry>(
  { claimId, own }: Step<Entry>,
  shared: Part<Entry>['shared'],
  entries: readonly Entry[],
  positions: readonly number[],
): string[] {
  const args = shared.map(String)
  if (claimId === undefined) return args
  let claimIds = ''
  for (const position of positions) claimIds += claimId(entries[position] as Entry)
  args.push(claimIds)
  if (own === undefined) return args
  let texts = ''
  let isAny = false
  for (const position of positions) {
    const text = own.of(entries[position] as Entry)
    if (text !== own.nothing) isAny = true
    texts += text + TEXT_END
  }
  if (isAny) args.push(texts)
  return args
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
  if (kind === 'c') return [index, CONFLICT]
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

function storedRecord(text: string, nowMs: number): StoredRecord {
  const parts = LAYOUT_PATTERN.exec(text)
  if (parts === null) throw storeError({ store: STORE, expected: 'a record of this version' }, FOREIGN)
  const [, letter, until, kept, epoch, attempts, , about] = parts
  const state = STATES[letter as keyof typeof STATES]
  const isRunning = state === 'running'
  return {
    state,
    epoch: hex(epoch),
    attempts: hex(attempts),
    leaseRemainingMs: isRunning ? hex(until) - nowMs : 0,
    expiresInMs: hex(isRunning ? kept : until) - nowMs,
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
  throw storeError({ store: STORE, expected: `${asked} answers of a script` }, [
    'ONCEMQ_STORE_BROKEN',
    `received ${answered}`,
    'connect to a real Redis or Valkey, with a client that leaves replies as they are',
  ])
}
