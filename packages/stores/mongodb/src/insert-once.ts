import { rowOf } from '@oncemq/core/store'
import type { RowAnswer, RowWrite } from '@oncemq/core/store'

/** What the helpers need of a collection of the driver; `Session` is what the handler has as `context.tx`. */
export interface MongoWriter<Session> {
  findOne(filter: object, options: { session: Session; projection: object }): Promise<unknown>
  insertOne(document: never, options: { session: Session }): Promise<unknown>
  updateOne(filter: object, update: object, options: { session: Session }): Promise<unknown>
}

/** A document: what is unique about it, and its other fields. */
export type DocumentWrite = Omit<RowWrite, 'table'>

/**
 * Inserts a document unless there is one of its key, and says which. To be called in a transaction, as a
 * handler with `context.tx` is: of two that insert one key, the later one is run again and finds it there. An
 * upsert in its place can store two on servers before 6.0.25, 7.0.22 and 8.0.12, and a duplicate-key error
 * ends the transaction.
 * @throws OptionError for a field that is no plain name; what the driver throws.
 * @example
 * const answer = await insertOnce(orders, context.tx, { key: { _id: id }, values: { cents } })
 * if (answer === 'was-there') return
 */
export async function insertOnce<Session>(
  collection: MongoWriter<Session>,
  session: Session,
  document: DocumentWrite,
): Promise<RowAnswer> {
  const filter = filterOf(document)
  const found = await collection.findOne(filter, { session, projection: { _id: 1 } })
  if (found !== null) return 'was-there'
  await collection.insertOne({ ...document.key, ...document.values } as never, { session })
  return 'inserted'
}

/**
 * Inserts a document, or gives the one of its key these values, and says which. To be called in a
 * transaction.
 * @throws OptionError for a field that is no plain name; what the driver throws.
 * @example await upsert(stock, context.tx, { key: { _id: article }, values: { pieces } })
 */
export async function upsert<Session>(
  collection: MongoWriter<Session>,
  session: Session,
  document: DocumentWrite,
): Promise<RowAnswer> {
  const answer = await insertOnce(collection, session, document)
  const { values = {} } = document
  if (answer === 'was-there' && Object.keys(values).length > 0) {
    await collection.updateOne(filterOf(document), { $set: values }, { session })
  }
  return answer
}

/** A value that is an object must not be taken for operators. */
function filterOf({ key, values = {} }: DocumentWrite): object {
  rowOf({ table: 'documents', key, values }, (name) => name)
  return Object.fromEntries(Object.entries(key).map(([name, value]) => [name, { $eq: value }]))
}
