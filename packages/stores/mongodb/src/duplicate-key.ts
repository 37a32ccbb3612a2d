import { types } from 'node:util'
import type { Finding, UniqueKey } from '@oncemq/core/store'
import { gapFindings, printable, storeError, violatedKeyIn } from '@oncemq/core/store'
import type { MongoSession } from './client.ts'
import { isNamespaceMissing, SERVER, STORE } from './errors.ts'
import type { Run } from './state-table.ts'

const DUPLICATE = 'E11000 duplicate key error collection: '
// The values stand behind: a sender cannot write into what is read. A clustered collection names no index.
const NAMES = /^([^ .]+)\.(.+?)(?: index: (.+?))? (?:collation: |dup key: )/
const NAMES_MAX = 20

interface DriverError extends Error {
  readonly code?: unknown
  readonly hasErrorLabel?: unknown
  readonly writeErrors?: unknown
}

/**
 * The unique index that an error of the driver `mongodb` says was violated, with its collection, and with its
 * database too: `orders._id_`, `shop.orders._id_`. `undefined` for any other error, also for one that only
 * has the code: the driver's errors are known by a method that no payload can bring. None for a bulk write
 * that failed by something else, too. For `naturalKey` with a client of your own.
 * @example naturalKey({ constraint: 'orders._id_', duplicateKeyOf })
 */
export function duplicateKeyOf(error: unknown): readonly string[] | undefined {
  const [first, ...others] = duplicatesOf(error)?.map(namesOf) ?? []
  if (first === undefined) return undefined
  return others.every(([, key]) => key === first[1]) ? first : []
}

function namesOf(duplicate: string): readonly string[] {
  const [, database, collection, index = '_id_'] = NAMES.exec(duplicate) ?? []
  return collection === undefined ? [] : [`${collection}.${index}`, `${database}.${collection}.${index}`]
}

/**
 * What the server says of a duplicate key, from the collection on: of each write that failed, with empty
 * texts for those that failed by something else.
 */
function duplicatesOf(error: unknown): readonly string[] | undefined {
  if (!types.isNativeError(error)) return undefined
  const { code, hasErrorLabel, message, writeErrors } = error as DriverError
  if (code !== SERVER.DuplicateKey || typeof hasErrorLabel !== 'function') return undefined
  const isOfMany = Array.isArray(writeErrors) && writeErrors.length > 1
  const said: readonly string[] = isOfMany ? writeErrors.map(errorMessage) : [message]
  return said.map((text) => (text.startsWith(DUPLICATE) ? text.slice(DUPLICATE.length) : ''))
}

function errorMessage(writeError: unknown): string {
  return String((writeError as { readonly errmsg?: unknown } | null)?.errmsg)
}

/** An index as `listIndexes` answers it. */
interface Index {
  readonly name?: string
  readonly unique?: boolean
  readonly clustered?: boolean
  readonly sparse?: boolean
  readonly partialFilterExpression?: object
}

interface IndexReply {
  readonly cursor?: { readonly firstBatch: readonly Index[] }
}

/** A unique index, by its collection and name: see the contract's `UniqueKey`. */
export class MongoUniqueKey<Session extends MongoSession> implements UniqueKey<Session> {
  readonly #run: Run<Session>
  readonly #database: () => string
  readonly #name: string
  /** How what the server says of it begins: names may be any, also such as cannot be told from the rest. */
  #beginnings: readonly string[] = []

  constructor(run: Run<Session>, database: () => string, name: string) {
    this.#run = run
    this.#database = database
    this.#name = name
  }

  async check(): Promise<readonly Finding[]> {
    const parts = this.#name.split('.').slice(0, NAMES_MAX)
    // Both names may have dots.
    for (let count = 1; count < parts.length; count += 1) {
      const collection = parts.slice(0, count).join('.')
      const name = this.#name.slice(collection.length + 1)
      const index = (await this.#indexesOf(collection)).find((each) => each.name === name)
      if (index?.unique !== true && index?.name !== '_id_') continue
      const at = `${this.#database()}.${collection}${index.clustered === true ? '' : ` index: ${name}`}`
      this.#beginnings = [`${at} dup key: `, `${at} collation: `]
      const isPartial = index.sparse === true || index.partialFilterExpression !== undefined
      return gapFindings(this.#name, { isNullable: false, isPartial })
    }
    throw storeError({ store: STORE, expected: `a unique index '${printable(this.#name)}'` }, [
      'ONCEMQ_TABLE_UNFIT',
      'its database has none of that name',
      "name it with its collection, such as 'orders._id_', or create it",
    ])
  }

  /** A session sees no errors of its own, so those of the driver count, whichever session they are of. */
  isViolatedBy(thrown: unknown): boolean {
    const said = violatedKeyIn(thrown, duplicatesOf)
    const isOfThis = (text: string): boolean => this.#beginnings.some((begin) => text.startsWith(begin))
    return said.length > 0 && said.every(isOfThis)
  }

  async #indexesOf(collection: string): Promise<readonly Index[]> {
    try {
      const command = { listIndexes: collection, cursor: { batchSize: 1000 } }
      return ((await this.#run(command)) as IndexReply).cursor?.firstBatch ?? []
    } catch (error) {
      if (isNamespaceMissing(error)) return []
      throw error
    }
  }
}
