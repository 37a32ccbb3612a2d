import type { RowAnswer, RowWrite } from '@oncemq/core/store'
import { rowOf } from '@oncemq/core/store'

/** What the helpers need of a client, pool or `context.tx` of `pg`. */
export interface PostgresWriter {
  query(text: string, values: unknown[]): Promise<{ rowCount: number | null; rows: unknown[] }>
}

/**
 * Inserts a row unless there is one of its key, and says which. A conflict with another unique key throws.
 * @throws OptionError for a name that is no plain one; what `pg` throws.
 * @example
 * const answer = await insertOnce(context.tx, { table: 'orders', key: { id }, values: { cents } })
 * if (answer === 'was-there') return
 */
export async function insertOnce(writer: PostgresWriter, row: RowWrite): Promise<RowAnswer> {
  const { insert, conflict, parameters } = statementOf(row)
  // Not `DO NOTHING` for any conflict: one with another key would pass for this one.
  const { rowCount } = await writer.query(`${insert} ON CONFLICT (${conflict}) DO NOTHING`, parameters)
  return rowCount === 1 ? 'inserted' : 'was-there'
}

/**
 * Inserts a row, or gives the one of its key these values, and says which.
 * @throws OptionError for a name that is no plain one; what `pg` throws.
 * @example await upsert(context.tx, { table: 'stock', key: { article }, values: { pieces } })
 */
export async function upsert(writer: PostgresWriter, row: RowWrite): Promise<RowAnswer> {
  const { insert, conflict, others, parameters } = statementOf(row)
  if (others.length === 0) return insertOnce(writer, row)
  const set = others.map((name) => `${name} = EXCLUDED.${name}`).join(', ')
  // A row that was there has been locked by this transaction, which stands in xmax.
  const update = `${insert} ON CONFLICT (${conflict}) DO UPDATE SET ${set} RETURNING (xmax = 0) AS inserted`
  const { rows } = await writer.query(update, parameters)
  return (rows[0] as { inserted?: unknown } | undefined)?.inserted === true ? 'inserted' : 'was-there'
}

function statementOf(row: RowWrite) {
  const { table, keys, others, keyValues, otherValues } = rowOf(row, (name) => `"${name}"`)
  const parameters = [...keyValues, ...otherValues]
  const columns = [...keys, ...others].join(', ')
  const places = parameters.map((_, position) => `$${position + 1}`).join(', ')
  const insert = `INSERT INTO ${table} (${columns}) VALUES (${places})`
  return { insert, conflict: keys.join(', '), others, parameters }
}
