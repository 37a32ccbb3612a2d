import type { ClaimRequest } from '@oncemq/core/store'
import type { Store } from '@oncemq/core'
import { systemClock } from '@oncemq/core/store'
import { MongoStore } from '@oncemq/mongodb'
import { describeService } from '@oncemq/test-services/vitest'
import { beforeEach, describe, expect, test } from 'vitest'
import { databaseOn } from './database.ts'
import { claimOf, claimsOf, completionOf, newHex } from '@oncemq/test-stores'

const HOUR_MS = 3_600_000

// What a pipeline would compute if it stood there as it is.
const EXPRESSIONS = [
  '$$NOW',
  '$$ROOT',
  '$$REMOVE',
  '$$nothing',
  '$claimId',
  '$_id',
  '$',
  '$$',
  '$.',
  '$a.$b',
  '$ ',
]

describeService('mongodb-6', (server) => {
  const { collection } = databaseOn(server)
  let name: string
  let store: MongoStore

  beforeEach(async () => {
    name = newHex()
    store = new MongoStore({ collection: collection(name) })
    await store.open()
  })

  async function labelsOf(ids: readonly string[]): Promise<(string | undefined)[]> {
    return (await store.inspect(ids)).map((record) => record?.label)
  }

  async function remainingOf(id: string): Promise<number | undefined> {
    return (await store.inspect([id]))[0]?.leaseRemainingMs
  }

  test('a label that looks like an expression stays a text, for new and for old records', async () => {
    const claims = EXPRESSIONS.map((label) => claimOf({ label }))
    const ids = claims.map(({ id }) => id)
    await store.claim(claims)
    expect(await labelsOf(ids)).toEqual(EXPRESSIONS)
    await store.update(
      claims.map(({ id, claimId }) => ({ op: 'release', id, claimId, retentionMs: HOUR_MS, attempts: 1 })),
    )
    await store.claim(claims.map(({ id }, at) => claimOf({ id, label: EXPRESSIONS.at(-1 - at) })))
    expect(await labelsOf(ids)).toEqual(EXPRESSIONS.toReversed())
  })

  /** Another store on the same records, to whose commands something happens before; a find goes on. */
  async function interrupted(before: (command: object) => Promise<object | undefined>): Promise<MongoStore> {
    const { collectionName, db } = collection(name)
    const { databaseName, client } = db
    const command = async (document: object, options?: object): Promise<object> =>
      (await before(document)) ?? db.command(document, options)
    const find = (filter: object, options?: object) => {
      void before({ find: filter })
      return collection(name).find(filter, options)
    }
    const other = new MongoStore({
      collection: { collectionName, find, db: { databaseName, client, command } },
    })
    await other.open()
    return other
  }

  test('new keys are created at once, and known ones are looked at first where there were some', async () => {
    const commands: string[] = []
    const other = await interrupted(async (command) => {
      commands.push(...Object.keys(command).slice(0, 1))
      return undefined
    })
    const claimed = async (claims: readonly ClaimRequest[]): Promise<[string, string]> => {
      commands.length = 0
      const statuses = (await other.claim(claims)).map(({ status }) => status)
      return [statuses.join(' '), commands.join(' ')]
    }
    const [busy, done] = [claimOf(), claimOf()]
    await store.claim([busy, done])
    await store.update([completionOf(done)])
    const known = () => [busy, done].map(({ id }) => claimOf({ id }))
    expect(await claimed(claimsOf(2))).toEqual(['granted granted', 'aggregate'])
    expect(await claimed([claimOf(), ...known()])).toEqual(['granted busy done', 'aggregate find'])
    expect(await claimed(known())).toEqual(['busy done', 'find'])
    expect(await claimed([claimOf()])).toEqual(['granted', 'aggregate'])
    expect(await claimed([...known(), claimOf()])).toEqual(['busy done granted', 'find aggregate'])
    expect(await claimed(claimsOf(2))).toEqual(['granted granted', 'find aggregate'])
    expect(await claimed(claimsOf(2))).toEqual(['granted granted', 'aggregate'])
  })

  test('a claim whose answer was lost has its lease renewed, also among new ones', async () => {
    const claim = claimOf({ leaseMs: 5000 })
    await store.claim([claim])
    await expect.poll(async () => remainingOf(claim.id)).toBeLessThan(4500)
    expect(await store.claim([claimOf(), claim])).toEqual([
      { status: 'granted', epoch: 1, attempt: 1 },
      { status: 'granted', epoch: 1, attempt: 1 },
    ])
    expect(await remainingOf(claim.id)).toBeGreaterThan(4500)
  })

  test("an upsert that fails as a rival's came first finds the rival's record", async () => {
    const [claim, rival] = [claimOf(), claimOf()]
    await store.claim([{ ...claim, leaseMs: 1 }])
    let meets = true
    const other = await interrupted(async (document) => {
      if (!('update' in document) || !meets) return undefined
      meets = false
      await store.claim([{ ...rival, id: claim.id }])
      return { ok: 1, n: 0, writeErrors: [{ index: 0, code: 11_000, errmsg: 'E11000 duplicate key' }] }
    })
    await expect.poll(async () => remainingOf(claim.id)).toBeLessThan(0)
    expect((await other.claim([claimOf({ id: claim.id })]))[0]).toMatchObject({ status: 'busy', epoch: 2 })
    expect(meets).toBe(false)
  })

  test('an id is 16 bytes, whatever the client makes of bytes and numbers', async () => {
    const odd = { promoteBuffers: false, promoteValues: false, useBigInt64: true, ignoreUndefined: true }
    const { db, collectionName } = collection(name)
    const other = new MongoStore({ collection: db.collection(collectionName, odd) })
    await other.open()
    const [first] = claimsOf(1, { fingerprint: newHex(), label: 'billing' })
    if (first === undefined) throw new Error('no claim')
    expect(await other.claim([first])).toEqual([{ status: 'granted', epoch: 1, attempt: 1 }])
    expect(await other.update([{ ...completionOf(first), result: Buffer.from('receipt') }])).toEqual(['ok'])
    const done = { status: 'done', fingerprint: first.fingerprint, result: Buffer.from('receipt') }
    expect(await other.claim([claimOf({ id: first.id })])).toEqual([done])
    const stored = await collection(name).findOne({ _id: Buffer.from(first.id, 'hex') as never })
    expect(stored).toMatchObject({ state: 2, epoch: 1 })
  })

  test('results that do not fit into one command go in several', async () => {
    const claims = claimsOf(20)
    await store.claim(claims)
    const result = Buffer.alloc(1_048_576, 7)
    const answers = await store.update(claims.map((claim) => ({ ...completionOf(claim), result })))
    expect(answers).toEqual(claims.map(() => 'ok'))
    const found = await store.claim(claims.map(({ id }) => claimOf({ id })))
    expect(found.every((answer) => answer.status === 'done' && answer.result?.length === result.length)).toBe(
      true,
    )
  })

  test('a result that is too large for a record is refused, and its neighbours are not lost', async () => {
    const [large, small] = [claimOf(), claimOf()]
    await store.claim([large, small])
    const failure = store.update([{ ...completionOf(large), result: Buffer.alloc(17_000_000) }])
    await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED', retryable: false })
    expect(await store.update([completionOf(small)])).toEqual(['ok'])
    expect(await store.update([completionOf(large)])).toEqual(['ok'])
  })

  test("a collection's validator is an error that repeats nothing", async () => {
    await collection(name).db.command({ collMod: name, validator: { cents: { $exists: true } } })
    const failure = store.claim([claimOf({ label: 'private' })])
    await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED' })
    await expect(failure).rejects.not.toThrow(/private/)
  })

  describe('clients whose clocks are hours apart', () => {
    const ahead = (ms: number) => ({ ...systemClock, nowMs: () => systemClock.nowMs() + ms })

    test('agree on leases and retention, which the server alone decides', async () => {
      const [late, early]: Store[] = [-10 * HOUR_MS, 10 * HOUR_MS].map(
        (ms) => new MongoStore({ collection: collection(name), clock: ahead(ms) }),
      )
      if (late === undefined || early === undefined) throw new Error('no stores')
      await Promise.all([late.open(), early.open()])
      const [held, done] = [claimOf(), claimOf()]
      await late.claim([held, done])
      await late.update([completionOf(done)])
      const rivals = [claimOf({ id: held.id }), claimOf({ id: done.id })]
      expect((await early.claim(rivals)).map(({ status }) => status)).toEqual(['busy', 'done'])
      const short = claimOf({ leaseMs: 1 })
      await early.claim([short])
      await expect
        .poll(async () => (await late.claim([claimOf({ id: short.id })]))[0])
        .toEqual({ status: 'granted', epoch: 2, attempt: 2 })
    })
  })
})
