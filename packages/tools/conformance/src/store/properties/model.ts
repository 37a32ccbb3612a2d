import assert from 'node:assert/strict'
import type { ClaimAnswer, ClaimRequest } from '@oncemq/core/store'
import fc from 'fast-check'
import { assertBytes, assertRecord } from '../answers.ts'
import { isSweeping } from '../capabilities.ts'
import type { StoreContext } from '../context.ts'
import { type ModelAnswer, StoreModel } from '../model.ts'
import type { StoreProperty } from '../property.ts'
import { newClaim, newHex } from '../requests.ts'
import { LONG_MS, type StoreWorker } from '../worker.ts'

const KEYS = 3
const OWNERS = 3
const RUNS = 25
const STEPS_MAX = 40
const TIME_LIMIT_MS = 20_000
const SWEEP_ALL = 1000

export const model: StoreProperty = {
  name: 'model',
  cases: [
    {
      name: 'random schedules of all operations answer as the protocol on a plain map does',
      async run(context) {
        const workers = [context.worker, await context.another()]
        const property = fc.asyncProperty(
          fc.array(step, { maxLength: STEPS_MAX, size: 'max' }),
          async (steps) => {
            const schedule = new Schedule(context, workers)
            try {
              for (const next of steps) await schedule.take(next)
            } finally {
              // A later sweep must not find what this schedule left.
              await schedule.forget()
            }
          },
        )
        // A failure prints its seed and the smallest schedule that still fails.
        await fc.assert(property, {
          numRuns: RUNS,
          interruptAfterTimeLimit: TIME_LIMIT_MS,
          markInterruptAsFailure: false,
        })
      },
    },
  ],
}

const key = fc.nat(KEYS - 1)
const owner = fc.nat(OWNERS - 1)
const worker = fc.nat(1)
/** Whether the lease or the retention is over before the next step. */
const short = fc.boolean()
const common = { worker, key, owner, short }

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant('claim' as const), ...common, print: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('renew' as const), ...common }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('complete' as const), ...common, result: fc.nat(2) }) },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('release' as const), ...common, attempts: fc.nat(3) }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('forget' as const), ...common }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('sweep' as const), ...common }) },
)

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** One schedule on ids of its own: takes each step on the store and on the model, and compares. */
class Schedule {
  readonly #context: StoreContext
  readonly #workers: readonly StoreWorker[]
  readonly #model = new StoreModel()
  readonly #ids = Array.from({ length: KEYS }, newHex)
  readonly #claimIds = Array.from({ length: OWNERS }, newHex)
  readonly #prints = [undefined, newHex(), newHex()]
  readonly #results = [undefined, new Uint8Array(0), Buffer.from('result')]

  constructor(context: StoreContext, workers: readonly StoreWorker[]) {
    this.#context = context
    this.#workers = workers
  }

  async take(next: Step): Promise<void> {
    const id = this.#ids[next.key] as string
    await this.#compareAnswer(next, id)
    // The shortest lease is over for sure before the next step, the long ones never are.
    if (next.short) await this.#context.time.elapse(2)
    await this.#compareRecord(id)
  }

  async forget(): Promise<void> {
    await this.#context.worker.store.forget(this.#ids)
  }

  async #compareAnswer(next: Step, id: string): Promise<void> {
    const by = this.#workers[next.worker] as StoreWorker
    const claimId = this.#claimIds[next.owner] as string
    const ms = next.short ? 1 : LONG_MS
    const claim = newClaim({ id, claimId, leaseMs: ms })
    const known = this.#model
    switch (next.op) {
      case 'claim': {
        const request = { ...claim, fingerprint: this.#prints[next.print], label: this.#prints[next.print] }
        return this.#compareClaim(await by.claim(request), request, next.short)
      }
      case 'renew':
        return assert.equal(await by.renew(claim, ms), known.renew(id, claimId, next.short))
      case 'complete': {
        const result = this.#results[next.result]
        if (this.#isExpiredElsewhere(id)) return undefined
        const answer = await by.complete(claim, { result, retentionMs: ms })
        return assert.equal(answer, known.complete(id, claimId, result, next.short))
      }
      case 'release':
        return assert.equal(await by.release(claim, next.attempts), known.release(id, claimId, next.attempts))
      case 'forget':
        await by.forget(id)
        return known.forget(id)
      case 'sweep':
        if (isSweeping(by.store)) assert.equal(await by.store.sweep(SWEEP_ALL), known.sweep())
        return undefined
    }
  }

  #compareClaim(answer: ClaimAnswer, request: ClaimRequest, short: boolean): void {
    const renewed = answer.status === 'granted' && answer.epoch === 1
    if (renewed && this.#isExpiredElsewhere(request.id)) this.#model.forget(request.id)
    const expected: ModelAnswer = this.#model.claim(request, short)
    assert.equal(answer.status, expected.status)
    if (answer.status === 'done' && expected.status === 'done') {
      assert.equal(answer.fingerprint, expected.fingerprint)
      assertBytes(answer.result, expected.result)
    } else if (answer.status === 'granted') {
      assert.deepEqual({ ...answer }, expected)
    } else {
      assert.equal(answer.status === 'busy' && answer.epoch, expected.status === 'busy' && expected.epoch)
    }
  }

  async #compareRecord(id: string): Promise<void> {
    const expected = this.#model.records.get(id)
    const record = await this.#context.worker.inspect(id)
    if (record === undefined && this.#isExpiredElsewhere(id)) return
    if (expected === undefined) return assert.equal(record, undefined)
    const { claimId: _claimId, over, ...fields } = expected
    assertRecord(record, fields)
    if (record === undefined || expected.state !== 'running') return
    assert.equal(record.leaseRemainingMs <= 0, over, `the lease has ${record.leaseRemainingMs} ms left`)
  }

  /** A store whose records go away by themselves may have removed this one already, or do so any moment. */
  #isExpiredElsewhere(id: string): boolean {
    const found = this.#model.records.get(id)
    return !isSweeping(this.#context.worker.store) && found?.state === 'done' && found.over
  }
}
