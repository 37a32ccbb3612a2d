import { MongoStore } from '@oncemq/mongodb'
import { MongoClient } from 'mongodb'
import type { ClientSession } from 'mongodb'
import type { Bank } from './bank.ts'

const { ONCEMQ_MONGODB_URL = 'mongodb://127.0.0.1:27017/bank' } = process.env

export function mongodbBank(run: string): Bank<ClientSession> {
  const client = new MongoClient(ONCEMQ_MONGODB_URL)
  const database = client.db()
  const accounts = database.collection<{ _id: string; cents: number }>(`accounts_${run}`)
  const ledger = database.collection<{ transfer: string }>(`ledger_${run}`)
  return {
    store: new MongoStore({ collection: database.collection('oncemq') }),
    async prepare(opening) {
      await database.createCollection(ledger.collectionName)
      await accounts.insertMany(opening.map(({ account, cents }) => ({ _id: account, cents })))
    },
    async post(session, { account, cents }) {
      await accounts.updateOne({ _id: account }, { $inc: { cents } }, { session })
    },
    async enter(session, transfer) {
      await ledger.insertOne({ transfer }, { session })
    },
    async balances() {
      const found = await accounts.find().toArray()
      return Object.fromEntries(found.map(({ _id, cents }) => [_id, cents]))
    },
    async ledger() {
      return (await ledger.find().toArray()).map(({ transfer }) => transfer)
    },
    async remove() {
      await accounts.drop()
      await ledger.drop()
    },
    async close() {
      await client.close()
    },
  }
}
