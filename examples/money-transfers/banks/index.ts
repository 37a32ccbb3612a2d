import type { Bank } from './bank.ts'
import { mongodbBank } from './mongodb.ts'
import { mysqlBank } from './mysql.ts'
import { postgresBank } from './postgres.ts'
import { sqliteBank } from './sqlite.ts'

/** Each opens the bank of one run of the example. */
export const banks = {
  postgres: postgresBank,
  mysql: mysqlBank,
  mongodb: mongodbBank,
  sqlite: sqliteBank,
}

export type BankName = keyof typeof banks

export function isBankName(name: string | undefined): name is BankName {
  return name !== undefined && Object.hasOwn(banks, name)
}

/** The transaction's type is the database's own: only the bank itself looks into it. */
export function openBank(name: BankName, run: string): Bank<unknown> {
  return banks[name](run)
}
