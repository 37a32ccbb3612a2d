import assert from 'node:assert/strict'
import { isOncemqError } from '@oncemq/core'
import type {
  AdvanceUpdate,
  LogRequest,
  LogStore,
  LogTaken,
  TransactionEnd,
  UpdateAnswer,
} from '@oncemq/core/store'
import type { Effects } from './handler.ts'
import { newHex } from './requests.ts'
import type { StoreWorker } from './worker.ts'

const CONFLICTS_MAX = 20

export function newLog(label?: string): LogRequest {
  return { id: newHex(), label }
}

export function logStoreOf({ store }: StoreWorker): LogStore<unknown> {
  assert.ok('takeLog' in store, 'a store that keeps logs has a method takeLog')
  return store as LogStore<unknown>
}

export function takeOf(worker: StoreWorker, log: LogRequest): Promise<LogTaken> {
  return logStoreOf(worker).takeLog(log)
}

/** The step from where a log stood when it was taken, or from `from`, past the record before `next`. */
export function stepOf(
  { id }: LogRequest,
  taken: LogTaken,
  next: bigint,
  from: bigint | undefined = taken.next,
): AdvanceUpdate {
  return { op: 'advance', id, epoch: taken.epoch, from, next }
}

/** Runs the whole transaction again, as the core does, when the database asks for it. */
export async function writeAndEnd(
  worker: StoreWorker,
  effects: Effects,
  name: string,
  end: TransactionEnd,
): Promise<UpdateAnswer> {
  for (let round = 1; ; round += 1) {
    try {
      return await logStoreOf(worker).transaction(async (tx) => {
        await effects.write(tx, name)
        return end
      })
    } catch (error) {
      const again = isOncemqError(error) && error.code === 'ONCEMQ_TRANSACTION_CONFLICT'
      if (!again || round === CONFLICTS_MAX) throw error
    }
  }
}
