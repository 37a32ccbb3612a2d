import type { Finding, KeyGaps, UniqueKey } from '@oncemq/core/store'
import {
  connectionOf,
  driverErrorOn,
  gapFindings,
  printable,
  StoreError,
  violatedKeyIn,
} from '@oncemq/core/store'
import type { Connections } from './connection.ts'
import { behindAbort } from './errors.ts'

const UNIQUE_VIOLATION = '23505'

interface ServerError {
  readonly code?: unknown
  readonly constraint?: unknown
  readonly schema?: unknown
}

/**
 * The unique constraint or index that an error of `pg` says was violated: `orders_pkey`, and with its schema
 * `public.orders_pkey`; for a row of a partition that of the partition. `undefined` for any other error. For
 * `naturalKey` with a client of your own.
 * @example naturalKey({ constraint: 'orders_pkey', duplicateKeyOf })
 */
export function duplicateKeyOf(error: unknown): readonly string[] | undefined {
  if (!(error instanceof Error)) return undefined
  const { code, constraint, schema } = error as ServerError
  if (code !== UNIQUE_VIOLATION || typeof constraint !== 'string') return undefined
  return typeof schema === 'string' ? [constraint, `${schema}.${constraint}`] : [constraint]
}

/** What the catalogue says about a unique index. Constraints that are unique have an index of their name. */
const FIND = `
  SELECT json_build_object(
    'key', n.nspname || '.' || c.relname,
    'isPartitioned', c.relkind = 'I',
    'isPartial', i.indpred IS NOT NULL,
    'isNullable', to_jsonb(i) ->> 'indnullsnotdistinct' IS DISTINCT FROM 'true' AND EXISTS (
      SELECT 1 FROM pg_attribute a WHERE a.attrelid = i.indrelid AND NOT a.attnotnull
      AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])))::text AS answer
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE i.indisunique AND i.indisvalid AND NOT i.indisexclusion
  AND $1::text IN (c.relname::text, n.nspname || '.' || c.relname)`

/** Whether the index $1 belongs to a partition of the table of $2. */
const BELONGS = `
  SELECT '1' AS answer FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname || '.' || c.relname = $1
  CROSS JOIN pg_partition_ancestors(c.oid) a
  JOIN pg_class top ON top.oid = a.relid
  JOIN pg_namespace m ON m.oid = top.relnamespace AND m.nspname || '.' || top.relname = $2`

interface Found extends KeyGaps {
  /** With its schema, as errors report it. */
  readonly key: string
  /** Then errors report the index of a partition, and partitions come and go. */
  readonly isPartitioned: boolean
}

/** A unique constraint or index: see the contract's `UniqueKey`. */
export class PostgresUniqueKey<Tx> implements UniqueKey<Tx> {
  readonly #connections: () => Connections
  readonly #name: string
  #found: Found | undefined

  constructor(connections: () => Connections, name: string) {
    this.#connections = connections
    this.#name = name
  }

  async check(): Promise<readonly Finding[]> {
    const answers = await this.#connections().run(FIND, [this.#name])
    const [answer] = answers
    if (answer === undefined || answers.length > 1) throw this.#unfit(answers.length)
    this.#found = JSON.parse(answer) as Found
    return gapFindings(this.#name, this.#found)
  }

  async isViolatedBy(thrown: unknown, tx: Tx | undefined): Promise<boolean> {
    const made = behindAbort(tx === undefined ? thrown : driverErrorOn(connectionOf(tx), thrown))
    const violated = violatedKeyIn(made, duplicateKeyOf).at(-1)
    const found = this.#found
    if (violated === undefined || found === undefined) return false
    if (violated === found.key) return true
    if (!found.isPartitioned) return false
    // What cannot be found out makes it the handler's failure, which is run again.
    const asked = this.#connections().run(BELONGS, [violated, found.key])
    return (await asked.catch(() => [])).length > 0
  }

  #unfit(count: number): StoreError {
    return new StoreError(
      'ONCEMQ_TABLE_UNFIT',
      `PostgresStore: expected one unique constraint or index '${printable(this.#name)}', ` +
        `received ${count}; ` +
        (count === 0
          ? 'create it, or correct the name (\\d shows it)'
          : "name it with its schema: 'app.name'"),
    )
  }
}
