import { MongoStore } from '@oncemq/mongodb'
import { mongooseTransactions } from '@oncemq/mongodb/orms'
import type { ClientSession } from 'mongoose'
import mongoose from 'mongoose'
import type { Orms, Scene, SceneOptions } from './scene.ts'

export const mongodbOrms = {
  async Mongoose(url: string, table: string, options: SceneOptions = {}) {
    const connection = await mongoose.createConnection(url).asPromise()
    const effects = connection.model(
      'Effect',
      new mongoose.Schema(
        { _id: String, ref: { type: String, unique: true } },
        { collection: 'effects', versionKey: false },
      ),
    )
    const accounts = connection.model(
      'Account',
      new mongoose.Schema({ _id: Number, cents: Number }, { collection: 'accounts', versionKey: false }),
    )
    const collection = connection.getClient().db().collection(table)
    const transactions = mongooseTransactions(connection)
    const store = new MongoStore({ collection, transactions, ...options })
    return {
      store,
      key: 'effects._id_',
      write: (session, name, ref = name) => effects.create([{ _id: name, ref }], { session }),
      touch: async (session, id) => accounts.updateOne({ _id: id }, { $inc: { cents: 1 } }, { session }),
      commit: (session) => session.commitTransaction(),
      async effects() {
        const found = await effects.find().sort({ _id: 1 }).read('primary').readConcern('majority')
        return found.map(({ _id }) => String(_id))
      },
      close: () => connection.close(),
    } satisfies Scene<ClientSession>
  },
} satisfies Orms
