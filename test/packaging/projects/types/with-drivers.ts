import type { ClientSession } from 'mongodb'
import type { PoolConnection } from 'mysql2/promise'
import type { PoolClient } from 'pg'
import { context, mongo, mysql, postgres, same } from './shop.js'

const tx = {
  postgres: context(postgres).tx,
  mysql: context(mysql).tx,
  mongo: context(mongo).tx,
}
same<typeof tx.postgres, PoolClient>(true)
same<typeof tx.mysql, PoolConnection>(true)
same<typeof tx.mongo, ClientSession>(true)

export async function write(): Promise<void> {
  await postgres.run('a', async ({ tx }) => {
    await tx.query('INSERT INTO orders (id) VALUES ($1)', ['a'])
  })
  await mysql.run('a', async ({ tx }) => {
    await tx.execute('INSERT INTO orders (id) VALUES (?)', ['a'])
  })
}
