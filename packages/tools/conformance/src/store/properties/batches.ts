import assert from 'node:assert/strict'
import type { ClaimRequest, ClaimUpdate, StoredRecord } from '@oncemq/core/store'
import type { Store } from '@oncemq/core'
import { assertBusy, assertDone, assertGranted, assertRecord } from '../answers.ts'
import type { StoreProperty } from '../property.ts'
import { newClaim, newClaims, newHex, rivalOf } from '../requests.ts'
import { LONG_MS, type StoreWorker } from '../worker.ts'

type Difference = (owner: { id: string; claimId: string }, number: number) => ClaimUpdate

/** Updates that depend on the number in one thing. */
const differing: readonly Difference[] = [
  (owner, number) => ({ op: 'renew', ...owner, leaseMs: number * LONG_MS, retentionMs: LONG_MS }),
  (owner, number) => ({ op: 'renew', ...owner, leaseMs: LONG_MS, retentionMs: number * LONG_MS }),
  (owner, number) => ({ op: 'complete', ...owner, retentionMs: number * LONG_MS, result: undefined }),
  (owner, number) => ({ op: 'complete', ...owner, retentionMs: LONG_MS, result: Buffer.from(`${number}`) }),
  (owner, number) => ({ op: 'release', ...owner, retentionMs: number * LONG_MS, attempts: 1 }),
  (owner, number) => ({ op: 'release', ...owner, retentionMs: LONG_MS, attempts: number }),
]

export const batches: StoreProperty = {
  name: 'batches',
  cases: [
    {
      name: 'answers of claims stand at their entries, in whatever order these come',
      async run({ worker }) {
        const mixed = await mixedRecords(worker)
        for (const order of [
          (a: Entry, b: Entry) => compare(a.id, b.id),
          (a: Entry, b: Entry) => compare(b.id, a.id),
        ]) {
          const requests = mixed.map(({ request, id }) => ({ id, request })).toSorted(order)
          const answers = await worker.store.claim(requests.map(({ request }) => request))
          assert.equal(answers.length, requests.length)
          for (const [at, { id }] of requests.entries())
            mixed.find((entry) => entry.id === id)?.check(answers[at])
        }
      },
    },
    {
      name: 'answers of updates stand at their entries, and each kind does its own',
      async run({ worker }) {
        const claims = newClaims(9)
        await worker.store.claim(claims)
        const updates = claims.map((claim, at) => updateOf(claim, at))
        const answers = await worker.store.update(updates)
        assert.deepEqual(
          [...answers],
          claims.map((_, at) => (at % 3 === 2 ? 'lost' : 'ok')),
        )
        const expected = [
          'running',
          'running',
          'running',
          'done',
          'done',
          'running',
          'free',
          'free',
          'running',
        ]
        const records = await worker.store.inspect(claims.map(({ id }) => id))
        assert.deepEqual(
          records.map((record) => record?.state),
          expected,
        )
      },
    },
    {
      name: 'updates of one batch keep their own results, retentions and attempts',
      async run({ worker: { store } }) {
        const claims = newClaims(6)
        await store.claim(claims)
        await store.update(
          claims.map(({ id, claimId }, at): ClaimUpdate => {
            if (at % 2 === 0) return { op: 'release', id, claimId, retentionMs: LONG_MS, attempts: at }
            const result = at === 3 ? undefined : Buffer.from(`result ${at}`)
            return { op: 'complete', id, claimId, retentionMs: (at + 1) * LONG_MS, result }
          }),
        )
        for (const [at, record] of (await store.inspect(claims.map(({ id }) => id))).entries()) {
          if (at % 2 === 0) assertRecord(record, { state: 'free', attempts: at, result: undefined })
          else
            assertRecord(record, {
              state: 'done',
              result: at === 3 ? undefined : Buffer.from(`result ${at}`),
            })
          assertRemaining(record?.expiresInMs, at % 2 === 0 ? LONG_MS : (at + 1) * LONG_MS)
        }
      },
    },
    {
      name: 'updates of one batch that differ in one thing alone keep it',
      async run({ worker: { store } }) {
        for (const changeOf of differing) {
          const claims = newClaims(3)
          await store.claim(claims)
          const updates = claims.map(({ id, claimId }, at) => changeOf({ id, claimId }, at + 1))
          assert.deepEqual([...(await store.update(updates))], ['ok', 'ok', 'ok'])
          const records = await store.inspect(claims.map(({ id }) => id))
          for (const [at, update] of updates.entries()) assertUpdated(records[at], update)
        }
      },
    },
    {
      name: 'claims of one batch keep their own lease, fingerprint and label',
      async run({ worker: { store } }) {
        const claims = newClaims(8).map((claim, at) => ({
          ...claim,
          leaseMs: (at + 1) * LONG_MS,
          fingerprint: at % 2 === 0 ? newHex() : undefined,
          label: at % 3 === 0 ? `label ${at}` : undefined,
        }))
        await store.claim(claims)
        for (const [at, record] of (await store.inspect(claims.map(({ id }) => id))).entries()) {
          const { fingerprint, label, leaseMs } = claims[at] as ClaimRequest
          assertRecord(record, { fingerprint, label })
          assertRemaining(record?.leaseRemainingMs, leaseMs)
        }
      },
    },
    {
      name: 'a full batch of batchMax is claimed, completed, inspected and forgotten',
      async run({ worker: { store } }) {
        const claims = newClaims(store.batching.batchMax)
        const all = claims.map(({ id }) => id)
        for (const answer of await store.claim(claims)) assertGranted(answer, 1, 1)
        const answers = await store.update(claims.map((claim) => completion(claim, claim.id)))
        assert.ok(answers.length === claims.length && answers.every((answer) => answer === 'ok'))
        for (const [at, answer] of (await store.claim(claims.map((claim) => rivalOf(claim)))).entries()) {
          assertDone(answer, { result: Buffer.from(all[at] as string) })
        }
        const records = await store.inspect(all)
        assert.ok(records.length === all.length && records.every((record) => record?.state === 'done'))
        await store.forget(all)
        assert.ok((await store.inspect(all)).every((record) => record === undefined))
      },
    },
    {
      name: 'inspect answers by position, also for ids without a record',
      async run({ worker }) {
        const [first, second] = [newClaim({ label: 'first' }), newClaim({ label: 'second' })]
        await worker.claim(first)
        await worker.claim(second)
        const asked = [newHex(), second.id, newHex(), first.id, newHex()]
        const records = await worker.store.inspect(asked)
        assert.deepEqual(
          records.map((record) => record?.label),
          [undefined, 'second', undefined, 'first', undefined],
        )
        assert.deepEqual(
          [records.length, records[0], records[2], records[4]],
          [5, undefined, undefined, undefined],
        )
      },
    },
    {
      name: 'calls may overlap on one handle',
      async run({ worker: { store } }) {
        const rounds = Array.from({ length: 20 }, () => newClaims(10))
        await Promise.all(rounds.map((claims) => claimAndComplete(store, claims)))
      },
    },
  ],
}

interface Entry {
  readonly id: string
}

interface MixedEntry extends Entry {
  readonly request: ClaimRequest
  readonly check: (answer: Awaited<ReturnType<Store['claim']>>[number] | undefined) => void
}

/** Records in every state, with requests that may be repeated and the answer that each must get. */
async function mixedRecords(worker: StoreWorker): Promise<MixedEntry[]> {
  const entries: MixedEntry[] = []
  for (let round = 0; round < 5; round += 1) {
    const [running, done, free, own, fresh] = newClaims(5) as [
      ClaimRequest,
      ClaimRequest,
      ClaimRequest,
      ClaimRequest,
      ClaimRequest,
    ]
    const result = Buffer.from(`result ${round}`)
    await worker.store.claim([running, done, free, own])
    await worker.complete(done, { result })
    await worker.release(free, round)
    entries.push(
      { id: running.id, request: rivalOf(running), check: (answer) => assertBusy(answer, 1, LONG_MS) },
      { id: done.id, request: rivalOf(done), check: (answer) => assertDone(answer, { result }) },
      { id: free.id, request: rivalOf(free), check: (answer) => assertGranted(answer, 2, round + 1) },
      { id: own.id, request: own, check: (answer) => assertGranted(answer, 1, 1) },
      { id: fresh.id, request: fresh, check: (answer) => assertGranted(answer, 1, 1) },
    )
  }
  return entries
}

/** Whether the record is as the update leaves it. */
function assertUpdated(record: StoredRecord | undefined, update: ClaimUpdate): void {
  const leaseMs = update.op === 'renew' ? update.leaseMs : 0
  assertRecord(record, {
    result: update.op === 'complete' ? update.result : undefined,
    ...(update.op === 'release' ? { attempts: update.attempts } : {}),
  })
  assertRemaining(record?.leaseRemainingMs, leaseMs)
  assertRemaining(record?.expiresInMs, leaseMs + update.retentionMs)
}

function assertRemaining(ms: number | undefined, ofMs: number): void {
  assert.ok(ms !== undefined && ms <= ofMs && ms > ofMs - LONG_MS / 2, `${ms} of ${ofMs} ms remain`)
}

/** In threes: renew, complete, release; the third of each by a foreign claim. */
function updateOf(claim: ClaimRequest, at: number): ClaimUpdate {
  const { id } = claim
  const claimId = at % 3 === 2 ? newHex() : claim.claimId
  if (at < 3) return { op: 'renew', id, claimId, leaseMs: LONG_MS, retentionMs: LONG_MS }
  if (at < 6) return { op: 'complete', id, claimId, retentionMs: LONG_MS, result: undefined }
  return { op: 'release', id, claimId, retentionMs: LONG_MS, attempts: 1 }
}

async function claimAndComplete(store: Store, claims: readonly ClaimRequest[]): Promise<void> {
  for (const answer of await store.claim(claims)) assertGranted(answer, 1, 1)
  const answers = await store.update(claims.map((claim) => completion(claim, claim.id)))
  assert.ok(answers.every((answer) => answer === 'ok'))
}

function completion({ id, claimId }: ClaimRequest, result: string): ClaimUpdate {
  return { op: 'complete', id, claimId, retentionMs: LONG_MS, result: Buffer.from(result) }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : 1
}
