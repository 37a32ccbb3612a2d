// The first run of a newcomer, twice: the second time the store knows all of it.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
// #region imports
import { createDeduplicator } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'
// #endregion

const folder = mkdtempSync(join(tmpdir(), 'oncemq-docs-'))
process.chdir(folder)

async function main(): Promise<void> {
  // #region first
  const dedup = createDeduplicator({
    store: new SqliteStore({ path: 'oncemq.db' }),
    consumerGroup: 'billing',
  })

  for (const order of ['order-1', 'order-2', 'order-1']) {
    const { status } = await dedup.run(order, () => console.log(`charged ${order}`))
    console.log(`${order}: ${status}`)
  }
  await dedup.close()
  // #endregion
}

console.log('$ node first.mjs')
await main()
console.log('$ node first.mjs')
await main()
rmSync(folder, { recursive: true })
