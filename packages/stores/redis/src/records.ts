import type { ClaimAnswer, ClaimRequest, ClaimUpdate, StoredRecord, UpdateAnswer } from '@oncemq/core'
import { StoreError } from '@oncemq/core'
import { textOf } from './client.ts'
import type { Connection } from './connection.ts'
import { STATES, scripts } from './statements.ts'
import type { Script } from './statements.ts'
import { keyOf, positionsByTag } from './tags.ts'

const FRESH: ClaimAnswer = Object.freeze({ status: 'granted', epoch: 1, attempt: 1 })
const ABOUT_NONE = '-'
const ABOUT_SOME = '+'
const RESULT_MARK = '\0'
const RECORD = /^([frd])([0-9a-f]{32}) (\d+) (\d+) (\d+) ([^]*)$/

/** The protocol's steps, each a script for as many records as one script may have. */
export class Records {
  readonly #connection: Connection
  readonly #prefix: string

  constructor(connection: Connection, prefix: string) {
    this.#connection = connection
    this.#prefix = prefix
  }

  async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    const answers: ClaimAnswer[] = batch.map(() => FRESH)
    await this.#each(scripts.claim, batch, idOf, pushClaim, ([granted, ...others], positions) => {
      requireWhole(countOf(granted) + others.length, positions.length)
      for (const other of others) {
        const [index, answer] = claimAnswer(textOf(other))
        answers[positions[index] as number] = answer
      }
    })
    return answers
  }

  async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    const answers: UpdateAnswer[] = batch.map(() => 'ok')
    await this.#each(scripts.update, batch, idOf, pushUpdate, ([changed, ...lost], positions) => {
      requireWhole(countOf(changed) + lost.length, positions.length)
      for (const index of lost) answers[positions[countOf(index) - 1] as number] = 'lost'
    })
    return answers
  }

  async inspect(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
    const records: (StoredRecord | undefined)[] = ids.map(() => undefined)
    await this.#each(scripts.inspect, ids, String, pushNothing, ([now, ...found], positions) => {
      requireWhole(found.length, positions.length)
      for (const [index, record] of found.entries()) {
        if (record === null) continue
        records[positions[index] as number] = storedRecord(textOf(record), countOf(now))
      }
    })
    return records
  }

  async forget(ids: readonly string[]): Promise<void> {
    await this.#each(scripts.forget, ids, String, pushNothing, () => {})
  }

  /** Runs the script once for all entries, or in a cluster once for each slot, at the same time. */
  async #each<Entry>(
    script: Script,
    entries: readonly Entry[],
    id: (entry: Entry) => string,
    push: (args: string[], entry: Entry) => void,
    read: (reply: readonly unknown[], positions: readonly number[]) => void,
  ): Promise<void> {
    const ids = entries.map(id)
    const parts = this.#connection.commands.isCluster ? positionsByTag(ids) : [[...ids.keys()]]
    const run = async (positions: readonly number[]): Promise<void> => {
      const args: string[] = []
      const keys = positions.map((position) => {
        push(args, entries[position] as Entry)
        return keyOf(this.#prefix, ids[position] as string)
      })
      const reply = await this.#connection.run(script, keys, args)
      read(Array.isArray(reply) ? reply : [reply], positions)
    }
    await Promise.all(parts.map(run))
  }
}

function idOf({ id }: { readonly id: string }): string {
  return id
}

function countOf(reply: unknown): number {
  return Number(textOf(reply))
}

function pushNothing(): void {}

function pushClaim(args: string[], request: ClaimRequest): void {
  const { claimId, leaseMs, retentionMs, fingerprint = ABOUT_NONE, label } = request
  const about = `${fingerprint} ${label === undefined ? ABOUT_NONE : ABOUT_SOME + label}`
  args.push(claimId, String(leaseMs), String(retentionMs), about)
}

function pushUpdate(args: string[], update: ClaimUpdate): void {
  args.push(update.op, update.claimId, String(update.retentionMs), updateValue(update))
}

function updateValue(update: ClaimUpdate): string {
  switch (update.op) {
    case 'renew':
      return String(update.leaseMs)
    case 'release':
      return String(update.attempts)
    case 'complete': {
      const { result } = update
      if (result === undefined) return ''
      // Text, since a client for bytes would give bytes for all other answers too.
      const bytes = Buffer.from(result.buffer, result.byteOffset, result.byteLength)
      return RESULT_MARK + bytes.toString('base64')
    }
  }
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
  const parts = RECORD.exec(text.slice(space + 1))
  if (parts === null) {
    throw new StoreError(
      'ONCEMQ_STORE_CORRUPT',
      'RedisStore: expected a record of this version, received another value; choose another prefix, or use ' +
        'the version of @oncemq/redis that wrote it',
    )
  }
  const [, letter, , until, epoch, attempts, about] = parts
  const state = STATES[letter as keyof typeof STATES]
  return {
    state,
    epoch: Number(epoch),
    attempts: Number(attempts),
    leaseRemainingMs: state === 'running' ? Number(until) - nowMs : 0,
    expiresInMs: Number(text.slice(0, space)),
    ...aboutOf(about as string),
  }
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
