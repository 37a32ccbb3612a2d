import { expect, test, vi } from 'vitest'
import { throughOrm } from '../src/store/index.ts'

test('the connection of a transaction is known to another copy of the core', async () => {
  vi.resetModules()
  const copy = await import('../src/store/index.ts')
  expect(copy.throughOrm).not.toBe(throughOrm)
  const [connection, tx] = [{}, {}]
  let found: unknown
  const work = async (given: unknown): Promise<void> => void (found = copy.connectionOf(given))
  await throughOrm({ within: (_, handle) => handle(tx) }, work, undefined, async (lent) => {
    await lent(connection)
    return 'ok'
  })
  expect(found).toBe(connection)
})
