import type { Claim, ClaimOutcome } from '@oncemq/core/broker'
import type { Deduplicator, ProcessOutcome } from '@oncemq/core'
import { isOncemqError } from '@oncemq/core'
import { settlementOf } from '@oncemq/core/broker'
import type { AmqpMessage } from './amqp.ts'
import { readKey } from './message.ts'
import type { DedupListenerOptions } from './options.ts'
import type { AckOrNack, Next, Recovery } from './rascal.ts'
import { dedupListenerSettings, requireDeduplicator } from './settings.ts'
import { settlementPolicy } from './settler.ts'

export type Listener<Content> = (message: AmqpMessage, content: Content, ackOrNack: AckOrNack) => unknown

/**
 * Wraps a listener of Rascal's subscriptions, whose channels are not the user's to wrap. The listener is
 * called once per message; its `ackOrNack()` records the message as done and then acks, `ackOrNack(error,
 * ...)` frees its key first. Duplicates are acked without it; what is busy, or has no answer from the store,
 * is requeued after a while.
 *
 * @throws OptionError for an option that is wrong.
 * @example
 * subscription.on('message', dedupListener((message, content, ackOrNack) => {
 *   charge(content).then(() => ackOrNack(), ackOrNack)
 * }, dedup))
 */
export function dedupListener<Content = unknown>(
  listener: Listener<Content>,
  dedup: Deduplicator,
  options: DedupListenerOptions = {},
): (message: AmqpMessage, content: Content, ackOrNack: AckOrNack) => void {
  requireDeduplicator('dedupListener', dedup)
  const { key, onReject } = dedupListenerSettings(listener, options)
  return function deduplicated(message, content, ackOrNack) {
    const asked = dedup.claim({ key: readKey(key, message), body: message.content })
    void asked.then((outcome) => {
      const claim = outcome.status === 'granted' ? outcome.claim : undefined
      if (claim !== undefined || outcome.status === 'unprotected') {
        const settle = claim === undefined ? ackOrNack : settling(claim, ackOrNack, dedup)
        return call(() => listener(message, content, settle), settle)
      }
      settleUnheard(outcome as NotHeard, ackOrNack, onReject, dedup)
    })
  }
}

const ACK = { action: 'ack' } as const

type Unfinished = Extract<ProcessOutcome, { status: 'lost' | 'unconfirmed' }>
type NotHeard = Exclude<ClaimOutcome, { status: 'granted' | 'unprotected' }>

/** A throw would end in an unhandled rejection here: the message comes again instead. */
function call(listener: () => unknown, settle: AckOrNack): void {
  try {
    listener()
  } catch (thrown) {
    settle(errorOf(thrown), later(1000))
  }
}

/** Rascal counts its arguments, so they are passed on as they came. */
function settling(claim: Claim, ackOrNack: AckOrNack, dedup: Deduplicator): AckOrNack {
  return function settle(...args) {
    const [error, recovery] = args
    if (error instanceof Object && typeof error !== 'function') {
      const reason = [recovery ?? []].flat().some(isRetry) ? 'failed' : 'permanent'
      void claim.release(reason).then(() => ackOrNack(...args))
      return
    }
    void claim.complete().then((status) => {
      const outcome = status === 'unconfirmed' ? { status, result: undefined } : { status }
      const settlement =
        status === 'completed' ? ACK : settlementOf(outcome as Unfinished, settlementPolicy(dedup))
      if (settlement.action === 'retry') ackOrNack(new Error(settlement.reason), later(settlement.delayMs))
      else ackOrNack(...args)
    })
  }
}

function settleUnheard(
  outcome: NotHeard,
  ackOrNack: AckOrNack,
  onReject: Recovery | Recovery[],
  dedup: Deduplicator,
): void {
  const settlement = settlementOf(outcome, settlementPolicy(dedup))
  switch (settlement.action) {
    case 'ack':
      return ackOrNack()
    case 'retry':
      return ackOrNack(new Error(settlement.reason), later(settlement.delayMs))
    case 'dead-letter':
      return ackOrNack('error' in outcome ? outcome.error : new Error(settlement.reason), onReject)
  }
}

function later(delayMs: number): Recovery {
  return { strategy: 'nack', defer: delayMs, requeue: true }
}

function isRetry(recovery: Recovery | Next): boolean {
  return typeof recovery !== 'function' && (recovery.requeue === true || recovery.strategy === 'republish')
}

function errorOf(thrown: unknown): Error {
  return thrown instanceof Error || isOncemqError(thrown) ? thrown : new Error(String(thrown))
}
