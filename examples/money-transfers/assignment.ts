import type { BankName } from './banks/index.ts'

/** What a worker is told at its start. */
export interface Assignment {
  readonly bank: BankName
  readonly run: string
  readonly url: string
  readonly queue: string
}

/** How long a transfer waits whose transaction had no luck. The queue in which it does is named after it. */
export const RETRY_MS = 1024
