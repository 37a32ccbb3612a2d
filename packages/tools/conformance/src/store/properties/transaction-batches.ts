import assert from 'node:assert/strict'
import { isOncemqError } from '@oncemq/core'
import type {
  BatchingStore,
  ClaimRequest,
  TransactionEnd,
  TransactionMember,
  UpdateAnswer,
} from '@oncemq/core/store'
import { deferred } from '@oncemq/core/store'
import { assertRecord } from '../answers.ts'
import type { StoreContext } from '../context.ts'
import { completionOf, prepared, transactionOf } from '../handler.ts'
import type { Effects } from '../handler.ts'
import type { StoreCase, StoreProperty } from '../property.ts'
import { newClaims, rivalOf } from '../requests.ts'
import type { StoreWorker } from '../worker.ts'

type Work = TransactionMember<unknown>['work']

interface Given {
  readonly work: Work
  readonly signal?: AbortSignal
}

/**
 * Handles all in one batch. Answers how each was settled: its answer, or the code or error that it got. Where
 * one ends the whole batch, the others are run again by themselves, as the core does.
 */
async function handled(worker: StoreWorker, given: readonly Given[]): Promise<unknown[]> {
  const outcomes = await batched(worker, given)
  if (worker.store.guarantees.batchesTransactions === 'savepoints') return outcomes
  for (const [at, { work, signal }] of given.entries()) {
    const isSettled = at < outcomes.length && outcomes[at] !== 'ONCEMQ_TRANSACTION_CONFLICT'
    if (!isSettled) outcomes[at] = await transactionOf(worker).transaction(work, signal).catch(codeOf)
  }
  return outcomes
}

/** The same of those that were begun, once. */
async function batched({ store }: StoreWorker, given: readonly Given[]): Promise<unknown[]> {
  const waiting = given.map(({ work, signal }) => ({ work, signal, ...deferred<UpdateAnswer>() }))
  // Listened to from the start: a rejection comes while others still run.
  const outcomes = waiting.map(({ promise }) => promise.catch(codeOf))
  let begun = 0
  await (store as BatchingStore<unknown>).transactions(() => waiting[begun++])
  return Promise.all(outcomes.slice(0, begun))
}

function codeOf(error: unknown): unknown {
  return isOncemqError(error) ? error.code : error
}

const written =
  (effects: Effects, claim: ClaimRequest): Work =>
  async (tx): Promise<TransactionEnd> => {
    await effects.write(tx, claim.id)
    return completionOf(claim)
  }

async function scene(context: StoreContext, count: number) {
  const [{ worker }, claims, effects] = [context, newClaims(count), await prepared(context)]
  await worker.store.claim(claims)
  const works = claims.map((claim): Given => ({ work: written(effects, claim) }))
  const counts = () => Promise.all(claims.map(({ id }) => effects.count(id)))
  const states = async () =>
    (await worker.store.inspect(claims.map(({ id }) => id))).map((record) => record?.state)
  return { worker, claims, effects, works, counts, states }
}

const cases: readonly StoreCase[] = [
  {
    name: 'all that are kept commit together, and none before the last has ended',
    async run(context) {
      const { worker, claims, works, counts, states, effects } = await scene(context, 8)
      let before: number | undefined
      const last: Work = async (tx) => {
        before = await effects.count((claims[0] as ClaimRequest).id)
        return (works[7] as Given).work(tx)
      }
      assert.deepEqual(await handled(worker, [...works.slice(0, 7), { work: last }]), Array(8).fill('ok'))
      assert.equal(before, 0)
      assert.deepEqual(await counts(), Array(8).fill(1))
      assert.deepEqual(await states(), Array(8).fill('done'))
    },
  },
  {
    name: 'one that fails is rolled back alone, with the error that it threw',
    async run(context) {
      const { worker, works, counts, states } = await scene(context, 3)
      const thrown = new Error('the handler failed')
      const failing: Work = async (tx) => {
        await (works[1] as Given).work(tx)
        throw thrown
      }
      const outcomes = await handled(worker, [works[0] as Given, { work: failing }, works[2] as Given])
      assert.deepEqual(outcomes, ['ok', thrown, 'ok'])
      assert.deepEqual(await counts(), [1, 0, 1])
      assert.deepEqual(await states(), ['done', 'running', 'done'])
    },
  },
  {
    name: 'one whose claim is lost is rolled back alone',
    async run(context) {
      const { worker, claims, effects, works, counts, states } = await scene(context, 3)
      const [, second] = claims as [ClaimRequest, ClaimRequest]
      const foreign: Work = async (tx) => {
        await effects.write(tx, second.id)
        return completionOf(rivalOf(second))
      }
      const outcomes = await handled(worker, [works[0] as Given, { work: foreign }, works[2] as Given])
      assert.deepEqual(outcomes, ['ok', 'lost', 'ok'])
      assert.deepEqual(await counts(), [1, 0, 1])
      assert.deepEqual(await states(), ['done', 'running', 'done'])
    },
  },
  {
    name: 'the repetition of one that has been committed has no second effect',
    async run(context) {
      const { worker, works, counts } = await scene(context, 3)
      assert.deepEqual(await handled(worker, works.slice(1, 2)), ['ok'])
      assert.deepEqual(await handled(worker, works), ['ok', 'ok', 'ok'])
      assert.deepEqual(await counts(), [1, 1, 1])
    },
  },
  {
    name: 'what a handler writes after its end fails, and gets into no other part of the batch',
    async run(context) {
      const { worker, works, effects } = await scene(context, 2)
      let kept: unknown
      const first: Work = async (tx) => {
        kept = tx
        return (works[0] as Given).work(tx)
      }
      const second: Work = async (tx) => {
        await assert.rejects(effects.write(kept, 'late'))
        return (works[1] as Given).work(tx)
      }
      assert.deepEqual(await handled(worker, [{ work: first }, { work: second }]), ['ok', 'ok'])
      assert.equal(await effects.count('late'), 0)
    },
  },
  {
    name: 'a handler that hangs ends by its signal, and no other is half done',
    async run(context) {
      const { worker, works, counts, states, effects } = await scene(context, 2)
      const controller = new AbortController()
      const reason = new Error('handlerTimeoutMs')
      const hanging: Work = async (tx) => {
        await effects.write(tx, 'hung')
        controller.abort(reason)
        return new Promise(() => {})
      }
      const outcomes = await batched(worker, [
        works[0] as Given,
        { work: hanging, signal: controller.signal },
        works[1] as Given,
      ])
      assert.equal(outcomes[1], reason)
      assert.equal(await effects.count('hung'), 0)
      // A store may end the batch with it: then the others have written nothing, and run again.
      const kept = [outcomes[0], outcomes[2]].map((outcome) => (outcome === 'ok' ? 1 : 0))
      assert.deepEqual(await counts(), kept)
      assert.deepEqual(
        await states(),
        kept.map((each) => (each === 1 ? 'done' : 'running')),
      )
    },
  },
]

const committing: StoreCase = {
  name: 'a COMMIT of a handler is told to it alone, and those beside it have one effect each',
  needs: 'committing',
  async run(context) {
    if (context.worker.store.guarantees.batchesTransactions === undefined) return
    const { worker, claims, works, counts, effects } = await scene(context, 3)
    const [first, second, third] = claims as [ClaimRequest, ClaimRequest, ClaimRequest]
    const ending: Work = async (tx) => {
      await effects.write(tx, second.id)
      await effects.commit(tx)
      return completionOf(second)
    }
    const outcomes = await batched(worker, [works[0] as Given, { work: ending }, works[2] as Given])
    assert.equal(outcomes[1], 'ONCEMQ_TRANSACTION_ENDED')
    // Whatever the others were told, the claim finds out.
    for (const { work } of [works[0] as Given, works[2] as Given]) {
      assert.equal(await transactionOf(worker).transaction(work), 'ok')
    }
    assert.deepEqual(await counts(), [1, 1, 1])
    assertRecord(await worker.inspect(first.id), { state: 'done' })
    assertRecord(await worker.inspect(second.id), { state: 'running' })
    assertRecord(await worker.inspect(third.id), { state: 'done' })
  },
}

export const transactionBatches: StoreProperty = {
  name: 'transaction batches',
  cases: [...cases.map((testCase): StoreCase => ({ ...testCase, needs: 'batching' })), committing],
}
