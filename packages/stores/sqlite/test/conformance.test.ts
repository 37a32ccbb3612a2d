import { testStore } from '@oncemq/conformance'
import { SqliteStore } from '@oncemq/sqlite'
import { effects, fileOf } from './folder.ts'

testStore('sqlite', { open: ({ namespace }) => new SqliteStore({ path: fileOf(namespace) }), effects })
