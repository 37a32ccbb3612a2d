import { DatabaseSync } from 'node:sqlite'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ClaimRequest } from '@oncemq/core/store'
import { SqliteStore } from '@oncemq/sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { effects, fileOf } from './folder.ts'
import { claimOf, completionOf, newHex } from '@oncemq/test-stores'

let name: string
let store: SqliteStore

beforeEach(async () => {
  name = newHex()
  await effects.prepare?.(name)
  store = new SqliteStore({ path: fileOf(name) })
  await store.open()
})

afterEach(() => store.close())

async function granted(given: Partial<ClaimRequest> = {}): Promise<ClaimRequest> {
  const claim = claimOf(given)
  await store.claim([claim])
  return claim
}

const manyTurns = async () => {
  for (let turn = 0; turn < 50; turn += 1) await nextTurn()
}

describe('a handler that ends the transaction itself', () => {
  const statements = ['COMMIT', 'ROLLBACK', 'COMMIT; BEGIN', 'ROLLBACK; BEGIN IMMEDIATE']
  test.each(statements)('%s is refused, and the message is not done', async (sql) => {
    const claim = await granted()
    const outcome = store.transaction(async (tx) => {
      tx.exec(sql)
      await effects.write(tx, name, claim.id)
      return completionOf(claim)
    })
    await expect(outcome).rejects.toMatchObject({
      code: 'ONCEMQ_TRANSACTION_ENDED',
      retryable: false,
      message: expect.stringContaining('SAVEPOINT') as string,
    })
    expect((await store.inspect([claim.id]))[0]?.state).toBe('running')
    expect(await store.update([completionOf(claim)])).toEqual(['ok'])
  })

  test.each(statements)('%s is told also when it throws afterwards: it must not run again', async (sql) => {
    const claim = await granted()
    const thrown = new Error('the handler failed')
    const outcome = store.transaction(async (tx) => {
      tx.exec(sql)
      throw thrown
    })
    await expect(outcome).rejects.toMatchObject({ code: 'ONCEMQ_TRANSACTION_ENDED', cause: thrown })
    expect(await store.update([completionOf(claim)])).toEqual(['ok'])
  })

  test('savepoints of its own are its own business', async () => {
    const claim = await granted()
    const answer = await store.transaction(async (tx) => {
      tx.exec('SAVEPOINT mine')
      await effects.write(tx, name, 'undone')
      tx.exec('ROLLBACK TO mine; RELEASE mine')
      await effects.write(tx, name, 'kept')
      return completionOf(claim)
    })
    expect(answer).toBe('ok')
    expect([await effects.count(name, 'undone'), await effects.count(name, 'kept')]).toEqual([0, 1])
  })

  test('a deferred constraint that fails at the commit takes all back', async () => {
    const claim = await granted()
    const outcome = store.transaction(async (tx) => {
      tx.exec(`CREATE TABLE parents (id INTEGER PRIMARY KEY);
        CREATE TABLE orphans (parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
        INSERT INTO orphans VALUES (1)`)
      return completionOf(claim)
    })
    await expect(outcome).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED' })
    expect((await store.inspect([claim.id]))[0]?.state).toBe('running')
    expect((await store.claim([claimOf()]))[0]?.status).toBe('granted')
  })
})

describe('turns', () => {
  test('handlers run one after the other, and short writes pass between them', async () => {
    const claims = [await granted(), await granted(), await granted()]
    const events: string[] = []
    const renewal = claims.map(({ id, claimId, leaseMs, retentionMs }) => {
      return { op: 'renew', id, claimId, leaseMs, retentionMs } as const
    })
    const handlers = claims.map((claim, number) =>
      store.transaction(async (tx) => {
        events.push(`start ${number}`)
        if (number === 0) void store.update(renewal).then(() => events.push('renewed'))
        await manyTurns()
        await effects.write(tx, name, 'handled')
        events.push(`end ${number}`)
        return completionOf(claim)
      }),
    )
    expect(await Promise.all(handlers)).toEqual(['ok', 'ok', 'ok'])
    expect(events).toEqual(['start 0', 'end 0', 'renewed', 'start 1', 'end 1', 'start 2', 'end 2'])
    expect(await effects.count(name, 'handled')).toBe(3)
  })

  test('a claim by another store of this process waits for an open handler without stopping it', async () => {
    const other = new SqliteStore({ path: fileOf(name) })
    await other.open()
    const claim = await granted()
    const waiting = claimOf()
    const order: string[] = []
    let claimed: Promise<unknown> | undefined
    const answer = await store.transaction(async () => {
      claimed = other.claim([waiting]).then(() => order.push('claimed'))
      await manyTurns()
      order.push('handled')
      return completionOf(claim)
    })
    await claimed
    expect([answer, ...order]).toEqual(['ok', 'handled', 'claimed'])
    await other.close()
  })

  test('a handler that waits for its own store gets an error instead of waiting for ever', async () => {
    const impatient = new SqliteStore({ path: fileOf(name), busyTimeoutMs: 50 })
    await impatient.open()
    const claim = await granted()
    const answer = await impatient.transaction(async () => {
      await expect(impatient.claim([claimOf()])).rejects.toMatchObject({
        code: 'ONCEMQ_STORE_BUSY',
        retryable: true,
        message: expect.stringContaining('handler of this process') as string,
      })
      return completionOf(claim)
    })
    expect(answer).toBe('ok')
    await impatient.close()
  })

  test('a close that overtakes open() leaves it closed, and open() works again', async () => {
    const hasty = new SqliteStore({ path: fileOf(name) })
    const opening = hasty.open()
    await hasty.close()
    await opening
    await expect(hasty.claim([claimOf()])).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
    await hasty.open()
    expect((await hasty.claim([claimOf()]))[0]?.status).toBe('granted')
    await hasty.close()
  })

  test('close waits for an open handler', async () => {
    const claim = await granted()
    const answer = store.transaction(async () => {
      await manyTurns()
      return completionOf(claim)
    })
    await manyTurns()
    await store.close()
    expect(await answer).toBe('ok')
    await expect(store.claim([claim])).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
  })
})

describe('an injected connection', () => {
  let database: DatabaseSync
  let injected: SqliteStore

  beforeEach(async () => {
    database = new DatabaseSync(fileOf(name), { timeout: 10_000 })
    injected = new SqliteStore({ database, busyTimeoutMs: 50 })
    await injected.open()
  })

  afterEach(() => database.close())

  test('is the one that the handler gets, and stays open after close', async () => {
    const claim = await granted()
    const answer = await injected.transaction(async (tx) => {
      expect(tx).toBeInstanceOf(DatabaseSync)
      expect([tx.isTransaction, tx.location()]).toEqual([true, database.location()])
      await effects.write(tx, name, 'mine')
      return completionOf(claim)
    })
    await injected.close()
    expect([answer, database.isOpen, await effects.count(name, 'mine')]).toEqual(['ok', true, 1])
  })

  test('keeps its own timeout, but does not wait in it with the event loop at rest', async () => {
    const patient = new SqliteStore({ database })
    await patient.open()
    const claim = await granted()
    let claimed: Promise<unknown> | undefined
    const answer = await store.transaction(async () => {
      claimed = patient.claim([claimOf()])
      await manyTurns()
      return completionOf(claim)
    })
    expect([answer, await claimed]).toMatchObject(['ok', [{ status: 'granted' }]])
    expect(database.prepare('PRAGMA busy_timeout').get()).toEqual({ timeout: 10_000 })
  })

  test("its owner's open transaction is neither used nor rolled back", async () => {
    database.exec('BEGIN')
    await effects.write(database, name, 'of the owner')
    const failure = {
      code: 'ONCEMQ_STORE_UNAVAILABLE',
      message: expect.stringContaining('injected') as string,
    }
    await expect(injected.claim([claimOf()])).rejects.toMatchObject(failure)
    await expect(injected.transaction(async () => completionOf(claimOf()))).rejects.toMatchObject(failure)
    await expect(new SqliteStore({ database, table: 'new', busyTimeoutMs: 50 }).open()).rejects.toMatchObject(
      failure,
    )
    database.exec('COMMIT')
    expect(await effects.count(name, 'of the owner')).toBe(1)
    expect((await injected.claim([claimOf()]))[0]?.status).toBe('granted')
  })
})
