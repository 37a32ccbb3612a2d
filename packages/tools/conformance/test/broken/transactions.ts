import type { CompleteUpdate, NextMember, TransactionMember, UpdateAnswer } from '@oncemq/core/store'
import { StoreError, untilAborted } from '@oncemq/core/store'
import { MapStore, MapTransaction } from '../map-store.ts'
import type { BrokenStore } from './broken-store.ts'

type Work = (tx: MapTransaction) => Promise<CompleteUpdate>

const unlent = (tx: MapTransaction) => ({ proxy: tx, revoke: () => undefined, answered: () => undefined })

/** Transactions that go wrong, and handlers that are let do what they should not. */
export const brokenTransactions: readonly BrokenStore[] = [
  {
    fault: 'commits the writes when the claim is lost',
    caughtBy: ['transactions'],
    Store: class extends MapStore {
      override finish({ rows }: MapTransaction, update: CompleteUpdate): UpdateAnswer {
        this.database.rows.push(...rows)
        return this.updateOne(update)
      }
    },
  },
  {
    fault: 'commits the completion of whoever has the claim',
    caughtBy: ['transactions'],
    Store: class extends MapStore {
      override finish(tx: MapTransaction, update: CompleteUpdate): UpdateAnswer {
        return super.finish(tx, { ...update, claimId: this.record(update.id)?.claimId ?? '' })
      }
    },
  },
  {
    fault: 'commits each of a batch by itself',
    caughtBy: ['transaction batches'],
    Store: class extends MapStore {
      override async transactions(next: NextMember<MapTransaction>): Promise<void> {
        for (let member = next(); member !== undefined; member = next()) {
          const { work, signal, resolve, reject } = member
          await this.transaction(work as Work, signal).then(resolve, reject)
        }
      }
    },
  },
  {
    fault: 'rolls back a whole batch with one that fails',
    caughtBy: ['transaction batches'],
    Store: class extends MapStore {
      override transactions(next: NextMember<MapTransaction>): Promise<void> {
        const given: TransactionMember<MapTransaction>[] = []
        let thrown: { readonly error: unknown } | undefined
        const noting = (): TransactionMember<MapTransaction> | undefined => {
          const member = next()
          if (member === undefined) return undefined
          given.push(member)
          const reject = (error: unknown): void => void (thrown ??= { error })
          const resolve = (answer: UpdateAnswer): void => {
            if (thrown === undefined) member.resolve(answer)
          }
          return { ...member, resolve, reject }
        }
        return super.transactions(noting).then(() => {
          for (const member of given) if (thrown !== undefined) member.reject(thrown.error)
        })
      }
    },
  },
  {
    fault: 'wraps what the work throws',
    caughtBy: ['transactions'],
    Store: class extends MapStore {
      override failureOf(cause: unknown): unknown {
        return new Error('the transaction failed', { cause })
      }
    },
  },
  {
    fault: 'commits the writes again when a committed transaction is repeated',
    caughtBy: ['transactions'],
    Store: class extends MapStore {
      override finish({ rows }: MapTransaction, update: CompleteUpdate): UpdateAnswer {
        const answer = this.updateOne(update)
        if (answer === 'ok') this.database.rows.push(...rows)
        return answer
      }
    },
  },
  {
    fault: 'rolls back what other calls did while a transaction ran',
    caughtBy: ['transactions'],
    Store: class extends MapStore {
      override async transaction(work: Work, signal?: AbortSignal): Promise<UpdateAnswer> {
        const before = structuredClone(this.database.records)
        try {
          return await super.transaction(work, signal)
        } catch (error) {
          this.database.records = before
          throw error
        }
      }
    },
  },
  {
    fault: 'writes at once what a handler writes after its end',
    caughtBy: ['handlers'],
    Store: class extends MapStore {
      override lend(tx: MapTransaction) {
        return { ...unlent(tx), revoke: () => void (tx.hasEnded = true) }
      }
    },
  },
  {
    fault: 'takes no notice of what a handler writes after its end',
    caughtBy: ['handlers'],
    Store: class extends MapStore {
      override lend = unlent
    },
  },
  {
    fault: 'has one transaction for all, into which late writes get',
    caughtBy: ['handlers'],
    Store: class extends MapStore {
      readonly #shared = new MapTransaction(this.database)

      override lend = () => unlent(this.#shared)

      override finish(_tx: MapTransaction, update: CompleteUpdate): UpdateAnswer {
        const answer = super.finish(this.#shared, update)
        this.#shared.rows.length = 0
        return answer
      }
    },
  },
  {
    fault: 'commits before all is there that the handler has sent',
    caughtBy: ['handlers'],
    Store: class extends MapStore {
      override lend(tx: MapTransaction) {
        return { ...super.lend(tx), answered: () => undefined }
      }
    },
  },
  {
    fault: 'gives up at its commit for a signal that aborts after the handler',
    caughtBy: ['handlers'],
    Store: class extends MapStore {
      override async transaction(work: Work, signal?: AbortSignal): Promise<UpdateAnswer> {
        const late: Work = async (tx) => {
          const update = await work(tx)
          await new Promise(setImmediate)
          signal?.throwIfAborted()
          return update
        }
        return super.transaction(late, signal)
      }
    },
  },
  {
    fault: 'waits for a handler whose signal has aborted',
    caughtBy: ['handlers'],
    Store: class extends MapStore {
      override run(work: () => Promise<CompleteUpdate>): Promise<CompleteUpdate> {
        return work()
      }
    },
  },
  {
    fault: 'commits what a handler wrote before its signal aborted',
    caughtBy: ['handlers'],
    Store: class extends MapStore {
      override async transaction(work: Work, signal?: AbortSignal): Promise<UpdateAnswer> {
        let rows: readonly string[] = []
        const kept: Work = (tx) => {
          rows = tx.rows
          return work(tx)
        }
        try {
          return await super.transaction(kept, signal)
        } catch (error) {
          if (signal?.aborted === true) this.database.rows.push(...rows)
          throw error
        }
      }
    },
  },
  {
    fault: 'tells an aborted transaction by an error of its own',
    caughtBy: ['handlers'],
    Store: class extends MapStore {
      override run(work: () => Promise<CompleteUpdate>, signal?: AbortSignal): Promise<CompleteUpdate> {
        return untilAborted(work, signal).catch((error: unknown) => {
          throw signal?.aborted === true ? new Error('aborted') : error
        })
      }
    },
  },
  {
    fault: 'begins a handler whose signal has aborted already',
    caughtBy: ['handlers'],
    Store: class extends MapStore {
      override run(work: () => Promise<CompleteUpdate>, signal?: AbortSignal): Promise<CompleteUpdate> {
        const running = work()
        return untilAborted(() => running, signal)
      }
    },
  },
  {
    fault: 'keeps the place of a transaction that was aborted',
    caughtBy: ['handlers'],
    Store: class extends MapStore {
      #free = 8

      override async transaction(work: Work, signal?: AbortSignal): Promise<UpdateAnswer> {
        if (this.#free === 0) return new Promise(() => {})
        this.#free -= 1
        const answer = await super.transaction(work, signal).catch((error: unknown) => {
          if (signal?.aborted !== true) this.#free += 1
          throw error
        })
        this.#free += 1
        return answer
      }
    },
  },
  {
    fault: 'does not notice that a handler has committed',
    caughtBy: ['handlers'],
    Store: class extends MapStore {
      override requireOpen(): void {}
    },
  },
  {
    fault: 'does not notice that a handler has committed and then failed',
    caughtBy: ['handlers'],
    Store: class extends MapStore {
      override requireOpen(tx: MapTransaction, thrown?: unknown): void {
        if (thrown === undefined) super.requireOpen(tx)
      }
    },
  },
  {
    fault: "takes what a handler throws for the database's demand, by its looks",
    caughtBy: ['handlers'],
    Store: class extends MapStore {
      override failureOf(error: unknown): unknown {
        const { errno, code, errorLabels, errcode } = (error ?? {}) as Record<string, unknown>
        const looks = [errno === 1213, code === '40001', errorLabels !== undefined, errcode !== undefined]
        if (!looks.includes(true)) return error
        return new StoreError('ONCEMQ_TRANSACTION_CONFLICT', 'MapStore: run it again', { cause: error })
      }
    },
  },
]
