import type { Db } from 'mongodb'
import { MongoClient } from 'mongodb'
import type { TestContext } from 'vitest'
import { EFFECTS } from './mongodb-worker.ts'

/** A killed process leaves its transaction open on the server, and its key busy, until this ends it. */
export const MONGODB_ARGS = ['--setParameter', 'transactionLifetimeLimitSeconds=5']

/** A database of one test. */
export async function openDatabase(url: string, name: string, { onTestFinished }: TestContext): Promise<Db> {
  const client = await MongoClient.connect(url)
  onTestFinished(async () => {
    await client.db(name).dropDatabase()
    await client.close()
  })
  const database = client.db(name)
  // Made here, so that no two transactions make it.
  await database.createCollection(EFFECTS)
  return database
}

/** The keys of all effects. */
export async function effectsIn(database: Db): Promise<readonly string[]> {
  const effects = await database.collection<{ key: string }>(EFFECTS).find().toArray()
  return effects.map(({ key }) => key)
}
