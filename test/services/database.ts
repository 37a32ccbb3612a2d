import { randomBytes } from 'node:crypto'
import { MongoClient } from 'mongodb'
import mysql from 'mysql2/promise'
import pg from 'pg'

export interface Database {
  readonly name: string
  readonly url: string
  /** Removes it, even when somebody killed has left a connection. */
  readonly drop: () => Promise<void>
}

type Change = (url: string, name: string) => Promise<void>

/** Of each kind of server, by its URL's protocol: what makes a database, and what removes it. */
const KINDS: Readonly<Record<string, { readonly create: Change; readonly drop: Change }>> = {
  'postgres:': {
    create: (url, name) => onPostgres(url, `CREATE DATABASE ${name}`),
    async drop(url, name) {
      // Waits five seconds for connections that end just now. One that is cut would fail in its process.
      await onPostgres(url, `DROP DATABASE ${name}`).catch(() =>
        onPostgres(url, `DROP DATABASE ${name} WITH (FORCE)`),
      )
    },
  },
  'mysql:': {
    create: (url, name) => onMysql(url, `CREATE DATABASE ${name}`),
    drop: (url, name) => onMysql(url, `DROP DATABASE ${name}`),
  },
  'mongodb:': {
    // It is there with its first document.
    create: async () => undefined,
    async drop(url, name) {
      const client = await MongoClient.connect(url)
      await client.db(name).dropDatabase()
      await client.close()
    },
  },
}

/**
 * Makes a database of one test alone on a server that it shares. A test that counts, or drops, or names a
 * table as other tests may, works in one.
 *
 * @example
 * const database = await createDatabase(server.url)
 * onTestFinished(() => database.drop())
 */
export async function createDatabase(serverUrl: string): Promise<Database> {
  const url = new URL(serverUrl)
  const kind = KINDS[url.protocol]
  if (kind === undefined) throw new Error(`expected the URL of a server with databases, got ${url.protocol}`)
  const name = `test_${randomBytes(8).toString('hex')}`
  await kind.create(serverUrl, name)
  url.pathname = `/${name}`
  return { name, url: url.href, drop: () => kind.drop(serverUrl, name) }
}

async function onPostgres(url: string, statement: string): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

async function onMysql(url: string, statement: string): Promise<void> {
  const connection = await mysql.createConnection(url)
  try {
    await connection.query(statement)
  } finally {
    await connection.end()
  }
}
