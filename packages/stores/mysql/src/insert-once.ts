import type { Row, RowAnswer, RowWrite } from '@oncemq/core/store'
import { rowOf } from '@oncemq/core/store'
import { duplicateKeyOf } from './duplicate-key.ts'

/** What the helpers need of a connection or `context.tx` of `mysql2/promise`. */
export interface MysqlWriter {
  query(sql: string, values: unknown[]): Promise<[unknown, unknown]>
}

/**
 * Inserts a row unless there is one of its key, and says which. To be called in a transaction. A conflict
 * with another unique key throws.
 *
 * Not `INSERT IGNORE`, which also ignores what must not be: values that do not fit are cut or zeroed, rows
 * with a broken foreign key or in no partition vanish, and a conflict with any other unique key passes for
 * this one. Nor `ON DUPLICATE KEY UPDATE`, which takes any unique key for the one that is meant. A duplicate
 * key is an error of the statement alone here: the transaction goes on.
 * @throws OptionError for a name that is no plain one; what `mysql2` throws.
 * @example
 * const answer = await insertOnce(context.tx, { table: 'orders', key: { id }, values: { cents } })
 * if (answer === 'was-there') return
 */
export async function insertOnce(writer: MysqlWriter, row: RowWrite): Promise<RowAnswer> {
  return insert(writer, quotedRow(row))
}

/**
 * Inserts a row, or gives the one of its key these values, and says which. To be called in a transaction.
 * @throws OptionError for a name that is no plain one; what `mysql2` throws.
 * @example await upsert(context.tx, { table: 'stock', key: { article }, values: { pieces } })
 */
export async function upsert(writer: MysqlWriter, row: RowWrite): Promise<RowAnswer> {
  const quoted = quotedRow(row)
  const answer = await insert(writer, quoted)
  const { table, others, keyValues, otherValues } = quoted
  if (answer === 'was-there' && others.length > 0) {
    const set = others.map((name) => `${name} = ?`).join(', ')
    await writer.query(`UPDATE ${table} SET ${set} WHERE ${whereOf(quoted)}`, [...otherValues, ...keyValues])
  }
  return answer
}

async function insert(writer: MysqlWriter, row: Row): Promise<RowAnswer> {
  const { table, keys, others, keyValues, otherValues } = row
  const values = [...keyValues, ...otherValues]
  const columns = [...keys, ...others].join(', ')
  try {
    await writer.query(
      `INSERT INTO ${table} (${columns}) VALUES (${values.map(() => '?').join(', ')})`,
      values,
    )
    return 'inserted'
  } catch (error) {
    if (duplicateKeyOf(error) === undefined) throw error
    // Which key it was, the row tells. A locking read sees what has been committed since the snapshot.
    const find = `SELECT 1 FROM ${table} WHERE ${whereOf(row)} FOR UPDATE`
    const [rows] = await writer.query(find, [...keyValues])
    if (Array.isArray(rows) && rows.length > 0) return 'was-there'
    throw error
  }
}

function whereOf({ keys }: Row): string {
  return keys.map((name) => `${name} = ?`).join(' AND ')
}

function quotedRow(row: RowWrite): Row {
  return rowOf(row, (name) => `\`${name}\``)
}
