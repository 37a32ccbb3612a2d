import assert from 'node:assert/strict'
import { assertDone, assertGranted, assertRecord, lasting } from '../answers.ts'
import { completionOf, prepared, reasonOf, transactionOf, writeAndComplete } from '../handler.ts'
import type { StoreCase, StoreProperty } from '../property.ts'
import { newClaim, newClaims, rivalOf } from '../requests.ts'

const TOGETHER = 8

const cases: readonly StoreCase[] = [
  {
    name: 'the completion and the writes commit together',
    async run(context) {
      const [{ worker }, first, effects] = [context, newClaim(), await prepared(context)]
      const result = Buffer.from('receipt')
      await worker.claim(first)
      const answer = await transactionOf(worker).transaction(async (tx) => {
        await effects.write(tx, first.id)
        return completionOf(first, result)
      })
      assert.equal(answer, 'ok')
      assert.equal(await effects.count(first.id), 1)
      assertDone(await (await context.another()).claim(rivalOf(first)), { result })
    },
  },
  {
    name: 'a foreign claim is lost: its writes are rolled back and the record stays as it is',
    async run(context) {
      const [{ worker }, first, effects] = [context, newClaim(), await prepared(context)]
      await worker.claim(first)
      const before = lasting(await worker.inspect(first.id))
      assert.equal(await writeAndComplete(worker, effects, rivalOf(first)), 'lost')
      assert.equal(await effects.count(first.id), 0)
      assert.deepEqual(lasting(await worker.inspect(first.id)), before)
      assert.equal(await worker.complete(first), 'ok')
    },
  },
  {
    name: 'a claim that was taken over is lost: its writes are rolled back',
    async run(context) {
      const [{ worker, time }, first, effects] = [context, newClaim({ leaseMs: 1 }), await prepared(context)]
      const [other, second] = [await context.another(), rivalOf(first)]
      await worker.claim(first)
      await time.elapse(1)
      await other.claim(second)
      assert.equal(await writeAndComplete(worker, effects, first), 'lost')
      assert.equal(await effects.count(first.id), 0)
      assert.equal(await writeAndComplete(other, effects, second), 'ok')
      assert.equal(await effects.count(first.id), 1)
    },
  },
  {
    name: 'after its lease a claim commits if nobody took over',
    async run(context) {
      const [{ worker, time }, first, effects] = [context, newClaim({ leaseMs: 1 }), await prepared(context)]
      await worker.claim(first)
      await time.elapse(1)
      assert.equal(await writeAndComplete(worker, effects, first), 'ok')
      assert.equal(await effects.count(first.id), 1)
    },
  },
  {
    name: 'when the work throws, all is rolled back and the same error comes out',
    async run(context) {
      const [{ worker }, first, effects] = [context, newClaim(), await prepared(context)]
      const thrown = new Error('the handler failed')
      await worker.claim(first)
      const running = transactionOf(worker).transaction(async (tx) => {
        await effects.write(tx, first.id)
        throw thrown
      })
      assert.equal(await reasonOf(running), thrown)
      assert.equal(await effects.count(first.id), 0)
      assertRecord(await worker.inspect(first.id), { state: 'running', epoch: 1 })
      assert.equal(await writeAndComplete(worker, effects, first), 'ok')
      assert.equal(await effects.count(first.id), 1)
    },
  },
  {
    name: 'what the work throws comes out as it is, also when it is no error',
    async run(context) {
      const { worker } = context
      for (const thrown of [undefined, null, 'text', { code: 'ER_DUP_ENTRY' }]) {
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors
        const running = transactionOf(worker).transaction(() => Promise.reject(thrown))
        assert.equal(await reasonOf(running), thrown)
      }
      assertGranted(await worker.claim(newClaim()), 1, 1)
    },
  },
  {
    name: 'a transaction that is repeated after its commit has no second effect',
    async run(context) {
      const [{ worker }, first, effects] = [context, newClaim(), await prepared(context)]
      await worker.claim(first)
      assert.equal(await writeAndComplete(worker, effects, first), 'ok')
      await writeAndComplete(worker, effects, first)
      assert.equal(await effects.count(first.id), 1, 'the writes of one claim commit once')
      assertDone(await worker.claim(rivalOf(first)))
    },
  },
  {
    name: 'a claim that is made while a transaction runs is no part of it',
    async run(context) {
      const [{ worker }, first, effects] = [context, newClaim(), await prepared(context)]
      const thrown = new Error('rolled back')
      let claiming: Promise<unknown> | undefined
      const running = transactionOf(worker).transaction(async (tx) => {
        await effects.write(tx, first.id)
        // Not awaited here: a store may make it wait for the transaction's end.
        claiming = worker.claim(first)
        await Promise.resolve()
        throw thrown
      })
      assert.equal(await reasonOf(running), thrown)
      assert.deepEqual(await claiming, { status: 'granted', epoch: 1, attempt: 1 })
      assertRecord(await worker.inspect(first.id), { state: 'running', epoch: 1 })
    },
  },
  {
    name: 'transactions of one handle may overlap: each commits or rolls back alone',
    async run(context) {
      const [{ worker }, claims, effects] = [context, newClaims(TOGETHER), await prepared(context)]
      await worker.store.claim(claims)
      const runs = claims.map((claim, at) =>
        writeAndComplete(worker, effects, at % 2 === 0 ? claim : rivalOf(claim)),
      )
      const answers = await Promise.all(runs)
      assert.deepEqual(
        answers,
        claims.map((_, at) => (at % 2 === 0 ? 'ok' : 'lost')),
      )
      for (const [at, { id }] of claims.entries()) {
        assert.equal(await effects.count(id), at % 2 === 0 ? 1 : 0)
        assertRecord(await worker.inspect(id), { state: at % 2 === 0 ? 'done' : 'running' })
      }
    },
  },
]

export const transactions: StoreProperty = {
  name: 'transactions',
  cases: cases.map((testCase) => ({ ...testCase, needs: 'transactional' })),
}
