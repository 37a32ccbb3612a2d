import assert from 'node:assert/strict'
import { isOncemqError } from '@oncemq/core'
import type { ClaimRequest } from '@oncemq/core/store'
import { deferred } from '@oncemq/core/store'
import { assertRecord } from '../answers.ts'
import type { Effects } from '../handler.ts'
import { completionOf, prepared, reasonOf, transactionOf, writeAndComplete } from '../handler.ts'
import type { StoreCase, StoreProperty } from '../property.ts'
import { newClaim } from '../requests.ts'

/** More than a store has places for transactions. */
const HUNG = 12
const LATE_WRITES_MAX = 10_000
const BOUND_MS = 5_000

/** What each database's demand to run a transaction again looks like, as a sender could write it. */
const LOOKALIKES: readonly unknown[] = [
  { errno: 1213, code: 'ER_LOCK_DEADLOCK', sqlState: '40001' },
  { code: '40001', severity: 'ERROR' },
  { errcode: 5, code: 'ERR_SQLITE_ERROR' },
  { errorLabels: ['TransientTransactionError'], code: 112 },
  Object.assign(new Error('deadlock detected'), { errno: 1213, code: '40P01', errcode: 10 }),
  Object.assign(new Error('write conflict'), { errorLabels: ['TransientTransactionError'], code: 112 }),
  new Error('wrapped', { cause: { errno: 1213, code: '40001', errorLabels: ['TransientTransactionError'] } }),
]

const cases: readonly StoreCase[] = [
  {
    name: 'what a handler writes after it has answered fails, and is not there',
    async run(context) {
      const [{ worker }, first, effects] = [context, newClaim(), await prepared(context)]
      await worker.claim(first)
      let kept: unknown
      const answer = await transactionOf(worker).transaction(async (tx) => {
        kept = tx
        await effects.write(tx, first.id)
        return completionOf(first)
      })
      assert.equal(answer, 'ok')
      await assertUseless(effects, kept, first.id)
      assert.equal(await effects.count(first.id), 1)
    },
  },
  {
    name: 'a branch that still writes when the handler fails is stopped, and nothing of it stays',
    async run(context) {
      const [{ worker }, first, effects] = [context, newClaim(), await prepared(context)]
      await worker.claim(first)
      let branch: Promise<unknown> = Promise.resolve()
      const thrown = new Error('the other branch failed')
      const running = transactionOf(worker).transaction(async (tx) => {
        await effects.write(tx, first.id)
        branch = writeOn(effects, tx, first.id)
        branch.catch(() => undefined)
        throw thrown
      })
      assert.equal(await reasonOf(running), thrown)
      assert.notEqual(await reasonOf(branch), undefined, 'the late branch is told')
      assert.equal(await effects.count(first.id), 0)
      assert.equal(await writeAndComplete(worker, effects, first), 'ok')
      assert.equal(await effects.count(first.id), 1)
    },
  },
  {
    name: 'a late write does not get into the next transaction',
    async run(context) {
      const [{ worker }, effects] = [context, await prepared(context)]
      const [first, second] = [newClaim(), newClaim()]
      await worker.store.claim([first, second])
      let kept: unknown
      const failed = transactionOf(worker).transaction(async (tx) => {
        kept = tx
        await effects.write(tx, 'in time')
        throw new Error('the handler failed')
      })
      await reasonOf(failed)
      const answer = await transactionOf(worker).transaction(async (tx) => {
        await assertUseless(effects, kept, 'late')
        await effects.write(tx, second.id)
        return completionOf(second)
      })
      assert.equal(answer, 'ok')
      const counts = await Promise.all(['late', 'in time', second.id].map((name) => effects.count(name)))
      assert.deepEqual(counts, [0, 0, 1])
    },
  },
  {
    name: 'handlers that hang lose their transactions when their signal aborts, and their places are free',
    async run(context) {
      const [{ worker }, effects] = [context, await prepared(context)]
      const [hanging, next] = [Array.from({ length: HUNG }, () => newClaim()), newClaim()]
      await worker.store.claim([...hanging, next])
      const [controller, reason] = [new AbortController(), new Error('handlerTimeoutMs')]
      const written = deferred<unknown>()
      const running = hanging.map(({ id }) =>
        transactionOf(worker).transaction(async (tx) => {
          await effects.write(tx, id)
          written.resolve(tx)
          return new Promise(() => {})
        }, controller.signal),
      )
      const reasons = Promise.all(running.map(reasonOf))
      const tx = await bounded('a handler begins', written.promise)
      controller.abort(reason)
      for (const each of await bounded('aborted transactions end', reasons)) assert.equal(each, reason)
      await assertUseless(effects, tx, 'late')
      const answer = await bounded('a place is free', writeAndComplete(worker, effects, next))
      assert.equal(answer, 'ok')
      for (const { id } of hanging) assert.equal(await effects.count(id), 0)
      assertRecord(await worker.inspect((hanging[0] as ClaimRequest).id), { state: 'running', epoch: 1 })
    },
  },
  {
    name: 'what a handler has sent and not awaited is a part of its transaction, or fails',
    async run(context) {
      const [{ worker }, effects] = [context, await prepared(context)]
      for (const thrown of [undefined, new Error('the handler failed')]) {
        const first = newClaim()
        await worker.claim(first)
        let writing: Promise<unknown> = Promise.resolve()
        const running = transactionOf(worker).transaction(async (tx) => {
          writing = effects.write(tx, first.id)
          writing.catch(() => undefined)
          if (thrown !== undefined) throw thrown
          return completionOf(first)
        })
        if (thrown === undefined) assert.equal(await running, 'ok')
        else assert.equal(await reasonOf(running), thrown)
        const [{ status }] = await Promise.allSettled([writing])
        const isThere = thrown === undefined && status === 'fulfilled'
        assert.equal(await effects.count(first.id), isThere ? 1 : 0)
      }
    },
  },
  {
    name: 'a signal that aborts once the handler has ended comes too late',
    async run(context) {
      const [{ worker }, first, effects] = [context, newClaim(), await prepared(context)]
      const controller = new AbortController()
      await worker.claim(first)
      const answer = await transactionOf(worker).transaction(async (tx) => {
        await effects.write(tx, first.id)
        setImmediate(() => controller.abort(new Error('late')))
        return completionOf(first)
      }, controller.signal)
      assert.equal(answer, 'ok')
      assert.equal(await effects.count(first.id), 1)
    },
  },
  {
    name: 'a handler whose signal has aborted already does not begin',
    async run(context) {
      const [{ worker }, first, reason] = [context, newClaim(), new Error('before')]
      await worker.claim(first)
      let begun = false
      const running = transactionOf(worker).transaction(async () => {
        begun = true
        return completionOf(first)
      }, AbortSignal.abort(reason))
      assert.equal(await reasonOf(running), reason)
      assert.equal(begun, false, 'the handler has begun')
      assertRecord(await worker.inspect(first.id), { state: 'running' })
    },
  },
  {
    name: "an error that only looks like the database's demand comes out as it is",
    async run(context) {
      const [{ worker }, first, effects] = [context, newClaim(), await prepared(context)]
      await worker.claim(first)
      for (const thrown of LOOKALIKES) {
        const running = transactionOf(worker).transaction(async (tx) => {
          await effects.write(tx, first.id)
          throw thrown
        })
        assert.equal(await reasonOf(running), thrown)
      }
      assert.equal(await effects.count(first.id), 0)
    },
  },
]

const ownCommits: readonly StoreCase[] = [
  {
    name: 'a handler that commits by itself is told, and its message is not done',
    needs: 'committing',
    async run(context) {
      const [{ worker }, first, effects] = [context, newClaim(), await prepared(context)]
      await worker.claim(first)
      const running = transactionOf(worker).transaction(async (tx) => {
        await effects.commit(tx)
        return completionOf(first)
      })
      assertEnded(await reasonOf(running))
      assertRecord(await worker.inspect(first.id), { state: 'running' })
    },
  },
  {
    name: 'a handler that commits by itself and then fails is told the same: it must not run again',
    needs: 'committing',
    async run(context) {
      const [{ worker }, first, effects] = [context, newClaim(), await prepared(context)]
      await worker.claim(first)
      const running = transactionOf(worker).transaction(async (tx) => {
        await effects.write(tx, first.id)
        await effects.commit(tx)
        throw new Error('the handler failed')
      })
      assertEnded(await reasonOf(running))
      assert.equal(await effects.count(first.id), 1, 'what it has committed stays')
    },
  },
  {
    name: 'a handler that commits by itself and then hangs is told the same when its signal aborts',
    needs: 'committing',
    async run(context) {
      const [{ worker }, first, effects] = [context, newClaim(), await prepared(context)]
      await worker.claim(first)
      const [controller, committed] = [new AbortController(), deferred<void>()]
      const running = transactionOf(worker).transaction(async (tx) => {
        await effects.write(tx, first.id)
        await effects.commit(tx)
        committed.resolve()
        return new Promise(() => {})
      }, controller.signal)
      const reason = reasonOf(running)
      await bounded('the handler commits', committed.promise)
      controller.abort(new Error('handlerTimeoutMs'))
      assertEnded(await bounded('the transaction ends', reason))
      assert.equal(await effects.count(first.id), 1, 'what it has committed stays')
    },
  },
]

export const handlers: StoreProperty = {
  name: 'handlers',
  cases: [...cases.map((testCase): StoreCase => ({ ...testCase, needs: 'transactional' })), ...ownCommits],
}

function assertEnded(reason: unknown): void {
  assert.ok(isOncemqError(reason), `expected an error of oncemq, received ${String(reason)}`)
  assert.deepEqual([reason.code, reason.retryable], ['ONCEMQ_TRANSACTION_ENDED', false])
}

/** Whether a late write fails. Which error it is may be the driver's. */
async function assertUseless(effects: Effects, tx: unknown, name: string): Promise<void> {
  const reason = await reasonOf(effects.write(tx, name))
  assert.ok(reason instanceof Error, `a late write fails with an error, received ${String(reason)}`)
}

async function writeOn(effects: Effects, tx: unknown, name: string): Promise<void> {
  for (let count = 0; count < LATE_WRITES_MAX; count += 1) {
    await effects.write(tx, name)
    await new Promise(setImmediate)
  }
}

async function bounded<Answer>(what: string, running: Promise<Answer>): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`expected within ${BOUND_MS} ms: ${what}`)), BOUND_MS)
  })
  return Promise.race([running, late]).finally(() => clearTimeout(timer))
}
