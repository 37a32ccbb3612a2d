import { testStore } from '@oncemq/conformance'
import { PostgresStore } from '@oncemq/postgres'
import { describeService } from '@oncemq/test-services/vitest'
import { databaseOf } from './database.ts'

describeService('pgbouncer', (server) => {
  const { pool, effects, lock } = databaseOf(server)
  testStore('pgbouncer', {
    open: ({ namespace }) => new PostgresStore({ pool, table: namespace }),
    effects,
    lock,
  })
})
