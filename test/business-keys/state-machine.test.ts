import type { Deduplicator, ProcessOutcome, StateMachineOptions } from '@oncemq/core'
import { createDeduplicator, stateMachine } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { StatesShop } from './states-shop.ts'
import { mongoStates, mysqlStates, PARCELS, postgresStates, sqliteStates } from './states-shop.ts'

interface Asked {
  readonly id: unknown
  readonly transition: string
}

const base = {
  ...PARCELS,
  onAmbiguous: 'dead-letter',
  read: (message: Asked) => message,
} as const satisfies StateMachineOptions<Asked>

/** A shop of this suite, its deduplicators, and what tests do with them. */
function fixtureOf<Tx>(open: () => Promise<StatesShop<Tx>>) {
  let shop: StatesShop<Tx>
  const opened: Deduplicator<Tx>[] = []
  let parcels = 0

  beforeAll(async () => {
    shop = await open()
  })
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((dedup) => dedup.close()))
  })
  afterAll(() => shop.close())

  function dedupOf(options: Partial<StateMachineOptions<Asked>> = {}): Deduplicator<Tx> {
    const strategy = stateMachine<Asked>({ ...base, ...options })
    const dedup = createDeduplicator<Tx>({ store: shop.store, consumerGroup: 'parcels', strategy })
    opened.push(dedup)
    return dedup
  }

  async function newParcel(state = 'pending'): Promise<string> {
    const id = `parcel-${(parcels += 1)}`
    await shop.create(id, state)
    return id
  }

  function ask(
    dedup: Deduplicator<Tx>,
    message: Asked,
    more: { key?: string; firstAtMs?: number; fail?: boolean } = {},
  ): Promise<ProcessOutcome> {
    const { key, firstAtMs, fail = false } = more
    return dedup.process({ key, message, firstAtMs }, async ({ tx }) => {
      await shop.effect(tx, `${String(message.id)} ${message.transition}`)
      if (fail) throw new Error('no')
    })
  }

  const shopOf = (): StatesShop<Tx> => shop
  return { shopOf, dedupOf, newParcel, ask }
}

type Fixture<Tx> = ReturnType<typeof fixtureOf<Tx>>

/** Transitions and their effects. */
function movesRows<Tx>(fixture: Fixture<Tx>): void {
  const { dedupOf, newParcel, ask, shopOf } = fixture

  test('the transition and the effects of the handler commit together, once', async () => {
    const dedup = dedupOf()
    const id = await newParcel()
    const pay = { id, transition: 'pay' }
    expect(await ask(dedup, pay, { fail: true })).toMatchObject({ status: 'failed', attempt: 1 })
    expect([await shopOf().stateOf(id), await shopOf().effects(`${id} pay`)]).toEqual(['pending', 0])
    expect(await ask(dedup, pay)).toMatchObject({ status: 'completed', protected: true })
    expect(await ask(dedup, pay)).toEqual({ status: 'duplicate', result: undefined })
    expect(await ask(dedup, { id, transition: 'ship' })).toMatchObject({ status: 'completed' })
    expect((await ask(dedup, pay)).status).toBe('duplicate')
    expect([await shopOf().stateOf(id), await shopOf().effects(`${id} pay`)]).toEqual(['done', 1])
    expect(dedup.counts()).toMatchObject({ completed: 2, duplicate: 2, granted: 0, unprotected: 0 })
  })

  test('one target may have several sources', async () => {
    const dedup = dedupOf()
    for (const from of ['pending', 'paid']) {
      const id = await newParcel(from)
      expect((await ask(dedup, { id, transition: 'cancel' })).status).toBe('completed')
      expect(await shopOf().stateOf(id)).toBe('cancelled')
    }
  })

  test('of many deliveries at once, by two workers, one has its effect', async () => {
    const workers = [dedupOf(), dedupOf()]
    const id = await newParcel()
    const asked = Array.from({ length: 10 }, () =>
      workers.map((dedup) => ask(dedup, { id, transition: 'pay' })),
    )
    const statuses = (await Promise.all(asked.flat())).map(({ status }) => status)
    expect(statuses.filter((status) => status === 'completed')).toHaveLength(1)
    expect(statuses.filter((status) => status === 'duplicate')).toHaveLength(19)
    expect(await shopOf().effects(`${id} pay`)).toBe(1)
  })
}

/** What becomes of messages whose row was not moved. */
function settlesOthers<Tx>(fixture: Fixture<Tx>): void {
  const { dedupOf, newParcel, ask, shopOf } = fixture

  test('a message that comes too early is tried again, and put aside when its time is over', async () => {
    const dedup = dedupOf({ earlyForMs: 60_000 })
    const id = await newParcel()
    const ship = { id, transition: 'ship' }
    expect(await ask(dedup, ship)).toMatchObject({ status: 'early', error: { code: 'ONCEMQ_STATE_EARLY' } })
    const late = await ask(dedup, ship, { firstAtMs: Date.now() - 61_000 })
    expect(late).toMatchObject({ status: 'rejected', reason: 'too-early', attempt: 0 })
    expect(await shopOf().effects(`${id} ship`)).toBe(0)
    await ask(dedup, { id, transition: 'pay' })
    expect((await ask(dedup, ship)).status).toBe('completed')
  })

  test('what cannot have happened and never will is put aside, as is what may have', async () => {
    const [dedup, lenient] = [dedupOf(), dedupOf({ onAmbiguous: 'duplicate' })]
    const id = await newParcel('cancelled')
    const impossible = {
      status: 'rejected',
      reason: 'impossible',
      error: { code: 'ONCEMQ_STATE_IMPOSSIBLE' },
    }
    expect(await ask(dedup, { id, transition: 'ship' })).toMatchObject(impossible)
    expect(await ask(dedup, { id, transition: 'pay' })).toMatchObject(impossible)
    expect((await ask(lenient, { id, transition: 'pay' })).status).toBe('duplicate')
    expect((await ask(dedup, { id, transition: 'cancel' })).status).toBe('duplicate')
    const strange = await newParcel('frozen')
    expect(await ask(dedup, { id: strange, transition: 'pay' })).toMatchObject(impossible)
  })

  test('a missing row is what onMissingRow says', async () => {
    const missing = { id: 'nobody', transition: 'pay' }
    expect(await ask(dedupOf(), missing)).toMatchObject({
      status: 'early',
      error: { code: 'ONCEMQ_ROW_MISSING' },
    })
    const aside = await ask(dedupOf({ onMissingRow: 'dead-letter' }), missing)
    expect(aside).toMatchObject({ status: 'rejected', reason: 'missing-row' })
    expect((await ask(dedupOf({ onMissingRow: 'ack' }), missing)).status).toBe('duplicate')
    expect(await shopOf().effects('nobody pay')).toBe(0)
  })
}

/** Messages that say nothing, and ids that are none. */
function readsMessages<Tx>(fixture: Fixture<Tx>): void {
  const { dedupOf, ask, shopOf } = fixture

  const nonsense: readonly [string, unknown][] = [
    ['nothing', undefined],
    ['no id', { transition: 'pay' }],
    ['an object of operators as id', { id: { $gt: '' }, transition: 'pay' }],
    ['an id with a NUL', { id: 'a\0', transition: 'pay' }],
    ['a fraction', { id: 1.5, transition: 'pay' }],
    ['an integer of more than 64 bits', { id: 2n ** 64n + 7n, transition: 'pay' }],
    ['another transition', { id: 'a', transition: 'steal' }],
    ["a name of every object's", { id: 'a', transition: 'toString' }],
  ]

  test.each(nonsense)('a message that says %s is put aside as unreadable', async (_, message) => {
    const outcome = await ask(dedupOf({ read: (given) => given }), message as Asked).catch(String)
    expect(outcome).toMatchObject({
      status: 'rejected',
      reason: 'unreadable',
      error: { code: 'ONCEMQ_MESSAGE_UNREADABLE' },
    })
  })

  test('a read that throws puts the message aside with the reason', async () => {
    const cause = new SyntaxError('no JSON')
    const read = (): never => {
      throw cause
    }
    const outcome = await ask(dedupOf({ read }), { id: 'a', transition: 'pay' })
    expect(outcome).toMatchObject({ status: 'rejected', reason: 'unreadable', error: { cause } })
  })

  test('an id that the column cannot hold is no row, and nobody else is moved by it', async () => {
    const dedup = dedupOf({ table: 'numbered' })
    await shopOf().createNumbered(7, 'pending')
    for (const id of ['7 or so', '9'.repeat(30), "7' OR '1'='1"]) {
      const outcome = await ask(dedup, { id, transition: 'pay' })
      expect(['early', 'rejected']).toContain(outcome.status)
    }
    expect(await shopOf().numberedState(7)).toBe('pending')
    expect((await ask(dedup, { id: 7, transition: 'pay' })).status).toBe('completed')
    expect(await shopOf().numberedState(7)).toBe('paid')
  })
}

/** Whatever the database takes for one by default. */
function comparesExactly<Tx>(fixture: Fixture<Tx>): void {
  const { dedupOf, ask, shopOf } = fixture

  test('an id that only looks alike is another row, and a state that does is another state', async () => {
    const dedup = dedupOf()
    await shopOf().create('exact-é', 'pending')
    for (const id of ['EXACT-é', 'exact-e', 'exact-é ', 'exact-e\u0301']) {
      expect(await ask(dedup, { id, transition: 'pay' })).toMatchObject({ status: 'early' })
    }
    expect(await shopOf().stateOf('exact-é')).toBe('pending')
    expect((await ask(dedup, { id: 'exact-é', transition: 'pay' })).status).toBe('completed')
    await shopOf().create('loud', 'PENDING')
    expect(await ask(dedup, { id: 'loud', transition: 'pay' })).toMatchObject({ reason: 'impossible' })
  })

  test('a number is the id of a row whose column holds texts, but not of a document', async () => {
    await shopOf().create('4711', 'pending')
    const { status } = await ask(dedupOf(), { id: 4711, transition: 'pay' })
    expect(status).toBe(shopOf().hasColumns ? 'completed' : 'early')
  })

  test('a read that does not end is a failed attempt, since it says nothing about the message', async () => {
    const strategy = stateMachine<Asked>({ ...base, read: () => new Promise(() => undefined) })
    const options = { store: shopOf().store, consumerGroup: 'parcels', strategy, handlerTimeoutMs: 30 }
    const dedup = createDeduplicator<Tx>(options)
    const outcome = await ask(dedup, { id: 'a', transition: 'pay' })
    expect(outcome).toMatchObject({
      status: 'failed',
      final: false,
      error: { code: 'ONCEMQ_HANDLER_TIMEOUT' },
    })
    await dedup.close()
  })
}

/** What a state alone cannot tell. */
function keepsRecords<Tx>(fixture: Fixture<Tx>): void {
  const { dedupOf, newParcel, ask, shopOf } = fixture

  const cycle = {
    final: [],
    initial: 'idle',
    transitions: { start: { from: 'idle', to: 'busy' }, stop: { from: 'busy', to: 'idle' } },
    record: true,
  } satisfies Partial<StateMachineOptions<Asked>>

  test('a state that comes again tells nothing, and the record does', async () => {
    const dedup = dedupOf(cycle)
    const id = await newParcel('idle')
    const round = async (count: number) => {
      await ask(dedup, { id, transition: 'start' }, { key: `${id} start ${count}` })
      await ask(dedup, { id, transition: 'stop' }, { key: `${id} stop ${count}` })
    }
    await round(1)
    expect((await ask(dedup, { id, transition: 'start' }, { key: `${id} start 1` })).status).toBe('duplicate')
    await round(2)
    expect([await shopOf().stateOf(id), await shopOf().effects(`${id} start`)]).toEqual(['idle', 2])
    expect(await dedup.inspect(`${id} start 2`)).toMatchObject({ state: 'done' })
  })

  test('record and transition commit together, and what is early leaves no record done', async () => {
    const dedup = dedupOf({ record: true })
    const id = await newParcel()
    const key = `${id} early`
    expect((await ask(dedup, { id, transition: 'ship' }, { key })).status).toBe('early')
    expect(await dedup.inspect(key)).toMatchObject({ state: 'free', attempts: 0 })
    await ask(dedup, { id, transition: 'pay' }, { key: `${id} pay` })
    expect((await ask(dedup, { id, transition: 'ship' }, { key })).status).toBe('completed')
    const late = await ask(dedup, { id, transition: 'cancel' }, { key: `${id} cancel` })
    expect(late).toMatchObject({ status: 'rejected', reason: 'impossible' })
    // Another message about what has happened is a duplicate, and done.
    expect((await ask(dedup, { id, transition: 'pay' }, { key: `${id} pay again` })).status).toBe('duplicate')
    expect(await dedup.inspect(`${id} pay again`)).toMatchObject({ state: 'done' })
    expect(await shopOf().effects(`${id} pay`)).toBe(1)
  })
}

/** What is known at start. */
function checksAtStart<Tx>(fixture: Fixture<Tx>): void {
  const { dedupOf, shopOf } = fixture

  test('a table that is not there, or lacks a column, is refused at start', async () => {
    const wrong: Partial<StateMachineOptions<Asked>>[] = [{ table: 'no_such_table' }]
    if (shopOf().hasColumns) wrong.push({ id: 'no_such_id' }, { state: 'no_such_state' })
    if (shopOf().hasEnums) wrong.push({ table: 'enumerated' })
    for (const options of wrong) {
      await expect(dedupOf(options).open()).rejects.toMatchObject({
        code: 'ONCEMQ_TABLE_UNFIT',
        retryable: false,
      })
    }
  })

  test('an id without an index is told at start', async () => {
    const findings: string[] = []
    for (const options of [{}, { table: 'unindexed' }]) {
      const dedup = dedupOf(options)
      dedup.on('finding', ({ code }) => findings.push(code))
      await dedup.open()
    }
    expect(findings.filter((code) => code === 'state-index-missing')).toHaveLength(1)
  })
}

/** What holds on every database. */
function movesStates<Tx>(open: () => Promise<StatesShop<Tx>>): void {
  const fixture = fixtureOf(open)
  movesRows(fixture)
  settlesOthers(fixture)
  readsMessages(fixture)
  comparesExactly(fixture)
  describe('with a record', () => {
    keepsRecords(fixture)
  })
  checksAtStart(fixture)
}

describe('sqlite', () => {
  movesStates(sqliteStates)
})
describeService('postgres-18', (server) => movesStates(() => postgresStates(server)))
describeService('mysql-8.0', (server) => movesStates(() => mysqlStates(server)))
describeService('mariadb-11.8', (server) => movesStates(() => mysqlStates(server)))
describeService('mongodb-6', (server) => movesStates(() => mongoStates(server)))
