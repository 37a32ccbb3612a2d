/**
 * What the store uses of the `mongodb` driver, by structure: so a collection of another copy, or of another
 * version, of the driver fits too. Methods, not properties, so that the driver's narrower parameters fit.
 */
export interface MongoCollection<Session extends MongoSession = MongoSession> {
  readonly collectionName: string
  readonly db: MongoDatabase<Session>
  readonly writeConcern?: MongoWriteConcern | undefined
  find(filter: object, options?: object): { toArray(): Promise<readonly object[]> }
}

/** What the store needs of a `Db` of the driver. */
export interface MongoDatabase<Session extends MongoSession = MongoSession> {
  readonly databaseName: string
  readonly client: MongoClient<Session>
  command(command: object, options?: object): Promise<object>
}

/** What the store needs of a `MongoClient` of the driver. */
export interface MongoClient<Session extends MongoSession = MongoSession> {
  startSession(options?: object): Session
}

/** A session with a transaction: what a handler gets as `tx`, and gives to its own writes. */
export interface MongoSession {
  startTransaction(options?: object): void
  /** What the session reads from now on is of this moment or later: a `Timestamp` of the driver. */
  advanceOperationTime(time: object): void
  commitTransaction(): Promise<unknown>
  abortTransaction(): Promise<unknown>
  endSession(): Promise<unknown>
  inTransaction(): boolean
}

/** @ts-ignore where mongodb is not installed, this is any type at all, as which it is told below. */
type Installed = import('mongodb').ClientSession // oxlint-disable-line consistent-type-imports

/** The session of the package `mongodb` where it is installed, else what the store needs of one. */
export type DriverSession = 0 extends 1 & Installed ? MongoSession : Installed

/** How many members have a write, and whether on the disk, before it is answered. */
export interface MongoWriteConcern {
  readonly w?: number | string | undefined
  readonly journal?: boolean | undefined
}
