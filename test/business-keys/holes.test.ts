// Each hole that docs/which-way.md names, shown: what a way does not protect from happens here.
import { DatabaseSync } from 'node:sqlite'
import type { Deduplicator, ProcessOutcome, StateMachineOptions, Strategy } from '@oncemq/core'
import { createDeduplicator, eventId, MemoryStore, naturalKey, stateMachine } from '@oncemq/core'
import { duplicateKeyOf as ofSqlite, SqliteStore } from '@oncemq/sqlite'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { sqliteShop } from './shop.ts'
import { PARCELS, sqliteStates } from './states-shop.ts'

const LEASE_MS = 300

type SqliteShop = Awaited<ReturnType<typeof sqliteShop>>

const statusesOf = async (outcomes: Promise<ProcessOutcome>[]): Promise<string[]> =>
  (await Promise.all(outcomes)).map(({ status }) => status)

/** Closed with the test. */
function opened<Tx>(dedup: Deduplicator<Tx>): Deduplicator<Tx> {
  onTestFinished(() => dedup.close())
  return dedup
}

describe('lease', () => {
  const crashed = new Promise<never>(() => undefined)

  test('a worker that dies between the effect and its record: the next one repeats the effect', async () => {
    const store = new MemoryStore()
    const dedupOf = () =>
      createDeduplicator({ store, consumerGroup: 'mails', leaseMs: LEASE_MS, storeTimeoutMs: LEASE_MS })
    let mails = 0
    // A worker that is dead does nothing any more, not even renew its lease.
    const dead = dedupOf()
    const sent = Promise.withResolvers<void>()
    void dead.process({ key: 'order-1' }, async () => {
      mails += 1
      sent.resolve()
      return crashed
    })
    await sent.promise
    await dead.close({ timeoutMs: 1 })
    const next = opened(dedupOf())
    const status = async () => (await next.process({ key: 'order-1' }, () => void (mails += 1))).status
    await expect.poll(status, { timeout: 10_000 }).toBe('completed')
    expect(mails).toBe(2)
  })

  test('a producer that stamps a new id when it sends again: both run', async () => {
    const dedup = opened(createDeduplicator({ store: new MemoryStore(), consumerGroup: 'mails' }))
    let mails = 0
    const send = (key: string) => dedup.process({ key }, () => void (mails += 1))
    await send(crypto.randomUUID())
    await send(crypto.randomUUID())
    expect(mails).toBe(2)
    for (const id of [eventId('order', 'order-1'), eventId('order', 'order-1')]) await send(id)
    expect(mails).toBe(3)
  })
})

const machine = {
  ...PARCELS,
  onAmbiguous: 'duplicate',
  read: (message: { id: string; transition: string }) => message,
} as const satisfies StateMachineOptions<{ id: string; transition: string }>

describe('every way with tx', () => {
  const ways: readonly (readonly [string, 'transactional' | Strategy<unknown>])[] = [
    ['transactional', 'transactional'],
    ['naturalKey', naturalKey({ constraint: 'orders.id' })],
    ['stateMachine', stateMachine(machine)],
  ]

  test.each(ways)('%s: what a handler does outside of the database is repeated', async (_, strategy) => {
    const states = await sqliteStates()
    onTestFinished(() => states.close())
    await states.create('a', 'pending')
    const store = new SqliteStore({ path: states.location })
    const options = { store, consumerGroup: 'orders', strategy: strategy as 'transactional' }
    const dedup = opened(createDeduplicator(options))
    let mails = 0
    const deliver = () =>
      dedup.process({ key: 'a', message: { id: 'a', transition: 'pay' } }, async ({ tx }) => {
        tx.prepare('INSERT INTO orders VALUES (?, ?)').run('a', 'a')
        await states.effect(tx, 'inside')
        mails += 1
        if (mails === 1) throw new Error('after the mail')
      })
    expect(await statusesOf([deliver()])).toEqual(['failed'])
    expect(await statusesOf([deliver()])).toEqual(['completed'])
    expect([mails, await states.effects('inside')]).toEqual([2, 1])
  })
})

describe('naturalKey', () => {
  let shop: SqliteShop
  let dedup: Deduplicator<DatabaseSync>

  beforeEach(async () => {
    shop = await sqliteShop()
    onTestFinished(() => shop.close())
    const strategy = naturalKey({ constraint: 'orders.id' })
    dedup = opened(
      createDeduplicator({ store: shop.store, consumerGroup: 'orders', strategy, attemptsMax: 2 }),
    )
  })

  const order = (id: string, ref = id) =>
    dedup.process({ key: undefined }, ({ tx }) => shop.order(tx, id, ref))

  test('a message whose starts the broker does not count is started without end', async () => {
    let starts = 0
    for (let count = 0; count < 10; count += 1) {
      await dedup.process({ key: 'poison' }, () => {
        starts += 1
        throw new Error('no')
      })
    }
    expect(starts).toBe(10)
  })

  test('an event that inserts nothing has its effect each time', async () => {
    const addNote = () => dedup.process({ key: 'event-1' }, ({ tx }) => shop.note(tx, 'one more'))
    expect(await statusesOf([addNote(), addNote()])).toEqual(['completed', 'completed'])
    expect(await shop.notes()).toBe(2)
  })

  test('an event whose row has been removed has its effect again', async () => {
    const statuses = await statusesOf([order('a')])
    await dedup.process({ key: undefined }, ({ tx }) => tx.exec("DELETE FROM orders WHERE id = 'a'"))
    expect([...statuses, ...(await statusesOf([order('a')]))]).toEqual(['completed', 'completed'])
  })

  test('an event of several rows is lost whole if one of them is there by another event', async () => {
    await order('b')
    const both = await dedup.process({ key: 'event-2' }, async ({ tx }) => {
      await shop.order(tx, 'a', 'a')
      await shop.order(tx, 'b', 'other')
    })
    expect([both.status, await shop.orders()]).toEqual(['duplicate', 1])
  })

  test('a duplicate that violates a further key, which is not named, is a failure', async () => {
    expect(await statusesOf([order('a')])).toEqual(['completed'])
    // SQLite reports the index that was created last.
    expect(await statusesOf([order('a')])).toEqual(['failed'])
  })

  test('rows with NULL in the key are not guarded', async () => {
    const database = new DatabaseSync(shop.path)
    database.exec('CREATE TABLE coupons (code TEXT UNIQUE)')
    const strategy = naturalKey({ constraint: 'coupons.code' })
    const coupons = opened(createDeduplicator({ store: shop.store, consumerGroup: 'coupons', strategy }))
    const add = () =>
      coupons.process({ key: 'event-1' }, ({ tx }) => tx.exec('INSERT INTO coupons VALUES (NULL)'))
    expect(await statusesOf([add(), add()])).toEqual(['completed', 'completed'])
    database.close()
  })

  describe('with a client of your own', () => {
    const own = () => {
      const strategy = naturalKey({ constraint: 'orders.id', duplicateKeyOf: ofSqlite })
      return opened(createDeduplicator({ store: new MemoryStore(), consumerGroup: 'orders', strategy }))
    }

    test('what was written before the duplicate stays, unless all is one transaction', async () => {
      const database = new DatabaseSync(shop.path, { timeout: 5000 })
      onTestFinished(() => database.close())
      const notes = own()
      const handle = () =>
        notes.process({ key: 'event-1' }, () => {
          database.exec("INSERT INTO notes VALUES ('before')")
          database.exec("INSERT INTO orders VALUES ('a', 'a1')")
        })
      await order('a', 'a0')
      expect(await statusesOf([handle(), handle()])).toEqual(['duplicate', 'duplicate'])
      expect(await shop.notes()).toBe(2)
    })

    test('an error that a handler makes of a payload passes for one of the driver', async () => {
      const payload = '{"code":"SQLITE_CONSTRAINT_UNIQUE","text":"UNIQUE constraint failed: orders.id"}'
      const { code, text } = JSON.parse(payload) as { code: string; text: string }
      const forged = Object.assign(new Error(text), { code })
      expect(await statusesOf([own().process({ key: 'a' }, () => Promise.reject(forged))])).toEqual([
        'duplicate',
      ])
      // With tx it does not.
      expect(await statusesOf([dedup.process({ key: 'a' }, () => Promise.reject(forged))])).toEqual([
        'failed',
      ])
    })
  })
})

describe('stateMachine', () => {
  async function parcels(more: Partial<StateMachineOptions<{ id: string; transition: string }>> = {}) {
    const states = await sqliteStates()
    onTestFinished(() => states.close())
    const strategy = stateMachine({ ...machine, ...more })
    const dedup = opened(createDeduplicator({ store: states.store, consumerGroup: 'parcels', strategy }))
    const ask = (id: string, transition: string, key?: string) =>
      dedup.process({ key, message: { id, transition } }, async ({ tx }) => {
        await states.effect(tx, `${id} ${transition}`)
      })
    return { states, dedup, ask }
  }

  test('what is early is given up after attemptsMax and a few where the broker counts', async () => {
    const { states, dedup } = await parcels()
    await states.create('a', 'pending')
    const { attemptsMax } = dedup.settings
    const message = { id: 'a', transition: 'ship' }
    const deliver = (startsBefore: number) => dedup.process({ key: 'a', message, startsBefore }, () => {})
    expect((await deliver(attemptsMax + 2)).status).toBe('early')
    expect(await deliver(attemptsMax + 3)).toMatchObject({ status: 'rejected', reason: 'attempts' })
  })

  test('of two messages for one transition of one row the second is lost, also with a record', async () => {
    for (const record of [false, true]) {
      const { states, ask } = await parcels({ record })
      await states.create('a', 'pending')
      const first = await statusesOf([ask('a', 'pay', 'payment-1')])
      const second = await statusesOf([ask('a', 'pay', 'payment-2')])
      expect([...first, ...second]).toEqual(['completed', 'duplicate'])
      expect(await states.effects('a pay')).toBe(1)
    }
  })

  test('a row that is set back by hand has its effects again', async () => {
    const { states, ask } = await parcels()
    await states.create('a', 'pending')
    await ask('a', 'pay')
    const database = new DatabaseSync(states.location, { timeout: 5000 })
    database.exec("UPDATE parcels SET state = 'pending'")
    database.close()
    await ask('a', 'pay')
    expect(await states.effects('a pay')).toBe(2)
  })

  test('onMissingRow "ack" loses what comes before its row', async () => {
    const { states, ask } = await parcels({ onMissingRow: 'ack' })
    expect(await statusesOf([ask('a', 'pay')])).toEqual(['duplicate'])
    await states.create('a', 'pending')
    expect([await states.stateOf('a'), await states.effects('a pay')]).toEqual(['pending', 0])
  })

  test('onAmbiguous "duplicate" acks what may never have happened', async () => {
    const { states, ask } = await parcels()
    await states.create('a', 'pending')
    await ask('a', 'cancel')
    expect(await statusesOf([ask('a', 'pay')])).toEqual(['duplicate'])
    expect(await states.effects('a pay')).toBe(0)
  })

  test('of several rows with one id all are moved, with one effect', async () => {
    const { states, ask } = await parcels({ table: 'unindexed' })
    const database = new DatabaseSync(states.location, { timeout: 5000 })
    onTestFinished(() => database.close())
    database.exec("INSERT INTO unindexed VALUES ('a', 'pending'), ('a', 'pending')")
    expect(await statusesOf([ask('a', 'pay')])).toEqual(['completed'])
    const rows = database.prepare("SELECT count(*) AS n FROM unindexed WHERE state = 'paid'").get()
    expect([rows?.['n'], await states.effects('a pay')]).toEqual([2, 1])
  })
})
