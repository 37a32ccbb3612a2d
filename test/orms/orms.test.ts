// Each ORM against each promise that a store makes of a handler's transaction.
import { createDeduplicator, naturalKey, stateMachine } from '@oncemq/core'
import type { Deduplicator, DeduplicatorOptions, HandlerContext, ProcessOutcome } from '@oncemq/core'
import type { ClaimRequest } from '@oncemq/core/store'
import type { Server } from '@oncemq/test-services'
import { describeService } from '@oncemq/test-services/vitest'
import { claimOf, completionOf, newHex } from '@oncemq/test-stores'
import { startProgram } from '@oncemq/test-stores/children'
import { MongoClient } from 'mongodb'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { mongodbOrms } from './mongodb-orms.ts'
import { mysqlOrms } from './mysql-orms.ts'
import { postgresOrms } from './postgres-orms.ts'
import type { Orms, Scene, SceneOptions } from './scene.ts'
import { TABLES } from './scene.ts'

type Open = (url: string, table: string, options?: SceneOptions) => Promise<Scene>
type Context = HandlerContext<unknown>

/** What the store says, or the ORM before it. */
const REFUSED =
  /end of its handler|Failed query|complete|committed|rolled back|released|on this transaction|closed|ended/i

/** Its worker loads all ORMs. */
const KILL = { timeout: 60_000 }

describeService('postgres-18', { own: true }, (server) => {
  testOrms(server, 'postgres', postgresOrms, async () => {
    const client = new pg.Client(server.url)
    await client.connect()
    for (const sql of TABLES) await client.query(sql)
    await client.end()
  })
})

for (const name of ['mysql-8.0', 'mariadb-11.8'] as const) {
  describeService(name, { own: true }, (server) => {
    testOrms(server, 'mysql', mysqlOrms, async () => {
      const connection = await mysql.createConnection(server.url)
      for (const sql of TABLES) await connection.query(sql)
      await connection.end()
    })
  })
}

describeService('mongodb-6', { own: true }, (server) => {
  testOrms(server, 'mongodb', mongodbOrms, async () => {
    const client = new MongoClient(server.url)
    const accounts = client.db().collection<{ _id: number }>('accounts')
    await accounts.insertMany([1, 2].map((id) => ({ _id: id, cents: 0, status: 'pending' })))
    await client.db().collection('effects').createIndex({ ref: 1 }, { unique: true })
    await client.close()
  })
})

function testOrms(server: Server, family: string, orms: Orms, prepare: () => Promise<void>): void {
  beforeAll(prepare)
  describe.each(Object.entries(orms) as unknown as [string, Open][])('%s', (_, open) => {
    let scene: Scene
    beforeAll(async () => {
      scene = await open(server.url, 'records')
      await scene.store.open()
    })
    afterAll(async () => {
      await scene.store.close()
      await scene.close()
    })

    testTogether(() => scene)
    testNested(() => scene)
    testEnds(() => scene)
    testBounds(
      () => scene,
      (options) => open(server.url, 'records', options),
    )
    testStrategies(() => scene)
  })

  test('kill -9 between effect and commit leaves neither, whatever the ORM', KILL, async () => {
    const name = newHex()
    const worker = startProgram(new URL('worker.ts', import.meta.url), [family, server.url, 'records', name])
    expect(await worker.told()).toBe(Object.keys(orms).length)
    await worker.kill()
    const [open] = Object.values(orms) as unknown as [Open]
    const scene = await open(server.url, 'records')
    expect(await effectsOf(scene, name)).toEqual([])
    await scene.close()
  })
}

/** A deduplicator on the scene's store, closed with the store. */
function on({ store }: Scene, options: Partial<DeduplicatorOptions<unknown>> = {}): Deduplicator<unknown> {
  const chosen = { store, consumerGroup: newHex(), strategy: 'transactional', ...options }
  return createDeduplicator(chosen as DeduplicatorOptions<unknown>)
}

async function granted({ store }: Scene): Promise<ClaimRequest> {
  const claim = claimOf()
  expect((await store.claim([claim]))[0]?.status).toBe('granted')
  return claim
}

async function stateOf({ store }: Scene, { id }: ClaimRequest): Promise<string | undefined> {
  return (await store.inspect([id]))[0]?.state
}

/** What its effects are among those of other tests. */
async function effectsOf(scene: Scene, name: string): Promise<readonly string[]> {
  return (await scene.effects()).filter((each) => each.startsWith(name))
}

function testTogether(current: () => Scene): void {
  test('the effect and the record commit together, once', async () => {
    const [scene, name] = [current(), newHex()]
    // Where there is no trouble, no ORM tells its users of any.
    const warnings = vi.spyOn(console, 'warn')
    const dedup = on(scene)
    const handle = () =>
      dedup.process({ key: name }, async ({ tx }: Context) => void (await scene.write(tx, name)))
    expect([(await handle()).status, (await handle()).status]).toEqual(['completed', 'duplicate'])
    expect(await effectsOf(scene, name)).toEqual([name])
    expect(warnings.mock.calls).toEqual([])
  })

  test('a throw rolls back, and is the failure', async () => {
    const [scene, name] = [current(), newHex()]
    const failure = new Error('the handler failed')
    const outcome = await on(scene).process({ key: name }, async ({ tx }: Context) => {
      await scene.write(tx, name)
      throw failure
    })
    expect(outcome).toMatchObject({ status: 'failed', final: false })
    expect((outcome as { error?: unknown }).error).toBe(failure)
    expect(await effectsOf(scene, name)).toEqual([])
  })

  test('a completion whose claim was lost rolls back', async () => {
    const [scene, name] = [current(), newHex()]
    const claim = await granted(scene)
    const answer = await scene.store.transaction(async (tx) => {
      await scene.write(tx, name)
      return { ...completionOf(claim), claimId: newHex() }
    })
    expect([answer, await stateOf(scene, claim), await effectsOf(scene, name)]).toEqual([
      'lost',
      'running',
      [],
    ])
  })
}

function testNested(current: () => Scene): void {
  test('a transaction within it is a savepoint', async (context) => {
    const [scene, name] = [current(), newHex()]
    const { nested } = scene
    if (nested === undefined) return context.skip('this database has no savepoints')
    const dedup = on(scene)
    const inner = async (tx: unknown, suffix: string, then: () => void) =>
      nested(tx, async (within) => {
        await scene.write(within, `${name}${suffix}`)
        then()
      })
    const fail = (): never => {
      throw new Error('the inner one failed')
    }
    await dedup.process({ key: `${name}1` }, async ({ tx }: Context) => {
      await scene.write(tx, `${name}a`)
      await inner(tx, 'b', fail).catch(() => undefined)
      await inner(tx, 'c', () => undefined)
    })
    expect(await effectsOf(scene, name)).toEqual([`${name}a`, `${name}c`])
    // What a real COMMIT in its place would keep.
    await dedup.process({ key: `${name}2` }, async ({ tx }: Context) => {
      await inner(tx, 'd', () => undefined)
      fail()
    })
    expect(await effectsOf(scene, name)).toEqual([`${name}a`, `${name}c`])
  })

  test('what runs after a commit runs after that of the store', async (context) => {
    const [scene, name] = [current(), newHex()]
    const { afterCommit } = scene
    if (afterCommit === undefined) return context.skip('this ORM has no hook of a transaction')
    const seen = Promise.withResolvers<readonly string[]>()
    await on(scene).process({ key: name }, async ({ tx }: Context) => {
      afterCommit(tx, async () => seen.resolve(await effectsOf(scene, name)))
      await scene.write(tx, name)
    })
    expect(await seen.promise).toEqual([name])
  })
}

function testEnds(current: () => Scene): void {
  test('a late write is refused, and is in no other transaction', async () => {
    const [scene, name] = [current(), newHex()]
    const dedup = on(scene)
    let late: unknown
    await dedup.process({ key: name }, async ({ tx }: Context) => {
      late = tx
      await scene.write(tx, name)
    })
    const outcome = await dedup.process({ key: `${name}2` }, async () => {
      await expect(scene.write(late, `${name}late`)).rejects.toThrow(REFUSED)
    })
    expect(outcome.status).toBe('completed')
    expect(await effectsOf(scene, name)).toEqual([name])
  })

  test('a branch that a failed handler has left running writes nothing', async () => {
    const [scene, name] = [current(), newHex()]
    const gate = Promise.withResolvers<void>()
    let branch: Promise<unknown> | undefined
    const outcome = await on(scene).process({ key: name }, async ({ tx }: Context) => {
      branch = gate.promise.then(() => scene.write(tx, name))
      branch.catch(() => undefined)
      throw new Error('the other branch failed')
    })
    gate.resolve()
    await expect(branch).rejects.toThrow(REFUSED)
    expect([outcome.status, await effectsOf(scene, name)]).toEqual(['failed', []])
  })

  test('a handler that commits by itself is not run again', async () => {
    const [scene, name] = [current(), newHex()]
    let runs = 0
    const dedup = on(scene)
    const handle = (): Promise<ProcessOutcome> =>
      dedup.process({ key: name }, async ({ tx }: Context) => {
        runs += 1
        await scene.write(tx, name)
        await scene.commit(tx)
      })
    expect(await handle()).toMatchObject({ status: 'failed', final: true, reason: 'transaction-ended' })
    expect([runs, await effectsOf(scene, name)]).toEqual([1, [name]])
  })
}

function testBounds(current: () => Scene, open: (options: SceneOptions) => Promise<Scene>): void {
  test('a handler that hangs is ended by its time limit', async () => {
    const [scene, name] = [current(), newHex()]
    const dedup = on(scene, { handlerTimeoutMs: 300 })
    const outcome = await dedup.process({ key: name }, async ({ tx }: Context) => {
      await scene.write(tx, name)
      await (scene.hang?.(tx) ?? new Promise(() => undefined))
    })
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'ONCEMQ_HANDLER_TIMEOUT' } })
    expect(await effectsOf(scene, name)).toEqual([])
    // Its locks are gone too.
    const again = await on(scene).process({ key: name }, async ({ tx }: Context) => {
      await scene.write(tx, name)
    })
    expect(again.status).toBe('completed')
  })

  test('of two that lock each other out, one is run again', async () => {
    const [scene, name] = [await open({ timeoutMs: 10_000 }), newHex()]
    const warnings = vi.spyOn(console, 'warn')
    const dedup = on(scene)
    const both = Promise.withResolvers<void>()
    let [waiting, runs] = [0, 0]
    const move = (key: string, from: number, to: number) =>
      dedup.process({ key }, async ({ tx }: Context) => {
        runs += 1
        await scene.touch(tx, from)
        if ((waiting += 1) === 2) both.resolve()
        await both.promise
        await scene.touch(tx, to)
        await scene.write(tx, key)
      })
    const outcomes = await Promise.all([move(`${name}a`, 1, 2), move(`${name}b`, 2, 1)])
    expect(outcomes.map(({ status }) => status)).toEqual(['completed', 'completed'])
    expect(runs).toBeGreaterThanOrEqual(3)
    expect(await effectsOf(scene, name)).toEqual([`${name}a`, `${name}b`])
    expect(warnings.mock.calls).toEqual([])
    await dedup.close()
    await scene.close()
  })
}

function testStrategies(current: () => Scene): void {
  test('naturalKey knows the violation of its own key alone', async () => {
    const [scene, name] = [current(), newHex()]
    const dedup = on(scene, { strategy: naturalKey({ constraint: scene.key }) as never })
    const handle = (key: string, ref: string) =>
      dedup.process({ key }, async ({ tx }: Context) => void (await scene.write(tx, key, ref)))
    expect((await handle(name, `${name}r`)).status).toBe('completed')
    expect((await handle(name, `${name}s`)).status).toBe('duplicate')
    expect((await handle(`${name}t`, `${name}r`)).status).toBe('failed')
    expect(await effectsOf(scene, name)).toEqual([name])
  })

  test('naturalKey knows it also of what is written at the end', async (context) => {
    const [scene, name] = [current(), newHex()]
    const { leave } = scene
    if (leave === undefined) return context.skip('this ORM writes at once')
    const dedup = on(scene, { strategy: naturalKey({ constraint: scene.key }) as never })
    const handle = (key: string, ref: string) =>
      dedup.process({ key }, async ({ tx }: Context) => leave(tx, key, ref))
    expect((await handle(name, `${name}r`)).status).toBe('completed')
    expect((await handle(name, `${name}s`)).status).toBe('duplicate')
    expect((await handle(`${name}t`, `${name}r`)).status).toBe('failed')
    expect(await effectsOf(scene, name)).toEqual([name])
  })

  test('stateMachine moves the row in the transaction of the ORM', async () => {
    const [scene, name] = [current(), newHex()]
    const strategy = stateMachine<{ id: number; transition: string }>({
      table: 'accounts',
      id: scene.key.startsWith('effects._id') ? '_id' : 'id',
      state: 'status',
      initial: 'pending',
      final: ['closed'],
      transitions: {
        pay: { from: 'pending', to: 'paid' },
        reset: { from: 'paid', to: 'pending' },
        close: { from: 'paid', to: 'closed' },
      },
      record: true,
      read: (message) => message,
    })
    const dedup = on(scene, { strategy: strategy as never })
    const handle = (transition: string, key: string, fails = false) =>
      dedup.process({ key, message: { id: 1, transition } }, async ({ tx }: Context) => {
        await scene.write(tx, key)
        if (fails) throw new Error('the handler failed')
      })
    expect((await handle('pay', `${name}0`, true)).status).toBe('failed')
    expect((await handle('pay', `${name}1`)).status).toBe('completed')
    expect((await handle('reset', `${name}2`)).status).toBe('completed')
    expect(await effectsOf(scene, name)).toEqual([`${name}1`, `${name}2`])
  })
}
