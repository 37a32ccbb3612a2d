import type { Finding } from '@oncemq/core/store'
import type { MongoWriteConcern } from './client.ts'
import type { Index } from './schema.ts'

/** What is known of the server and the collection; `undefined` where the user may not ask. */
export interface Facts {
  readonly isStandalone: boolean
  readonly isCapped: boolean | undefined
  readonly indexes: readonly Index[]
  readonly writeConcern: MongoWriteConcern | undefined
}

/** What the user of this collection should know about its settings. */
export function verify(facts: Facts): readonly Finding[] {
  const { isStandalone, isCapped, indexes } = facts
  return [
    writeConcern(facts.writeConcern),
    isStandalone ? standalone : undefined,
    isCapped === true ? capped : undefined,
    ...indexes.map(foreignExpiry),
    indexes.some(isExpiry) ? undefined : noExpiry,
  ].filter((finding) => finding !== undefined)
}

function writeConcern(given: MongoWriteConcern | undefined): Finding | undefined {
  const { w = 'majority', journal = true } = given ?? {}
  if (w === 'majority' && journal) return undefined
  return {
    severity: 'error',
    code: 'mongodb-write-concern',
    found:
      `The collection's write concern is w: ${typeof w === 'number' ? w : `'${w}'`}, j: ${journal}: ` +
      'a record that was answered can be rolled back when the primary fails, and its message runs again.',
    remedy:
      "Set writeConcern: { w: 'majority', journal: true } on the client or the collection, or leave it out.",
  }
}

const standalone: Finding = Object.freeze({
  severity: 'warning',
  code: 'mongodb-standalone',
  found: 'The server is no member of a replica set: it has no transactions, and nobody takes over from it.',
  remedy: 'Start mongod with --replSet and run rs.initiate(); one member is enough for transactions.',
})

const capped: Finding = Object.freeze({
  severity: 'error',
  code: 'mongodb-capped',
  found: 'The collection is capped: the server removes the oldest records, expired or not.',
  remedy: 'Give the store an ordinary collection.',
})

function isExpiry({ key, expireAfterSeconds }: Index): boolean {
  return expireAfterSeconds !== undefined && Object.keys(key).join() === 'expiresAt'
}

const noExpiry: Finding = Object.freeze({
  severity: 'warning',
  code: 'mongodb-ttl-index',
  found: 'No TTL index on expiresAt: expired records stay, and the collection grows for ever.',
  remedy: 'Create the index that schema() answers, or remove records by their expiresAt yourself.',
})

function foreignExpiry(index: Index): Finding | undefined {
  if (index.expireAfterSeconds === undefined || isExpiry(index)) return undefined
  return {
    severity: 'error',
    code: 'mongodb-foreign-ttl-index',
    found: `The TTL index ${index.name} is on another field: it may remove records that have not expired.`,
    remedy: 'Drop it, or give the store a collection of its own.',
  }
}
