import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import type { Row, RowAnswer, RowWrite } from '@oncemq/core/store'
import { rowOf } from '@oncemq/core/store'

/**
 * Inserts a row unless there is one of its key, and says which. A conflict with another unique key throws.
 * @throws OptionError for a name that is no plain one; what `node:sqlite` throws.
 * @example
 * const answer = insertOnce(context.tx, { table: 'orders', key: { id }, values: { cents } })
 * if (answer === 'was-there') return
 */
export function insertOnce(database: DatabaseSync, row: RowWrite): RowAnswer {
  return insert(database, quotedRow(row))
}

/**
 * Inserts a row, or gives the one of its key these values, and says which. To be called in a transaction.
 * @throws OptionError for a name that is no plain one; what `node:sqlite` throws.
 * @example upsert(context.tx, { table: 'stock', key: { article }, values: { pieces } })
 */
export function upsert(database: DatabaseSync, row: RowWrite): RowAnswer {
  const quoted = quotedRow(row)
  const answer = insert(database, quoted)
  const { table, keys, others, keyValues, otherValues } = quoted
  if (answer === 'was-there' && others.length > 0) {
    const set = others.map((name) => `${name} = ?`).join(', ')
    const where = keys.map((name) => `${name} = ?`).join(' AND ')
    const values = [...otherValues, ...keyValues] as SQLInputValue[]
    database.prepare(`UPDATE ${table} SET ${set} WHERE ${where}`).run(...values)
  }
  return answer
}

function insert(database: DatabaseSync, { table, keys, others, keyValues, otherValues }: Row): RowAnswer {
  const values = [...keyValues, ...otherValues] as SQLInputValue[]
  const places = values.map(() => '?').join(', ')
  // Not `INSERT OR IGNORE`, which also drops rows that lack a value, or violate another key.
  const sql =
    `INSERT INTO ${table} (${[...keys, ...others].join(', ')}) VALUES (${places}) ` +
    `ON CONFLICT (${keys.join(', ')}) DO NOTHING`
  return Number(database.prepare(sql).run(...values).changes) === 1 ? 'inserted' : 'was-there'
}

function quotedRow(row: RowWrite): Row {
  return rowOf(row, (name) => `"${name}"`)
}
