import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { MysqlStore } from '@oncemq/mysql'
import { PostgresStore } from '@oncemq/postgres'
import { SqliteStore } from '@oncemq/sqlite'
import { createDatabase } from '@oncemq/test-services/database'
import type { Connection } from 'mysql2/promise'
import mysql from 'mysql2/promise'
import pg from 'pg'
import type { TestContext } from 'vitest'
import { History, historyFileOf } from './history.ts'

/** How long a transaction may lie idle, so that a stopped worker holds its locks no longer. */
const TRANSACTION_IDLE_MS = 5000
const TIMEOUT_MS = 2000
const TABLE = 'CREATE TABLE effects (at INTEGER PRIMARY KEY'

/** A database to which handlers write, beside the rows of the store. */
export interface LogScene {
  /** What a worker that follows its logs consumes with. */
  open(url: string): PostgresStore | MysqlStore | SqliteStore
  /** How its handler writes the effect of a message. */
  write(tx: unknown, message: string): Promise<unknown>
  /** Makes the table of effects. */
  prepare(url: string): Promise<unknown>
  /** The messages of all effects, in the order in which they were committed within a partition. */
  effects(url: string): Promise<readonly string[]>
}

const idle = { transactionIdleMs: TRANSACTION_IDLE_MS, timeoutMs: TIMEOUT_MS }
const list = 'SELECT message FROM effects ORDER BY at'

export const logScenes = {
  postgres: {
    open: (url) => new PostgresStore({ url, ...idle }),
    write: (tx, message) =>
      (tx as pg.PoolClient).query('INSERT INTO effects (message) VALUES ($1)', [message]),
    prepare: (url) => onPostgres(url, 'CREATE TABLE effects (at serial PRIMARY KEY, message text)'),
    effects: async (url) => (await onPostgres(url, list)).map(({ message }) => message),
  },
  mysql: {
    open: (url) => new MysqlStore({ url, ...idle }),
    write: (tx, message) => (tx as Connection).query('INSERT INTO effects (message) VALUES (?)', [message]),
    prepare: (url) => onMysql(url, `${TABLE} AUTO_INCREMENT, message TEXT)`),
    effects: async (url) =>
      ((await onMysql(url, list)) as { message: string }[]).map(({ message }) => message),
  },
  sqlite: {
    open: (path) => new SqliteStore({ path, busyTimeoutMs: TIMEOUT_MS }),
    write: async (tx, message) =>
      (tx as DatabaseSync).prepare('INSERT INTO effects (message) VALUES (?)').run(message),
    prepare: async (path) => onSqlite(path, (database) => database.exec(`${TABLE}, message TEXT)`)),
    effects: async (path) =>
      onSqlite(path, (database) =>
        database
          .prepare(list)
          .all()
          .map(({ message }) => String(message)),
      ),
  },
} satisfies Record<string, LogScene>

export type LogStoreName = keyof typeof logScenes

/** A database for one test: on a server at one of these URLs, or beside the history. */
export async function openLogs(
  store: LogStoreName,
  urls: Readonly<Partial<Record<LogStoreName, string>>>,
  context: TestContext,
) {
  const historyFile = historyFileOf(context)
  const scene = logScenes[store]
  const { [store]: server } = urls
  const storeUrl = server ? await ownDatabase(server, context) : join(dirname(historyFile), 'oncemq.db')
  await scene.prepare(storeUrl)
  return {
    place: { store, storeUrl, historyFile },
    history: new History(historyFile),
    effects: () => scene.effects(storeUrl),
  }
}

/** The URL of a database that is there until the test has ended. */
export async function ownDatabase(server: string, { onTestFinished }: TestContext): Promise<string> {
  const { url, drop } = await createDatabase(server)
  onTestFinished(drop)
  return url
}

async function onPostgres(url: string, statement: string): Promise<readonly { message: string }[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<{ message: string }>(statement)).rows
  } finally {
    await client.end()
  }
}

async function onMysql(url: string, statement: string): Promise<unknown> {
  const connection = await mysql.createConnection(url)
  try {
    const [rows] = await connection.query(statement)
    return rows
  } finally {
    await connection.end()
  }
}

function onSqlite<Answer>(path: string, use: (database: DatabaseSync) => Answer): Answer {
  const database = new DatabaseSync(path, { timeout: TRANSACTION_IDLE_MS })
  database.exec('PRAGMA journal_mode = WAL')
  try {
    return use(database)
  } finally {
    database.close()
  }
}
