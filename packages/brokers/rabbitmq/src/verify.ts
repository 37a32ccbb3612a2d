import type { Deduplicator } from '@oncemq/core'

/** After so long without an ack RabbitMQ closes the channel, unless it is configured otherwise. */
const ACK_TIMEOUT_MS = 1_800_000

/**
 * Warns about times that do not fit the broker: AMQP tells a client neither its timeouts nor its queues'
 * arguments, so this goes by the broker's defaults. Leases need no look: they are renewed for as long as a
 * handler runs.
 */
export function verify(dedup: Pick<Deduplicator, 'settings' | 'warn'>): void {
  const heldMs = dedup.settings.busyTimeoutMs + dedup.settings.outageHoldMs
  if (heldMs < ACK_TIMEOUT_MS) return
  dedup.warn(
    `busyTimeoutMs + outageHoldMs: expected less than RabbitMQ's timeout for acks (${ACK_TIMEOUT_MS}), ` +
      `received ${heldMs}; lower them, or raise consumer_timeout on the broker`,
  )
}
