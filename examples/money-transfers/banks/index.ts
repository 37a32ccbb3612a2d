import type { Bank } from './bank.ts'

/** Each opens the bank of one run of the example. Only the driver that is needed is loaded. */
export const banks = {
  postgres: async (run: string) => (await import('./postgres.ts')).postgresBank(run),
  mysql: async (run: string) => (await import('./mysql.ts')).mysqlBank(run),
  mongodb: async (run: string) => (await import('./mongodb.ts')).mongodbBank(run),
  sqlite: async (run: string) => (await import('./sqlite.ts')).sqliteBank(run),
}

export type BankName = keyof typeof banks

export function isBankName(name: string | undefined): name is BankName {
  return name !== undefined && Object.hasOwn(banks, name)
}

/** The transaction's type is the database's own: only the bank itself looks into it. */
export function openBank(name: BankName, run: string): Promise<Bank<unknown>> {
  return banks[name](run)
}
