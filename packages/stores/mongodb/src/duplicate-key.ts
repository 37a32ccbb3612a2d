import { types } from 'node:util'
import { printable, storeError } from '@oncemq/core/store'
import type { MongoSession } from './client.ts'
import type { Commands } from './commands.ts'
import { SERVER, STORE } from './errors.ts'

// The values stand behind: a sender cannot write into what is read.
const NAMES = /^E11000 duplicate key error collection: [^ .]+\.(.+?) index: (.+?) (?:collation: |dup key: )/
const NAMES_MAX = 20

interface DriverError extends Error {
  readonly code?: unknown
  readonly hasErrorLabel?: unknown
}

/**
 * The unique index that an error of the driver `mongodb` says was violated, with its collection:
 * `orders._id_`, `orders.ref_1`. `undefined` for any other error, also for one that only has the code: the
 * driver's errors are known by a method that no payload can bring. For `naturalKey` with a client of your
 * own.
 * @example naturalKey({ constraint: 'orders._id_', duplicateKeyOf })
 */
export function duplicateKeyOf(error: unknown): readonly string[] | undefined {
  if (!types.isNativeError(error)) return undefined
  const { code, hasErrorLabel, message } = error as DriverError
  if (code !== SERVER.DuplicateKey || typeof hasErrorLabel !== 'function') return undefined
  const [, collection, index] = NAMES.exec(message) ?? []
  return collection === undefined || index === undefined ? undefined : [`${collection}.${index}`]
}

interface IndexReply {
  readonly cursor?: { readonly firstBatch: readonly { readonly name?: string; readonly unique?: boolean }[] }
}

/** @throws StoreError `ONCEMQ_TABLE_UNFIT` unless the database has a unique index `collection.index`. */
export async function requireUniqueKey<Session extends MongoSession>(
  commands: Commands<Session>,
  name: string,
): Promise<void> {
  const parts = name.split('.').slice(0, NAMES_MAX)
  // Both names may have dots.
  for (let count = 1; count < parts.length; count += 1) {
    const collection = parts.slice(0, count).join('.')
    const index = name.slice(collection.length + 1)
    if (await isUnique(commands, collection, index)) return
  }
  throw storeError({ store: STORE, expected: `a unique index '${printable(name)}'` }, [
    'ONCEMQ_TABLE_UNFIT',
    'its database has none of that name',
    "name it with its collection, such as 'orders._id_', or create it",
  ])
}

async function isUnique<Session extends MongoSession>(
  commands: Commands<Session>,
  collection: string,
  index: string,
): Promise<boolean> {
  try {
    const { cursor } = (await commands.run({
      listIndexes: collection,
      cursor: { batchSize: 1000 },
    })) as IndexReply
    const found = cursor?.firstBatch.find((each) => each.name === index)
    return found !== undefined && (found.unique === true || found.name === '_id_')
  } catch (error) {
    if ((error as { code?: unknown }).code === SERVER.NamespaceNotFound) return false
    throw error
  }
}
