import { OncemqError } from '@oncemq/core'
import type { Clock } from '@oncemq/core/broker'
import { Condition } from '@oncemq/core/broker'
import type { AmqpMessage, RawChannel } from '../amqp.ts'
import { answerOf } from '../amqp.ts'
import { consumeFrom, offsetOf, onChannel } from '../queue-kind.ts'

/** After this much silence there is nothing further. */
const QUIET_MS = 500
/** For so long one that goes on growing is read. */
const GROWING_MS = 3000
const PREFETCH = 500

export interface EndRequest {
  readonly queue: string
  readonly openChannel: () => Promise<RawChannel>
  readonly clock: Clock
  /** Where there is one with this offset, it need not be known how many follow. */
  readonly enough?: bigint
}

/**
 * The offset of a stream's last message, as far as one can see by reading its last chunk; `undefined` where
 * nothing came, which does not prove that it is empty. A stream tells its length to nobody but late. Of one
 * that goes on growing it is the last one that was seen; with `enough`, which was not seen, `undefined`.
 */
export function lastOffset({ queue, openChannel, clock, enough }: EndRequest): Promise<bigint | undefined> {
  return onChannel(openChannel, async (channel) => {
    let last: bigint | undefined
    const changed = new Condition()
    const received = (message: AmqpMessage | null): void => {
      if (message === null) return
      last = offsetOf(message) ?? last
      changed.notifyAll()
      channel.ack(message)
    }
    await answerOf<unknown>((done) => channel.prefetch(PREFETCH, false, done) ?? done(null))
    await answerOf<unknown>((done) => channel.consume(queue, received, consumeFrom('last'), done))
    const untilMs = clock.monotonicMs() + GROWING_MS
    while (clock.monotonicMs() < untilMs) {
      const before = last
      await changed.wait(clock, QUIET_MS)
      if (last === before || (enough !== undefined && last !== undefined && last >= enough)) return last
    }
    return enough === undefined ? last : undefined
  })
}

/** A stream that ends before where its log is done is not the one that was read before. */
export function streamGone(queue: string, next: bigint, last: bigint): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `consume: expected messages of the stream '${queue}' from offset ${next} on, received one that ends ` +
      `with offset ${last}; if the stream was made anew, remove its row from the table of the logs`,
  )
}
