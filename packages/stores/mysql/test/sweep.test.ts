import type { ClaimAnswer } from '@oncemq/core/store'
import { MysqlStore } from '@oncemq/mysql'
import { describeService } from '@oncemq/test-services/vitest'
import { afterAll, expect, test } from 'vitest'
import { databaseOf, poolBefore } from './database.ts'
import { claimsOf, completionOf, newHex } from '@oncemq/test-stores'

describeService('mysql-8.0', (server) => {
  const { pool, end } = databaseOf(server)
  afterAll(end)

  function storeAt(table: string, from: string): MysqlStore {
    return new MysqlStore({ pool, table, random: { claimId: () => from, fraction: () => 0 } })
  }

  test.each(['0'.repeat(32), 'f'.repeat(32), newHex()])(
    'goes round the table, beginning at %s',
    async (from) => {
      const store = storeAt(`round_${from.slice(0, 1)}`, from)
      await store.open()
      const edges = ['0'.repeat(32), 'f'.repeat(32)].map(
        (id) => ({ ...claimsOf(1)[0], id }) as ReturnType<typeof claimsOf>[0],
      )
      const [kept, over] = [claimsOf(500), [...claimsOf(500), ...edges]]
      await store.claim([...kept, ...over])
      await store.update(over.map((claim) => ({ ...completionOf(claim), retentionMs: 1 })))
      await expect
        .poll(async () => (await store.inspect([over[0]?.id ?? '']))[0]?.expiresInMs)
        .toBeLessThanOrEqual(0)
      let removed = 0
      for (let count = 300; count === 300; removed += count) count = await store.sweep(300)
      expect(removed).toBe(over.length)
      expect((await store.inspect(kept.map(({ id }) => id))).filter(Boolean)).toHaveLength(kept.length)
      await store.close()
    },
  )

  test('one worker sweeps at a time, and one that died holds up the others only for its turn', async () => {
    const store = storeAt('turns', newHex())
    await store.open()
    const claims = claimsOf(3)
    await store.claim(claims)
    await store.update(claims.map((claim) => ({ ...completionOf(claim), retentionMs: 1 })))
    const turn = (value: string) =>
      pool.query(`UPDATE turns_meta SET value = ${value} WHERE name = 'sweep_until'`)
    await turn('UNIX_TIMESTAMP() * 1000 + 30000')
    expect(await store.sweep(10)).toBe(0)
    await turn('UNIX_TIMESTAMP() * 1000 - 1')
    await expect.poll(() => store.sweep(10)).toBe(3)
    await store.close()
  })

  test('leaves alone what is claimed again between its look and its removal', async () => {
    const other = storeAt('undisturbed', newHex())
    await other.open()
    const claims = claimsOf(20)
    await other.claim(claims)
    await other.update(claims.map((claim) => ({ ...completionOf(claim), retentionMs: 1 })))
    const rivals = claimsOf(20).map((claim, at) => ({ ...claim, id: claims[at]?.id ?? '' }))
    let answers: readonly ClaimAnswer[] = []
    const store = new MysqlStore({
      table: 'undisturbed',
      pool: poolBefore(pool, async (sql) => {
        if (sql.startsWith('DELETE')) answers = await other.claim(rivals)
      }),
    })
    await store.open()
    await expect
      .poll(async () =>
        (await other.inspect(claims.map(({ id }) => id))).every((record) => (record?.expiresInMs ?? 1) <= 0),
      )
      .toBe(true)
    expect(await store.sweep(100)).toBe(0)
    expect(answers.map(({ status }) => status)).toEqual(rivals.map(() => 'granted'))
    expect(await other.update(rivals.map(completionOf))).toEqual(rivals.map(() => 'ok'))
    await store.close()
    await other.close()
  })
})
