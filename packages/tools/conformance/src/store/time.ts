import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import type { Store } from '@oncemq/core'
import type { VirtualClock } from '@oncemq/core/testing'
import { only } from './answers.ts'
import { LONG_MS } from './worker.ts'

/** How a case lets time pass. It never merely sleeps: it waits for what the store itself says. */
export interface SuiteTime {
  /** Milliseconds that never go back, of the tests' side. */
  nowMs(): number
  /** Answers when the store's clock has moved on by `ms` at least. */
  elapse(ms: number): Promise<void>
  /** Asks until `check` answers something, while time passes. Fails after the bound. */
  until<T>(what: string, check: () => Promise<T | undefined>): Promise<T>
}

const POLL_MS = 5
const BOUND_MS = 15_000

export function virtualTime(clock: VirtualClock): SuiteTime {
  return {
    nowMs: () => clock.monotonicMs(),
    elapse: async (ms) => clock.advance(ms),
    async until(what, check) {
      for (let passedMs = 0; passedMs < BOUND_MS; passedMs += 1) {
        const found = await check()
        if (found !== undefined) return found
        clock.advance(1)
      }
      return assert.fail(`expected within ${BOUND_MS} ms of virtual time: ${what}`)
    },
  }
}

/** Time for a store with a clock of its own, which may differ from ours. */
export function storeTime(store: Store): SuiteTime {
  const until: SuiteTime['until'] = async (what, check) => {
    const untilMs = performance.now() + BOUND_MS
    while (performance.now() < untilMs) {
      const found = await check()
      if (found !== undefined) return found
      await wait(POLL_MS)
    }
    return assert.fail(`expected within ${BOUND_MS} ms: ${what}`)
  }
  return {
    nowMs: () => performance.now(),
    until,
    // A lease of that length, begun now, is over when the store's clock has moved on so far.
    async elapse(ms) {
      const [id, claimId] = [randomBytes(16).toString('hex'), randomBytes(16).toString('hex')]
      const unnamed = { fingerprint: undefined, label: undefined }
      await store.claim([{ id, claimId, leaseMs: ms, retentionMs: LONG_MS, ...unnamed }])
      await until(`inspect tells that a lease of ${ms} ms is over`, async () => {
        const record = only(await store.inspect([id]))
        assert.ok(record !== undefined, 'a running record outlives its lease')
        return record.leaseRemainingMs <= 0 ? true : undefined
      })
    },
  }
}
