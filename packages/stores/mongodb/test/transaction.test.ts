import type { ClaimRequest } from '@oncemq/core/store'
import { createDeduplicator } from '@oncemq/core'
import { MongoStore } from '@oncemq/mongodb'
import { describeService } from '@oncemq/test-services/vitest'
import type { ClientSession } from 'mongodb'
import { beforeEach, describe, expect, test } from 'vitest'
import { databaseOn } from './database.ts'
import { claimOf, completionOf, newHex } from '@oncemq/test-stores'

// A command of the server can be made to fail, and a transaction that was left open soon ends.
const parameters = ['enableTestCommands=1', 'transactionLifetimeLimitSeconds=2']
const failing = { own: true, args: parameters.flatMap((parameter) => ['--setParameter', parameter]) }

describeService('mongodb-6', failing, (server) => {
  const { client, collection, effects } = databaseOn(server)
  let name: string
  let store: MongoStore<ClientSession>

  beforeEach(async () => {
    name = `t_${newHex()}`
    await effects.prepare?.(name)
    store = new MongoStore({ collection: collection(name) })
    await store.open()
  })

  async function granted(given: Partial<ClaimRequest> = {}): Promise<ClaimRequest> {
    const claim = claimOf(given)
    await store.claim([claim])
    return claim
  }

  async function stateOf({ id }: ClaimRequest): Promise<string | undefined> {
    return (await store.inspect([id]))[0]?.state
  }

  async function isOverdue({ id }: ClaimRequest): Promise<boolean> {
    return ((await store.inspect([id]))[0]?.leaseRemainingMs ?? 1) <= 0
  }

  const writing = (claim: ClaimRequest) => async (tx: ClientSession) => {
    await effects.write(tx, name, claim.id)
    return completionOf(claim)
  }

  /** Makes the next so many of this command fail, as the server's own tests do. */
  async function fail(command: string, times: number, how: object): Promise<void> {
    await client.db('admin').command({
      configureFailPoint: 'failCommand',
      mode: { times },
      data: { failCommands: [command], ...how },
    })
  }

  async function failNothing(): Promise<void> {
    await client.db('admin').command({ configureFailPoint: 'failCommand', mode: 'off' })
  }

  describe('a handler that ends the transaction itself', () => {
    const ends: Readonly<Record<string, (tx: ClientSession) => Promise<unknown>>> = {
      commit: (tx) => tx.commitTransaction(),
      abort: (tx) => tx.abortTransaction(),
      'commit and begin': async (tx) => {
        await tx.commitTransaction()
        tx.startTransaction()
      },
    }
    test.each(Object.entries(ends))('%s is refused, and the message is not done', async (_what, end) => {
      const claim = await granted()
      const outcome = store.transaction(async (tx) => {
        await effects.write(tx, name, 'before')
        await end(tx)
        return completionOf(claim)
      })
      await expect(outcome).rejects.toMatchObject({ code: 'ONCEMQ_TRANSACTION_ENDED', retryable: false })
      await expect(outcome).rejects.toThrow(/leave commitTransaction and abortTransaction to the store/)
      expect(await stateOf(claim)).toBe('running')
    })
  })

  describe('conflicts', () => {
    test('of two handlers that write one document one is to be run again, error wrapped or not', async () => {
      const claims = [await granted(), await granted()]
      const accounts = collection(`${name}_accounts`)
      await accounts.insertOne({ _id: 'alice' as never, cents: 100 })
      const both = Promise.withResolvers<void>()
      let arrived = 0
      const outcomes = await Promise.allSettled(
        claims.map((claim) =>
          store.transaction(async (session) => {
            await accounts.findOne({}, { session })
            arrived += 1
            if (arrived === 2) both.resolve()
            await both.promise
            try {
              await accounts.updateOne({}, { $inc: { cents: -10 } }, { session })
            } catch (cause) {
              throw new Error('the transfer failed', { cause })
            }
            return completionOf(claim)
          }),
        ),
      )
      const failures = outcomes.filter((outcome) => outcome.status === 'rejected')
      expect(failures.map(({ reason }) => reason as unknown)).toMatchObject([
        { code: 'ONCEMQ_TRANSACTION_CONFLICT', retryable: true },
      ])
      expect(await accounts.findOne()).toMatchObject({ cents: 90 })
    })

    test('a renewal meanwhile is a conflict, as the store states; the next run commits', async () => {
      const claim = await granted()
      const { id, claimId } = claim
      const outcome = store.transaction(async (tx) => {
        await effects.write(tx, name, claim.id)
        await store.update([{ op: 'renew', id, claimId, leaseMs: 60_000, retentionMs: 600_000 }])
        return completionOf(claim)
      })
      await expect(outcome).rejects.toMatchObject({ code: 'ONCEMQ_TRANSACTION_CONFLICT' })
      expect(store.guarantees.renewsInTransaction).toBe(false)
      expect(await store.transaction(writing(claim))).toBe('ok')
      expect(await effects.count(name, claim.id)).toBe(1)
    })

    test('through the deduplicator concurrent transfers add up, each done once', async () => {
      const accounts = collection(`${name}_accounts`)
      await accounts.insertOne({ _id: 'alice' as never, cents: 1000 })
      const dedup = createDeduplicator({ store, consumerGroup: 'ledger', strategy: 'transactional' })
      const transfer = (number: number) =>
        dedup.run(`transfer-${number % 10}`, async ({ tx: session }) => {
          await accounts.updateOne({}, { $inc: { cents: -10 } }, { session })
        })
      const outcomes = await Promise.all(Array.from({ length: 20 }, (_, number) => transfer(number)))
      expect(outcomes.filter(({ status }) => status === 'completed')).toHaveLength(10)
      expect(await accounts.findOne()).toMatchObject({ cents: 900 })
      await dedup.close()
    })
  })

  describe('a commit whose answer is lost', () => {
    const unknown = { code: 'ONCEMQ_COMMIT_UNKNOWN', retryable: true }

    test('is asked for again, and goes through', async () => {
      const claim = await granted()
      await fail('commitTransaction', 2, { closeConnection: true })
      expect(await store.transaction(writing(claim))).toBe('ok')
      expect(await effects.count(name, claim.id)).toBe(1)
    })

    test('is unknown when it stays lost; run again, it has one effect', async () => {
      const impatient = new MongoStore({ collection: collection(name), timeoutMs: 200 })
      await impatient.open()
      const claim = await granted()
      await fail('commitTransaction', 10_000, { closeConnection: true })
      await expect(impatient.transaction(writing(claim))).rejects.toMatchObject(unknown)
      await failNothing()
      // The transaction is open on the server, and a conflict until that ends it.
      const again = () => store.transaction(writing(claim)).catch(({ code }: { code: string }) => code)
      await expect.poll(again, { timeout: 20_000 }).toBe('ok')
      expect(await effects.count(name, claim.id)).toBe(1)
      expect(await stateOf(claim)).toBe('done')
    })

    test('is unknown when it was committed; run again, it has one effect', async () => {
      const impatient = new MongoStore({ collection: collection(name), timeoutMs: 200 })
      await impatient.open()
      const claim = await granted()
      // The server commits, and then says that it does not know whether a majority has it.
      await fail('commitTransaction', 10_000, { writeConcernError: { code: 64, errmsg: 'timed out' } })
      await expect(impatient.transaction(writing(claim))).rejects.toMatchObject(unknown)
      await failNothing()
      expect(await store.transaction(writing(claim))).toBe('ok')
      expect(await effects.count(name, claim.id)).toBe(1)
    })
  })

  test('a record that an abandoned transaction holds is busy, and its neighbours are granted', async () => {
    const impatient = new MongoStore({ collection: collection(name), timeoutMs: 400 })
    await impatient.open()
    const held = await granted({ leaseMs: 1 })
    const free = await granted({ leaseMs: 1 })
    const session = client.startSession()
    session.startTransaction()
    const abandoned = { _id: Buffer.from(held.id, 'hex') as never }
    await collection(name).updateOne(abandoned, { $set: { state: 2 } }, { session })
    const rivals = [claimOf({ id: held.id }), claimOf({ id: free.id }), claimOf()]
    await expect.poll(() => isOverdue(free)).toBe(true)
    expect((await impatient.claim(rivals)).map(({ status }) => status)).toContain('busy')
    await expect
      .poll(async () => (await store.claim(rivals.slice(1))).map(({ status }) => status))
      .toEqual(['granted', 'granted'])
    await session.abortTransaction()
    await expect
      .poll(async () => (await store.claim(rivals))[0])
      .toMatchObject({ status: 'granted', epoch: 2 })
    await session.endSession()
  })

  test('close waits for an open handler', async () => {
    const own = new MongoStore<ClientSession>({ url: server.url, database: 'oncemq_test', collection: name })
    await own.open()
    const claim = await granted()
    const closed = Promise.withResolvers<void>()
    const answer = own.transaction(async (tx) => {
      void own.close().then(closed.resolve)
      await effects.count(name, claim.id)
      return tx.inTransaction() ? completionOf(claim) : Promise.reject(new Error('ended'))
    })
    expect(await answer).toBe('ok')
    await closed.promise
    await expect(own.claim([claim])).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
  })
})
