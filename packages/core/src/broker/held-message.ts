import type { DeadLetterReason, RetryReason } from '../delivery/outcome.ts'
import type { Position } from '../delivery/position.ts'

/**
 * A message that an adapter has received and not settled. It is settled once, by one of the four verbs; each
 * is called when the one before has rejected, or not at all.
 */
export interface HeldMessage<Message = unknown> {
  /** As it first came, also when this is a copy of it; for key functions, middlewares and handlers. */
  readonly message: Message
  /** The queue or topic that it came from. */
  readonly source: string
  /** How often the code that handled it has sent it on under the same key. 0 by default. */
  readonly hops?: number
  /** Its payload, as it arrived: what a handler does to the message does not reach it. */
  readonly body: Uint8Array
  /**
   * All that its sender wrote, as bytes that are the same whenever it is delivered: by it the starts of a
   * message without a key are counted. Its payload by default.
   */
  whole?(): Uint8Array
  /** Where it stands in its log, from adapters of logs: where it was fetched, whatever it is a copy of. */
  readonly position?: Position | undefined
  /** What it must be in order with: messages of one order are worked on one after the other. */
  readonly order?: string | undefined
  /** How many starts of its handler the broker, or our copies, know of. */
  readonly startsBefore: number
  /**
   * How many of them are returns of the broker's, which may have been none. The others are starts for
   * certain, which count also when the key was forgiven since. Left out where they cannot be told apart.
   */
  readonly returnsBefore?: number
  /**
   * Whether it was delivered before, and neither the broker nor a copy says how often. Without a key its
   * starts are then counted by a record, for nothing else would end one that ends its process each time.
   */
  readonly isUncounted?: boolean
  /** When it was received for the first time, as far as is known, in milliseconds since 1970. */
  readonly firstAtMs: number
  /**
   * Aborts when it cannot be settled any more: its channel is gone, and the broker delivers it again. Shared
   * by many messages.
   */
  readonly signal: AbortSignal

  /** Makes `message` anew, as it first came: the code that was given the one before may have changed it. */
  renew?(): void
  /**
   * Whether it is to be replaced by a copy before anything else: the broker has returned it so often that it
   * may soon delete it, or no record counts how often it was started and the broker does not either.
   */
  isWornOut?(hasRecord: boolean): boolean
  /** Whether no copy can give it back as it is. Worn out, it is put aside: nothing would end it else. */
  readonly isUncopyable?: boolean
  /** The broker may forget it. Never rejects: what cannot be acked is delivered again, as a duplicate. */
  ack(): Promise<void> | void
  /**
   * Lets the broker deliver it again after a while. Resolves when that is durable; it is acked afterwards,
   * unless this has settled it. Rejects when it cannot be had: the message is still held.
   */
  retryLater(retry: Retry): Promise<void>
  /**
   * Puts it aside. Resolves when that is durable; it is acked afterwards, unless this has settled it. Answers
   * `left-to-broker` where the broker is to do it by its own rules, which may deliver it again before: its
   * attempts then do not start afresh. Rejects when it cannot be had: the message is still held.
   */
  deadLetter(letter: DeadLetter): Promise<'left-to-broker' | void>
  /**
   * Returns it to the broker for another consumer, so that this counts as little as possible towards a limit
   * by which the broker deletes messages. Never rejects.
   */
  giveBack(): Promise<void> | void
}

/** When a message is to be delivered again, why, and what a copy of it says of its starts. */
export interface Retry {
  /** 0 to be delivered again at once, which is for messages that are worn out alone. */
  readonly delayMs: number
  readonly reason: RetryReason | 'worn-out'
  /** How many starts its handler has had, for what has no record of them. */
  readonly starts: number
  /** How many of them are returns of the broker's, as far as is known. */
  readonly returns: number
}

/** Why a message is put aside: everything that a person needs, and nothing of its payload. */
export interface DeadLetter {
  readonly reason: DeadLetterReason
  readonly errorName: string | undefined
  /** At most 300 characters, printable. */
  readonly errorMessage: string | undefined
  /** How many starts its handler has had. */
  readonly attempts: number
  /** Milliseconds since 1970. */
  readonly firstAtMs: number
  readonly lastAtMs: number
}

/** What the engine takes from an adapter: where messages come from. */
export interface MessageSource<Message = unknown> {
  /**
   * Begins to receive, on its own connection or channel or on the user's. Called again whenever the last
   * session has ended, one at a time; the engine bounds how long it may take, and closes a session that comes
   * too late.
   * @throws OncemqError that is not retryable, when there can never be a session (any more): the consumer
   *   ends. Anything else may pass, and it is tried again.
   */
  open(receiver: Receiver<Message>): Promise<Session>
  /** Closes what it opened for all sessions. Never rejects. */
  close(): Promise<void>
}

/** One time of receiving. It ends by itself when its channel does, which it tells its receiver. */
export interface Session {
  /** Receives nothing until `resume`; what is held stays held. At any time at most one consumer is there. */
  pause(): Promise<void>
  /** Receives again. A session that cannot ends. */
  resume(): Promise<void>
  /** Receives nothing any more. Never rejects. */
  stop(): Promise<void>
  /** Sends what was settled, and closes what it opened. Never rejects. */
  close(): Promise<void>
}

/** What the engine gives to a session. */
export interface Receiver<Message = unknown> {
  /** How many more messages the engine takes now, for sources that ask for messages. */
  readonly room: number
  /** Resolves when there may be room again. For sources that ask for messages. */
  hasRoom(): Promise<void>
  /** Hands over a message. */
  received(held: HeldMessage<Message>): void
  /** Says that the session has ended by itself, and why, if that is known. */
  ended(error?: unknown): void
}
