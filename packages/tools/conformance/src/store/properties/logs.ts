import assert from 'node:assert/strict'
import { deferred } from '@oncemq/core/store'
import { assertGranted } from '../answers.ts'
import { completionOf, prepared, reasonOf } from '../handler.ts'
import { logStoreOf, newLog, stepOf, takeOf, writeAndEnd } from '../logs.ts'
import type { StoreCase, StoreProperty } from '../property.ts'
import { newClaim, rivalOf } from '../requests.ts'

/** More than a number holds without a loss. */
const FAR = 9_007_199_254_740_993n
const TAKERS = 6

const NEW = { epoch: 1, next: undefined, wasHeld: false, started: undefined, starts: 0 }

const cases: readonly StoreCase[] = [
  {
    name: 'a log is taken by whoever asks, each time with a higher epoch, and told whether it was held',
    async run(context) {
      const [log, first, second] = [newLog('billing/orders/0'), context.worker, await context.another()]
      assert.deepEqual(await takeOf(first, log), NEW)
      assert.deepEqual(await takeOf(second, log), { ...NEW, epoch: 2, wasHeld: true })
      assert.equal(await logStoreOf(second).updateLog({ op: 'release', id: log.id, epoch: 2 }), 'ok')
      assert.deepEqual(await takeOf(first, log), { ...NEW, epoch: 3, wasHeld: false })
      assert.deepEqual(await takeOf(first, log), { ...NEW, epoch: 4, wasHeld: true })
    },
  },
  {
    name: 'a release by an epoch that is over is lost, and releases nothing',
    async run({ worker }) {
      const log = newLog()
      const first = await takeOf(worker, log)
      await takeOf(worker, log)
      const release = { op: 'release', id: log.id, epoch: first.epoch } as const
      assert.equal(await logStoreOf(worker).updateLog(release), 'lost')
      assert.equal((await takeOf(worker, log)).wasHeld, true)
    },
  },
  {
    name: 'a release that is repeated is ok, and that of a log that is not there is lost',
    async run({ worker }) {
      const log = newLog()
      const release = { op: 'release', id: log.id, epoch: 1 } as const
      assert.equal(await logStoreOf(worker).updateLog(release), 'lost')
      await takeOf(worker, log)
      assert.equal(await logStoreOf(worker).updateLog(release), 'ok')
      assert.equal(await logStoreOf(worker).updateLog(release), 'ok')
    },
  },
  {
    name: 'the step and the writes commit together, at offsets of any size',
    async run(context) {
      const [{ worker }, log, effects] = [context, newLog(), await prepared(context)]
      const taken = await takeOf(worker, log)
      assert.equal(await writeAndEnd(worker, effects, 'one', stepOf(log, taken, 1n)), 'ok')
      assert.equal(await writeAndEnd(worker, effects, 'two', stepOf(log, taken, FAR, 1n)), 'ok')
      assert.equal(await writeAndEnd(worker, effects, 'three', stepOf(log, taken, FAR + 1n, FAR)), 'ok')
      for (const name of ['one', 'two', 'three']) assert.equal(await effects.count(name), 1)
      assert.equal((await takeOf(await context.another(), log)).next, FAR + 1n)
    },
  },
  {
    name: 'the step of a handler that failed is rolled back with its writes',
    async run(context) {
      const [{ worker }, log, effects] = [context, newLog(), await prepared(context)]
      await takeOf(worker, log)
      const thrown = new Error('the handler failed')
      const running = logStoreOf(worker).transaction(async (tx) => {
        await effects.write(tx, 'one')
        throw thrown
      })
      assert.equal(await reasonOf(running), thrown)
      assert.equal((await takeOf(worker, log)).next, undefined)
      assert.equal(await effects.count('one'), 0)
    },
  },
  {
    name: 'a worker that has lost the log cannot move it: its writes are rolled back',
    async run(context) {
      const [{ worker }, log, effects] = [context, newLog(), await prepared(context)]
      const other = await context.another()
      const first = await takeOf(worker, log)
      const second = await takeOf(other, log)
      assert.equal(await writeAndEnd(worker, effects, 'one', stepOf(log, first, 1n)), 'lost')
      assert.equal(await logStoreOf(worker).updateLog(stepOf(log, first, 1n)), 'lost')
      assert.equal(await effects.count('one'), 0)
      assert.equal(await writeAndEnd(other, effects, 'one', stepOf(log, second, 1n)), 'ok')
      assert.equal(await writeAndEnd(worker, effects, 'one', stepOf(log, first, 1n)), 'lost')
      assert.equal(await effects.count('one'), 1)
      assert.equal((await takeOf(worker, log)).next, 1n)
    },
  },
  {
    name: 'a log that is taken while a handler runs is lost to that handler',
    async run(context) {
      const [{ worker }, log, effects] = [context, newLog(), await prepared(context)]
      const other = await context.another()
      const first = await takeOf(worker, log)
      const begun = deferred<void>()
      const taken = deferred<void>()
      const running = logStoreOf(worker).transaction(async (tx) => {
        begun.resolve()
        await taken.promise
        await effects.write(tx, 'one')
        return stepOf(log, first, 1n)
      })
      await begun.promise
      // Where a store has one writer, whoever takes it waits until the handler has ended.
      const taking = takeOf(other, log)
      await Promise.race([taking, new Promise((resolve) => setTimeout(resolve, 200))])
      taken.resolve()
      const answer = await running.catch(() => 'lost')
      const { next } = await taking
      assert.equal(answer === 'ok', next === 1n)
      assert.equal(await effects.count('one'), answer === 'ok' ? 1 : 0)
    },
  },
  {
    name: 'a commit that is repeated is ok, and writes nothing again',
    async run(context) {
      const [{ worker }, log, effects] = [context, newLog(), await prepared(context)]
      const taken = await takeOf(worker, log)
      const step = stepOf(log, taken, 5n)
      assert.equal(await writeAndEnd(worker, effects, 'one', step), 'ok')
      assert.equal(await writeAndEnd(worker, effects, 'one', step), 'ok')
      assert.equal(await logStoreOf(worker).updateLog(step), 'ok')
      assert.equal(await effects.count('one'), 1)
    },
  },
  {
    name: 'a log that is not where the worker left it is lost: what was set back is not passed over',
    async run(context) {
      const [{ worker }, log, effects] = [context, newLog(), await prepared(context)]
      const taken = await takeOf(worker, log)
      await logStoreOf(worker).updateLog(stepOf(log, taken, 3n))
      assert.equal(await writeAndEnd(worker, effects, 'one', stepOf(log, taken, 9n, 8n)), 'lost')
      assert.equal(await logStoreOf(worker).updateLog(stepOf(log, taken, 9n, undefined)), 'lost')
      assert.equal(await effects.count('one'), 0)
      assert.equal((await takeOf(worker, log)).next, 3n)
    },
  },
  {
    name: 'a log moves without a handler over what was put aside',
    async run({ worker }) {
      const log = newLog()
      const taken = await takeOf(worker, log)
      assert.equal(await logStoreOf(worker).updateLog(stepOf(log, taken, 7n)), 'ok')
      assert.equal(await logStoreOf(worker).updateLog(stepOf(log, taken, FAR, 7n)), 'ok')
      assert.equal((await takeOf(worker, log)).next, FAR)
    },
  },
  {
    name: 'starts of one record are counted, those of another one begin anew',
    async run({ worker }) {
      const log = newLog()
      const { epoch } = await takeOf(worker, log)
      const start = (offset: bigint, attempt: number) =>
        logStoreOf(worker).updateLog({ op: 'start', id: log.id, epoch, offset, attempt })
      assert.deepEqual([await start(FAR, 2), await start(FAR, 2)], ['ok', 'ok'])
      const counted = await takeOf(worker, log)
      assert.deepEqual([counted.started, counted.starts], [FAR, 3])
      assert.equal(await start(FAR, 2), 'lost')
      const id = log.id
      const other = { op: 'start', id, epoch: counted.epoch, offset: FAR + 1n, attempt: 1 } as const
      assert.equal(await logStoreOf(worker).updateLog(other), 'ok')
      const { started, starts } = await takeOf(worker, log)
      assert.deepEqual([started, starts], [FAR + 1n, 1])
    },
  },
  {
    name: 'a start is taken back whoever has the log by then, for its own record alone',
    async run({ worker }) {
      const log = newLog()
      const { id } = log
      const logs = logStoreOf(worker)
      const { epoch } = await takeOf(worker, log)
      await logs.updateLog({ op: 'start', id, epoch, offset: 4n, attempt: 2 })
      await takeOf(worker, log)
      assert.equal(await logs.updateLog({ op: 'unstart', id, offset: 5n }), 'ok')
      assert.equal((await takeOf(worker, log)).starts, 2)
      for (let count = 0; count < 3; count += 1) {
        assert.equal(await logs.updateLog({ op: 'unstart', id, offset: 4n }), 'ok')
      }
      assert.equal((await takeOf(worker, log)).starts, 0)
    },
  },
  {
    name: 'a record and a log end together: where one is lost, so is the other',
    async run(context) {
      const [{ worker }, log, effects] = [context, newLog(), await prepared(context)]
      const [first, second] = [newClaim(), newClaim()]
      const taken = await takeOf(worker, log)
      await worker.claim(first)
      const both = { ...completionOf(first), advance: stepOf(log, taken, 1n) }
      assert.equal(await writeAndEnd(worker, effects, 'one', both), 'ok')
      assert.equal(await writeAndEnd(worker, effects, 'one', both), 'ok')
      assert.equal(await effects.count('one'), 1)
      // The record is another worker's.
      await worker.claim(second)
      const foreign = { ...completionOf(rivalOf(second)), advance: stepOf(log, taken, 2n, 1n) }
      assert.equal(await writeAndEnd(worker, effects, 'two', foreign), 'lost')
      const again = await takeOf(worker, log)
      assert.equal(again.next, 1n)
      // The log is another worker's.
      const late = { ...completionOf(second), advance: stepOf(log, taken, 2n, 1n) }
      assert.equal(await writeAndEnd(worker, effects, 'two', late), 'lost')
      assert.equal(await effects.count('two'), 0)
      const whole = { ...completionOf(second), advance: stepOf(log, again, 2n) }
      assert.equal(await writeAndEnd(worker, effects, 'two', whole), 'ok')
      assert.equal(await effects.count('two'), 1)
    },
  },
  {
    name: 'logs do not meet each other, nor the record of the same id',
    async run({ worker }) {
      const claim = newClaim()
      const [one, other] = [{ id: claim.id, label: 'b/\u{1F600}/"; DROP TABLE x; --' }, newLog("'\\")]
      await takeOf(worker, one)
      assertGranted(await worker.claim(claim), 1, 1)
      const taken = await takeOf(worker, other)
      assert.deepEqual(taken, NEW)
      await logStoreOf(worker).updateLog(stepOf(other, taken, 1n))
      assert.equal(await worker.complete(claim), 'ok')
      assert.deepEqual(await takeOf(worker, one), { ...NEW, epoch: 2, wasHeld: true })
    },
  },
  {
    name: 'of many that take a log at once, each gets its own epoch, and one can move it',
    async run(context) {
      const log = newLog()
      const workers = await Promise.all(Array.from({ length: TAKERS }, () => context.another()))
      const taken = await Promise.all(workers.map((worker) => takeOf(worker, log)))
      const epochs = taken.map(({ epoch }) => epoch).toSorted((one, other) => one - other)
      assert.deepEqual(
        epochs,
        taken.map((_, at) => at + 1),
      )
      const answers = await Promise.all(
        workers.map((worker, at) => logStoreOf(worker).updateLog(stepOf(log, taken[at] as never, 1n))),
      )
      assert.deepEqual(
        answers.map((answer, at) => answer === 'ok' && taken[at]?.epoch === TAKERS),
        answers.map((answer) => answer === 'ok'),
      )
      assert.equal(answers.filter((answer) => answer === 'ok').length, 1)
    },
  },
]

export const logs: StoreProperty = {
  name: 'logs',
  cases: cases.map((each) => ({ ...each, needs: 'logs' })),
}
