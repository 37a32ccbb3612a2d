import { createRequire } from 'node:module'

import { OncemqError } from '@oncemq/core'
import type { ConsumeResults, RawConsumer, RocketmqMessage } from './client.ts'

interface HostClient {
  readonly ConsumeResult?: ConsumeResults
  readonly PushConsumer?: {
    readonly prototype: {
      readonly wrapForwardMessageToDeadLetterQueueRequest?: (
        this: unknown,
        message: RocketmqMessage,
      ) => unknown
    }
  }
}

let found: HostClient | undefined

/** The copy of the client that stands beside this package: the host's, since it is a peer dependency. */
function hostClient(): HostClient {
  found ??= createRequire(import.meta.url)('rocketmq-client-nodejs') as HostClient
  return found
}

/** @throws OncemqError `ONCEMQ_CONSUMER_UNSAFE` when there is no client to take them from. */
export function hostResults(): ConsumeResults {
  let results: ConsumeResults | undefined
  let cause: unknown
  try {
    results = hostClient().ConsumeResult
  } catch (error) {
    cause = error
  }
  if (results !== undefined) return results
  throw new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    'dedupListener: expected rocketmq-client-nodejs beside this package, received none; ' +
      "install it, or pass your copy's ConsumeResult as option 'results'",
    { cause },
  )
}

interface Forwarding {
  forwardMessageToDeadLetterQueueViaRpc?(
    endpoints: unknown,
    request: unknown,
    timeoutMs: number,
  ): Promise<{ getStatus(): { getCode(): number } | undefined }>
  getConsumerGroup?(): string
}

const FORWARD_TIMEOUT_MS = 5000
const OK = 20_000

/**
 * Moves a message to the dead-letter queue of its consumer group, by the call that PushConsumers make.
 * @throws Error where the client has no such call, and what it throws.
 */
export async function forwardToDeadLetterQueue(
  consumer: RawConsumer,
  message: RocketmqMessage,
): Promise<void> {
  const client = consumer as unknown as Forwarding
  const wrap = hostClient().PushConsumer?.prototype.wrapForwardMessageToDeadLetterQueueRequest
  const consumerGroup = client.getConsumerGroup?.()
  if (
    wrap === undefined ||
    client.forwardMessageToDeadLetterQueueViaRpc === undefined ||
    consumerGroup === undefined
  ) {
    throw new Error('this version of the client cannot move messages to the dead-letter queue')
  }
  const asPushConsumer = { consumerGroup, getRetryPolicy: () => undefined, isLiteConsumer: () => false }
  const { endpoints } = message as RocketmqMessage & { readonly endpoints?: unknown }
  const request = wrap.call(asPushConsumer, message)
  const response = await client.forwardMessageToDeadLetterQueueViaRpc(endpoints, request, FORWARD_TIMEOUT_MS)
  const code = response.getStatus()?.getCode()
  if (code !== OK) throw new Error(`the server answered ${code}`)
}
