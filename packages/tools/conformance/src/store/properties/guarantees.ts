import assert from 'node:assert/strict'
import { isSweeping } from '../capabilities.ts'
import type { StoreProperty } from '../property.ts'

const NONE = { callsMax: 1, entriesMin: 1, entriesPerMs: 0 }

export const guarantees: StoreProperty = {
  name: 'guarantees',
  cases: [
    {
      name: 'a store states every fact about itself',
      async run({ worker: { store } }) {
        const { durable, sharedBy, transactional, renewsInTransaction, expiryGranularityMs } =
          store.guarantees
        assert.match(store.name, /^[a-z][a-z0-9-]*$/, 'name: short and lower-case')
        assert.equal(typeof durable, 'boolean')
        assert.ok(['process', 'machine', 'network'].includes(sharedBy), `sharedBy: ${sharedBy}`)
        assert.equal(typeof transactional, 'boolean')
        assert.equal(typeof renewsInTransaction, 'boolean')
        assert.ok(transactional || !renewsInTransaction, 'renewsInTransaction: false without transactions')
        assert.ok(Number.isInteger(expiryGranularityMs) && expiryGranularityMs >= 1, 'expiryGranularityMs')
        assert.ok(Number.isInteger(store.batching.batchMax) && store.batching.batchMax >= 1, 'batchMax')
        const { batchMax, batchesInFlightMax, batchMin = batchMax } = store.batching
        assert.ok(Number.isInteger(batchesInFlightMax) && batchesInFlightMax >= 1, 'batchesInFlightMax')
        const { transactionsInFlightMax = batchesInFlightMax } = store.batching
        const isWhole = Number.isInteger(transactionsInFlightMax)
        assert.ok(isWhole && transactionsInFlightMax >= 1, 'transactionsInFlightMax')
        assert.ok(Number.isInteger(batchMin) && batchMin >= 1 && batchMin <= batchMax, 'batchMin')
        const { callsMax, entriesMin, entriesPerMs } = store.batching.light ?? NONE
        assert.ok(Number.isInteger(callsMax) && callsMax >= 1, 'light.callsMax')
        assert.ok(entriesMin >= 1 && entriesPerMs >= 0, 'light')
      },
    },
    {
      name: 'what a store can do is what it says it can',
      async run({ worker: { store } }) {
        const hasTransaction = 'transaction' in store && typeof store.transaction === 'function'
        assert.equal(
          store.guarantees.transactional,
          hasTransaction,
          'transactional means a transaction method',
        )
        if ('sweep' in store) assert.ok(isSweeping(store), 'sweep is a method')
      },
    },
    {
      name: 'open answers findings that say what was found and the remedy',
      async run({ worker: { store } }) {
        for (const finding of await store.open()) {
          assert.ok(['error', 'warning', 'info'].includes(finding.severity), `severity: ${finding.severity}`)
          assert.match(finding.code, /^[a-z][a-z0-9-]*$/)
          assert.ok(finding.found.length > 0 && finding.remedy.length > 0, `${finding.code} says too little`)
        }
      },
    },
  ],
}
