import { RmqContext } from '@nestjs/microservices'
import type { HandlerContext } from '@oncemq/core'
import { OncemqError } from '@oncemq/core'
import type { AmqpMessage } from '@oncemq/rabbitmq'

/**
 * What a handler gets by `@Ctx()`: Nest's own context, and what oncemq tells of the run. There is no channel
 * to ack on: a handler that returns has done its message, and one that throws has not.
 */
export class OncemqContext<Tx = undefined> extends RmqContext {
  /** `key`, `epoch`, `attempt`, `signal`, `tx` and `childId`. */
  readonly run: HandlerContext<Tx>

  constructor(message: AmqpMessage, pattern: string, run: HandlerContext<Tx>) {
    super([message, settledByReturn, pattern])
    this.run = run
  }
}

/** Code that was written for Nest's own transport acks when it is done: that is what returning means here. */
const settledByReturn = Object.freeze({
  ack: () => undefined,
  nack: refused,
  reject: refused,
})

function refused(): never {
  throw new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    'OncemqRmqServer: expected a handler that throws, received a nack or reject; throw an error to have ' +
      'the message again later, or a PermanentError to have it dead-lettered',
  )
}
