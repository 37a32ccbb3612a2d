import assert from 'node:assert/strict'
import type { ClaimAnswer, ClaimRequest } from '@oncemq/core/store'
import { assertRecord } from '../answers.ts'
import type { StoreContext } from '../context.ts'
import type { StoreProperty } from '../property.ts'
import { newClaim, newClaims, rivalOf } from '../requests.ts'
import type { StoreWorker } from '../worker.ts'

const WORKERS = 4
const IDS = 48
const ROUNDS_MAX = 1000

export const concurrency: StoreProperty = {
  name: 'concurrency',
  cases: [
    {
      name: 'of many that claim the same ids at once exactly one gets each',
      async run(context) {
        const firsts = newClaims(IDS)
        assertOneGrantEach(await claimAtOnce(context, firsts), 1)
      },
    },
    {
      name: 'of many that take over the same ids at once exactly one gets each',
      async run(context) {
        const firsts = newClaims(IDS).map((claim) => ({ ...claim, leaseMs: 1 }))
        await context.worker.store.claim(firsts)
        await context.time.elapse(1)
        assertOneGrantEach(await claimAtOnce(context, firsts), 2)
      },
    },
    {
      name: 'of many that claim the same released ids at once exactly one gets each',
      async run(context) {
        const firsts = newClaims(IDS)
        await context.worker.store.claim(firsts)
        for (const claim of firsts) await context.worker.release(claim)
        assertOneGrantEach(await claimAtOnce(context, firsts), 2)
      },
    },
    {
      name: 'of many that claim the same expired ids at once exactly one gets each',
      async run(context) {
        const firsts = newClaims(IDS)
        await context.worker.store.claim(firsts)
        for (const claim of firsts) await context.worker.complete(claim, { retentionMs: 1 })
        await context.time.elapse(1)
        assertOneGrantEach(await claimAtOnce(context, firsts))
      },
    },
    {
      name: 'a claim and its repetition at the same time are one grant',
      async run(context) {
        const workers = await workersOf(context)
        const first = newClaim()
        const answers = await Promise.all(workers.map((worker) => worker.claim(first)))
        for (const answer of answers)
          assert.deepEqual({ ...answer }, { status: 'granted', epoch: 1, attempt: 1 })
      },
    },
    {
      name: 'a completion and a take-over at the same time: one of them wins, and it stays so',
      async run({ worker, another, time }) {
        const other = await another()
        const firsts = newClaims(IDS).map((claim) => ({ ...claim, leaseMs: 1 }))
        await worker.store.claim(firsts)
        await time.elapse(1)
        const nexts = firsts.map((claim) => rivalOf(claim))
        const [completed, claimed] = await Promise.all([
          Promise.all(firsts.map((claim) => worker.complete(claim))),
          Promise.all(nexts.map((claim) => other.claim(claim))),
        ])
        for (const [at, answer] of claimed.entries()) {
          const won = completed[at] === 'ok' ? 'done' : 'granted'
          assert.equal(answer.status, won, `the completion was ${completed[at]}, the claim ${answer.status}`)
          const state = won === 'done' ? 'done' : 'running'
          assertRecord(await worker.inspect((firsts[at] as ClaimRequest).id), { state })
        }
      },
    },
    {
      name: 'workers that claim, release and complete the same ids, each in its own order, all finish',
      async run(context) {
        const workers = await workersOf(context)
        const ids = newClaims(IDS).map(({ id }) => id)
        const grants = new Map<string, number[]>(ids.map((id) => [id, []]))
        const runs = workers.map((worker, at) => workUntilDone(worker, rotated(ids, at), grants))
        assert.equal(
          (await Promise.all(runs)).reduce((sum, count) => sum + count, 0),
          IDS,
          'one completion an id',
        )
        for (const [id, epochs] of grants) {
          const sorted = epochs.toSorted((a, b) => a - b)
          assert.deepEqual(
            sorted,
            sorted.map((_, index) => index + 1),
            'each grant has an epoch of its own',
          )
          assertRecord(await context.worker.inspect(id), { state: 'done', epoch: epochs.length })
        }
      },
    },
  ],
}

async function workersOf({ worker, another }: StoreContext): Promise<StoreWorker[]> {
  const others = await Promise.all(Array.from({ length: WORKERS - 1 }, () => another()))
  return [worker, ...others]
}

/** Each worker claims all ids, some one by one and some in batches, all in different orders. */
async function claimAtOnce(context: StoreContext, claims: readonly ClaimRequest[]): Promise<ClaimAnswer[][]> {
  const workers = await workersOf(context)
  const byId = new Map<string, ClaimAnswer[]>(claims.map(({ id }) => [id, []]))
  const runs = workers.map(async (worker, at) => {
    const requests = rotated(claims, at).map((claim) => rivalOf(claim))
    for (const batch of at % 2 === 0 ? halves(requests) : requests.map((request) => [request])) {
      const answers = await worker.store.claim(batch)
      assert.equal(answers.length, batch.length)
      for (const [index, answer] of answers.entries())
        byId.get((batch[index] as ClaimRequest).id)?.push(answer)
    }
  })
  await Promise.all(runs)
  return [...byId.values()]
}

function assertOneGrantEach(answersById: readonly (readonly ClaimAnswer[])[], epoch?: number): void {
  for (const answers of answersById) {
    const statuses = answers.map(({ status }) => status).toSorted()
    assert.deepEqual(statuses, [...Array.from({ length: WORKERS - 1 }, () => 'busy'), 'granted'])
    if (epoch === undefined) continue
    for (const answer of answers) assert.equal('epoch' in answer && answer.epoch, epoch)
  }
}

/** Claims what is not yet done, and completes or releases what it gets; answers how many it completed. */
async function workUntilDone(
  { store }: StoreWorker,
  ids: readonly string[],
  grants: ReadonlyMap<string, number[]>,
): Promise<number> {
  let open = ids
  let completed = 0
  for (let round = 0; open.length > 0; round += 1) {
    assert.ok(round < ROUNDS_MAX, `${open.length} ids are still busy after ${ROUNDS_MAX} rounds`)
    const requests = open.map((id) => newClaim({ id }))
    const answers = await store.claim(requests)
    const granted = requests.filter((_, at) => answers[at]?.status === 'granted')
    for (const [at, answer] of answers.entries()) {
      if (answer.status === 'granted') grants.get(open[at] as string)?.push(answer.epoch)
    }
    open = open.filter((_, at) => answers[at]?.status !== 'done')
    completed += await settle(store, granted, round)
  }
  return completed
}

/** Releases every second claim of the first rounds, and completes the others. */
async function settle(
  store: StoreWorker['store'],
  granted: readonly ClaimRequest[],
  round: number,
): Promise<number> {
  if (granted.length === 0) return 0
  const updates = granted.map(({ id, claimId, retentionMs }, at) =>
    round < 3 && at % 2 === 0
      ? ({ op: 'release', id, claimId, retentionMs, attempts: 1 } as const)
      : ({ op: 'complete', id, claimId, retentionMs, result: undefined } as const),
  )
  const answers = await store.update(updates)
  assert.ok(
    answers.length === updates.length && answers.every((answer) => answer === 'ok'),
    'a live claim was lost',
  )
  return updates.filter(({ op }) => op === 'complete').length
}

function rotated<T>(entries: readonly T[], by: number): T[] {
  const at = Math.floor((entries.length * by) / WORKERS)
  const turned = [...entries.slice(at), ...entries.slice(0, at)]
  return by % 2 === 0 ? turned : turned.toReversed()
}

function halves<T>(entries: readonly T[]): T[][] {
  const middle = Math.floor(entries.length / 2)
  return [entries.slice(0, middle), entries.slice(middle)]
}
