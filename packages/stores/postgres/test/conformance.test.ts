import { testStore } from '@oncemq/conformance'
import { PostgresStore } from '@oncemq/postgres'
import { describeService } from '@oncemq/test-services/vitest'
import { databaseOf } from './database.ts'

describeService('postgres-18', (server) => {
  const { pool, effects, lock } = databaseOf(server)
  testStore('postgres', {
    open: ({ namespace }) => new PostgresStore({ pool, table: namespace }),
    effects,
    lock,
  })
})
