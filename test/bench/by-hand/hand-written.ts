import type { Store } from '@oncemq/core'
import type { Processes } from '../processor-time.ts'

/** What people write without a library, and the store that takes its place, on one server. */
export interface HandWritten {
  readonly name: string
  /** Starts its server, if it has one, and connects to it by `throughNetwork`. Each call begins empty. */
  open(throughNetwork: ThroughNetwork): Promise<OpenHandWritten>
}

/** Gives the URL by which a server is reached with the delay that the command line asks for. */
export type ThroughNetwork = (url: string) => Promise<string>

export interface OpenHandWritten {
  /** By which others reach the server, if it is one. */
  readonly url: string | undefined
  /** On a pool of its own, which is like the other's. */
  readonly store: Store
  /** Asks whether the key was there, works, and notes it. The work is nothing. */
  readonly lease: (key: string) => Promise<unknown>
  /** The same around a handler that writes a row; none where the server has no transactions. */
  readonly transactional: HandWrittenTransaction | undefined
  /** Of its server; none if it has none. */
  readonly processes: Processes
  close(): Promise<void>
}

export interface HandWrittenTransaction {
  /** One transaction: BEGIN, note the key unless it is there, the effect, COMMIT. */
  readonly byHand: (key: string) => Promise<unknown>
  /** The effect alone, in the transaction of the store. */
  readonly effect: (tx: never, key: string) => Promise<unknown>
}

/** Both have a pool of this size where their driver has one. */
export const POOL = 20
