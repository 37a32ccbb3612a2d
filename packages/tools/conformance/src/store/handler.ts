import assert from 'node:assert/strict'
import { isOncemqError, type TransactionalStore } from '@oncemq/core'
import type { ClaimRequest, CompleteUpdate, UpdateAnswer } from '@oncemq/core/store'
import type { StoreContext } from './context.ts'
import { LONG_MS, type StoreWorker } from './worker.ts'

const CONFLICTS_MAX = 20

/** The handler's own writes, in this case's namespace. */
export interface Effects {
  write(tx: unknown, name: string): Promise<void>
  /** Commits on `tx`, as a handler must not. */
  commit(tx: unknown): Promise<void>
  count(name: string): Promise<number>
}

export async function prepared(context: StoreContext): Promise<Effects> {
  const { namespace } = context
  const effects = context.effects()
  await effects.prepare?.(namespace)
  return {
    write: async (tx, name) => effects.write(tx, namespace, name),
    commit: async (tx) => effects.commit?.(tx),
    count: (name) => effects.count(namespace, name),
  }
}

/** Runs the whole transaction again, as the core does, when the database asks for it. */
export async function writeAndComplete(
  worker: StoreWorker,
  effects: Effects,
  claim: ClaimRequest,
): Promise<UpdateAnswer> {
  for (let round = 1; ; round += 1) {
    try {
      return await transactionOf(worker).transaction(async (tx) => {
        await effects.write(tx, claim.id)
        return completionOf(claim)
      })
    } catch (error) {
      const again = isOncemqError(error) && error.code === 'ONCEMQ_TRANSACTION_CONFLICT'
      if (!again || round === CONFLICTS_MAX) throw error
    }
  }
}

export function completionOf({ id, claimId }: ClaimRequest, result?: Uint8Array): CompleteUpdate {
  return { op: 'complete', id, claimId, retentionMs: LONG_MS, result }
}

export function transactionOf({ store }: StoreWorker): TransactionalStore<unknown> {
  assert.ok('transaction' in store, 'a transactional store has a transaction method')
  return store as TransactionalStore<unknown>
}

export async function reasonOf(running: Promise<unknown>): Promise<unknown> {
  const [outcome] = await Promise.allSettled([running])
  assert.equal(outcome?.status, 'rejected', 'expected a rejection, the transaction was answered')
  return outcome?.status === 'rejected' ? outcome.reason : undefined
}
