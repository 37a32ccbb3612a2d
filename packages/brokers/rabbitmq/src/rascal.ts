/**
 * Tells Rascal how a message ended: nothing for success, or an error and what shall become of the message.
 */
export type AckOrNack = (
  ...args: [error?: Error | Next, recovery?: Recovery | Recovery[] | Next, next?: Next]
) => unknown

export type Next = (error?: Error) => void

/** One of Rascal's recovery strategies, with those of its options that mean something here. */
export interface Recovery {
  readonly [option: string]: unknown
  readonly strategy: string
  readonly requeue?: boolean
  readonly defer?: number
  /** For everything that is unacked on the channel. */
  readonly all?: boolean
}
