import { StoreError } from '@oncemq/core/store'

const HEX = /^[0-9a-f]{32}$/

/**
 * Values as SQL. The store writes them into its statements itself, as digits alone: so nothing depends on the
 * session's character set or on `sql_mode`, which say what a quote or a backslash is, and a statement of any
 * number of rows is no prepared statement, of which the server would keep one for each number.
 */
export function hex(id: string): string {
  if (HEX.test(id)) return `X'${id}'`
  // The core does not do this; whoever calls the store directly must not be able to write SQL by it.
  throw new StoreError(
    'ONCEMQ_STORE_REFUSED',
    'MysqlStore: expected an id of 32 lower-case hexadecimal digits, received another string; ' +
      'use recordId() of @oncemq/core',
  )
}

export function hexOrNull(id: string | undefined): string {
  return id === undefined ? 'NULL' : hex(id)
}

export function text(label: string | undefined): string {
  return label === undefined ? 'NULL' : `_utf8mb4 X'${Buffer.from(label, 'utf8').toString('hex')}'`
}

export function bytes(result: Uint8Array | undefined): string {
  if (result === undefined) return 'NULL'
  return `X'${Buffer.from(result.buffer, result.byteOffset, result.byteLength).toString('hex')}'`
}

export function integer(value: number): string {
  return String(Math.trunc(value))
}
