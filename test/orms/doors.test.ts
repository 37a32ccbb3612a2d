// Ways of an ORM by which a handler would write beside its transaction, or be told of a commit that was none.
import { createDeduplicator } from '@oncemq/core'
import type { ProcessOutcome } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { claimOf, completionOf, newHex } from '@oncemq/test-stores'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { postgresOrms } from './postgres-orms.ts'
import type { Scene } from './scene.ts'
import { TABLES } from './scene.ts'

describeService('postgres-18', { own: true }, (server) => {
  const pool = new pg.Pool({ connectionString: server.url, max: 2 })
  const ends: (() => Promise<unknown>)[] = []
  beforeAll(async () => {
    for (const sql of TABLES) await pool.query(sql)
  })
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end()
  })
  afterAll(() => pool.end())

  async function opened<Tx>(open: (url: string, table: string) => Promise<Scene<Tx>>) {
    const scene = await open(server.url, 'doors')
    ends.push(() => scene.close())
    return scene
  }

  /** Handles a message, and answers what came of it and which effects are there. */
  async function handled<Tx>(scene: Scene<Tx>, work: (tx: Tx, name: string) => Promise<unknown>) {
    const name = newHex()
    const dedup = createDeduplicator({
      store: scene.store,
      consumerGroup: 'doors',
      strategy: 'transactional',
    })
    ends.push(() => dedup.close())
    const outcome: ProcessOutcome = await dedup.process({ key: name }, async ({ tx }) => {
      await work(tx, name)
    })
    const effects = (await scene.effects()).filter((each) => each.startsWith(name))
    return { outcome, effects: effects.map((each) => each.slice(name.length)) }
  }

  test.each(['begin', 'commit', 'rollback'] as const)(
    '%s() of a manager of MikroORM is refused, and nothing is written beside',
    async (method) => {
      const scene = await opened((url, table) => postgresOrms.MikroORM(url, table))
      type Tx = Parameters<Parameters<typeof scene.store.transaction>[0]>[0]
      const meddling = async (tx: Tx, name: string): Promise<unknown> => {
        await scene.write(tx, `${name}a`)
        await expect(tx[method]()).rejects.toMatchObject({ code: 'ONCEMQ_TRANSACTION_ENDED' })
        await scene.write(tx, `${name}b`)
        throw new Error('the handler failed')
      }
      expect(await handled(scene, meddling)).toMatchObject({
        outcome: { status: 'failed', error: { message: 'the handler failed' } },
        effects: [],
      })
      const inner = (tx: Tx, name: string) =>
        tx.transactional((within) => meddling(within as Tx, name).catch(() => undefined))
      expect(await handled(scene, inner)).toMatchObject({
        outcome: { status: 'completed' },
        effects: ['a', 'b'],
      })
    },
  )

  test('a manager of MikroORM that is late, or made of it, begins nothing of the message', async () => {
    const scene = await opened((url, table) => postgresOrms.MikroORM(url, table))
    type Tx = Parameters<Parameters<typeof scene.store.transaction>[0]>[0]
    let late: Tx | undefined
    await handled(scene, async (tx) => (late = tx))
    await expect(late?.begin()).rejects.toMatchObject({ code: 'ONCEMQ_TRANSACTION_ENDED' })
    // A fork is apart, as the ORM has it, and has transactions of its own.
    const apart = await handled(scene, async (tx, name) => {
      const fork = tx.fork()
      await fork.begin()
      await scene.write(fork as Tx, `${name}a`)
      await fork.commit()
      throw new Error('the handler failed')
    })
    expect(apart).toMatchObject({ outcome: { status: 'failed' }, effects: ['a'] })
  })

  test('a list of queries of Prisma runs in the transaction', async () => {
    const scene = await opened((url, table) => postgresOrms.Prisma(url, table))
    type Tx = Parameters<Parameters<typeof scene.store.transaction>[0]>[0]
    const list = (tx: Tx, name: string) => {
      const lists = tx as unknown as { $transaction(list: unknown[]): Promise<unknown[]> }
      return lists.$transaction(['a', 'b'].map((suffix) => scene.write(tx, name + suffix)))
    }
    expect(await handled(scene, list)).toMatchObject({
      outcome: { status: 'completed' },
      effects: ['a', 'b'],
    })
    const failing = async (tx: Tx, name: string) => {
      await list(tx, name)
      throw new Error('the handler failed')
    }
    expect(await handled(scene, failing)).toMatchObject({ outcome: { status: 'failed' }, effects: [] })
  })

  test('a hook after the commit does not run where the commit was refused', async () => {
    const scene = await opened((url, table) => postgresOrms.Sequelize(url, table))
    const warnings = vi.spyOn(console, 'warn').mockImplementation(() => undefined)
    const seen: string[] = []
    const claim = claimOf()
    await scene.store.open()
    await scene.store.claim([claim])
    const answer = await scene.store.transaction(async (tx) => {
      scene.afterCommit?.(tx, async () => void seen.push('lost'))
      return { ...completionOf(claim), claimId: newHex() }
    })
    await handled(scene, async (tx) => scene.afterCommit?.(tx, async () => void seen.push('committed')))
    await expect.poll(() => seen.includes('committed')).toBe(true)
    expect([answer, seen]).toEqual(['lost', ['committed']])
    warnings.mockRestore()
  })
})
