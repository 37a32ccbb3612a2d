import type { ClaimRequest } from '@oncemq/core/store'
import { MongoStore } from '@oncemq/mongodb'
import { describeService } from '@oncemq/test-services/vitest'
import { claimOf, completionOf, newHex } from '@oncemq/test-stores'
import type { ClientSession } from 'mongodb'
import { MongoServerError } from 'mongodb'
import { beforeEach, describe, expect, test } from 'vitest'
import { databaseOn } from './database.ts'

const failing = { own: true, args: ['--setParameter', 'enableTestCommands=1'] }

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

  async function granted(): Promise<ClaimRequest> {
    const claim = claimOf()
    await store.claim([claim])
    return claim
  }

  describe('after its handler a session', () => {
    test.each(['answered', 'failed'])(
      'that %s is of no use, neither to the driver nor by itself',
      async (how) => {
        const claim = await granted()
        const ended: unknown = expect.objectContaining({ code: 'ONCEMQ_TRANSACTION_ENDED' })
        const misuse = async (tx: ClientSession): Promise<void> => {
          const late = effects.write(tx, name, 'late')
          await expect(late).rejects.toMatchObject({ name: 'MongoExpiredSessionError' })
          expect(() => tx.commitTransaction()).toThrow(ended)
          expect(() => tx.abortTransaction()).toThrow(ended)
          expect(() => tx.startTransaction()).toThrow(ended)
        }
        const misused: Promise<void>[] = []
        const running = store.transaction(async (tx) => {
          await effects.write(tx, name, 'in time')
          // While the store completes or rolls back, and when all is over.
          setImmediate(() =>
            misused.push(
              misuse(tx),
              running.catch(() => undefined).then(() => misuse(tx)),
            ),
          )
          return how === 'failed' ? Promise.reject(new Error('the handler failed')) : completionOf(claim)
        })
        await running.catch(() => undefined)
        expect(misused).toHaveLength(2)
        await Promise.all(misused)
        expect(await effects.count(name, 'late')).toBe(0)
        expect(await effects.count(name, 'in time')).toBe(how === 'failed' ? 0 : 1)
      },
    )
  })

  describe('what a handler begins and does not await', () => {
    test('is a part of its transaction', async () => {
      for (let count = 0; count < 20; count += 1) {
        const claim = await granted()
        const writes: Promise<unknown>[] = []
        const answer = await store.transaction(async (tx) => {
          if (count % 2 === 0) await effects.write(tx, name, claim.id)
          writes.push(effects.write(tx, name, claim.id))
          return completionOf(claim)
        })
        expect(answer).toBe('ok')
        await Promise.all(writes)
        expect(await effects.count(name, claim.id)).toBe(count % 2 === 0 ? 2 : 1)
      }
    })

    test('rolls all back if it fails', async () => {
      const claim = await granted()
      const rows = client.db().collection(name)
      let failure: Promise<unknown> | undefined
      const running = store.transaction(async (session) => {
        await effects.write(session, name, claim.id)
        const failing = rows.updateOne({}, { $unknown: 1 } as never, { session })
        failure = failing.catch((error: unknown) => error)
        return completionOf(claim)
      })
      await expect(running).rejects.toMatchObject({ retryable: true })
      await expect(failure).resolves.toMatchObject({ code: 9 })
      expect(await effects.count(name, claim.id)).toBe(0)
    })

    test('is its failure if it takes too long, and no outage', async () => {
      const claim = await granted()
      const impatient = new MongoStore({ collection: collection(name), timeoutMs: 300 })
      await impatient.open()
      let answered: Promise<unknown> | undefined
      const running = impatient.transaction(async (session) => {
        await effects.write(session, name, claim.id)
        const slow = collection(name).findOne({ $where: 'sleep(3000) || true' }, { session })
        answered = slow.catch(() => undefined)
        return completionOf(claim)
      })
      await expect(running).rejects.toMatchObject({ code: 'ONCEMQ_HANDLER_TIMEOUT', retryable: false })
      await answered
      expect(await effects.count(name, claim.id)).toBe(0)
      await impatient.close()
    })
  })

  describe('an error inside of a handler', () => {
    test("that is a lost connection is the store's, wrapped or not", async () => {
      const claim = await granted()
      const running = store.transaction(async (tx) => {
        await client.db('admin').command({
          configureFailPoint: 'failCommand',
          mode: { times: 1 },
          data: { failCommands: ['insert'], closeConnection: true },
        })
        try {
          await effects.write(tx, name, claim.id)
        } catch (cause) {
          throw new Error('the order was not written', { cause })
        }
        return completionOf(claim)
      })
      await expect(running).rejects.toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE', retryable: true })
      expect(await effects.count(name, claim.id)).toBe(0)
    })

    test("that a handler makes of the driver's class without its label is the handler's", async () => {
      await granted()
      const thrown = new MongoServerError({ message: 'duplicate key', code: 11_000 })
      await expect(store.transaction(() => Promise.reject(thrown))).rejects.toBe(thrown)
    })
  })
})
