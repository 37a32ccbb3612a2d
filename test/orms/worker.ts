// A worker of the kill test: `worker.ts <family> <url> <table> <name>`. Writes with each ORM, tells, and
// stays in its handlers until it is killed.
import { createDeduplicator } from '@oncemq/core'
import type { Scene } from './scene.ts'

const [, , family = '', url = '', table = '', name = ''] = process.argv

/** Each starts with its own driver alone. */
const families = {
  postgres: async () => (await import('./postgres-orms.ts')).postgresOrms,
  mysql: async () => (await import('./mysql-orms.ts')).mysqlOrms,
  mongodb: async () => (await import('./mongodb-orms.ts')).mongodbOrms,
}

const orms = await families[family as keyof typeof families]()
const opens = Object.values(orms) as unknown as readonly ((url: string, table: string) => Promise<Scene>)[]
const writing = opens.map(async (open, position) => {
  const { store, write } = await open(url, table)
  const dedup = createDeduplicator({ store, consumerGroup: 'killed', strategy: 'transactional' })
  const written = Promise.withResolvers<void>()
  const key = `${name}${position}`
  void dedup.process({ key }, async ({ tx }) => {
    await write(tx, key)
    written.resolve()
    await new Promise(() => undefined)
  })
  return written.promise
})
await Promise.all(writing)
process.send?.(writing.length)
