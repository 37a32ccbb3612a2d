/**
 * rocketmq-client-nodejs as this package sees it: the parts that it uses, by structure. No type of the client
 * stands in a public signature, so that its declarations are not needed to read ours.
 */

/** A message as the client delivers it. Fields that were not set are `''` or empty. */
export interface RocketmqMessage {
  readonly messageId: string
  readonly topic: string
  readonly body: Buffer
  readonly keys: readonly string[]
  readonly properties: ReadonlyMap<string, string>
  readonly tag?: string | undefined
  readonly messageGroup?: string | undefined
  /** Which delivery this is, from 1, as the broker counts. */
  readonly deliveryAttempt?: number | undefined
  readonly bornTimestamp?: Date | undefined
  readonly deliveryTimestamp?: Date | undefined
}

/** What every client of the host has. */
export interface RocketmqClient {
  startup(): Promise<void>
  shutdown(): Promise<void>
  isRunning?(): boolean
}

/** What a SimpleConsumer must have: loose on purpose, since a wrapped one keeps its own type. */
export interface RocketmqSimpleConsumer extends RocketmqClient {
  receive(maxMessageNum?: number, invisibleDuration?: number): Promise<readonly object[]>
  ack(message: never): Promise<void>
  changeInvisibleDuration(message: never, invisibleDuration: number): Promise<void>
}

/** What a Producer must have, to park messages. */
export interface RocketmqProducer {
  send(message: {
    topic: string
    body: Buffer
    tag?: string
    keys?: string[]
    properties?: Map<string, string>
  }): Promise<unknown>
}

/** A SimpleConsumer as it is called here. */
export interface RawConsumer extends RocketmqClient {
  receive(maxMessageNum?: number, invisibleDuration?: number): Promise<RocketmqMessage[]>
  ack(message: RocketmqMessage): Promise<void>
  changeInvisibleDuration(message: RocketmqMessage, invisibleDuration: number): Promise<void>
}

/** The two answers of a listener. The client compares them by identity, so they must be the host's own. */
export interface ConsumeResults {
  readonly SUCCESS: unknown
  readonly FAILURE: unknown
}

/** A message group in which order is kept; none for most topics. */
export function messageGroupOf({ messageGroup }: RocketmqMessage): string | undefined {
  return messageGroup === '' ? undefined : messageGroup
}
