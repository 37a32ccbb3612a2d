import { testStore } from '@oncemq/conformance'
import { MysqlStore } from '@oncemq/mysql'
import { describeService } from '@oncemq/test-services/vitest'
import { databaseOf } from './database.ts'

describeService('mariadb-10.11', (server) => {
  const { pool, effects, lock } = databaseOf(server)
  testStore('mysql', { open: ({ namespace }) => new MysqlStore({ pool, table: namespace }), effects, lock })
})
