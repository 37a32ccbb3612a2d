import type { ProcessOutcome } from '@oncemq/core'
import type { Mutant } from './mutant.ts'
import {
  acked,
  answers,
  crowded,
  healthy,
  held,
  only,
  quiet,
  returnAtOnce,
  sound,
  swift,
} from './mutations.ts'
import type { SimHeld } from './source.ts'

const HOUR_MS = 3_600_000

const settling: readonly Mutant[] = [
  {
    name: 'acks what is busy',
    breaks: 'ack-after-done',
    mutation: { process: answers('busy', () => acked) },
  },
  {
    name: 'acks what it lost',
    breaks: 'ack-after-done',
    mutation: { process: answers('lost', () => acked) },
  },
  {
    name: 'acks what failed',
    breaks: 'ack-after-done',
    mutation: { process: answers('failed', () => acked) },
  },
  {
    name: 'acks without the store',
    breaks: 'ack-after-done',
    mutation: {
      process: async (call) => {
        const outcome = await call.dedup.process({ ...call.delivery, holdMs: 0 }, call.handler)
        return outcome.status === 'store-down' ? acked : outcome
      },
    },
  },
  {
    name: 'acks what a closed deduplicator did not handle',
    breaks: 'ack-after-done',
    mutation: { process: answers('closed', () => acked), plan: only('fine', { closeDedup: 1 }) },
  },
  {
    name: 'acks before it handles',
    breaks: 'ack-after-done',
    mutation: {
      process: async (call) => {
        call.channel.ack()
        return sound(call)
      },
    },
  },
  {
    name: 'dead-letters what is busy',
    breaks: 'no-needless-dead-letter',
    mutation: {
      process: answers('busy', (outcome) => {
        const error = new Error('simulated') as never
        return outcome.status === 'busy'
          ? { status: 'rejected', reason: 'attempts', error, attempt: 1 }
          : outcome
      }),
    },
  },
  { name: 'never settles', breaks: 'ends', mutation: { process: () => new Promise(() => {}) } },
  {
    name: 'completes without the handler',
    breaks: 'nothing-lost',
    mutation: { process: ({ dedup, delivery }) => dedup.process(delivery, () => undefined) },
  },
  {
    name: 'runs the handler twice',
    breaks: 'one-start-a-grant',
    mutation: {
      process: ({ dedup, delivery, handler }) =>
        dedup.process(delivery, async (context) => {
          await handler(context)
          await handler(context)
        }),
    },
  },
]

const returning: readonly Mutant[] = [
  {
    name: 'gives back at once what the store cannot be asked for',
    breaks: 'no-hot-loop',
    mutation: {
      process: async (call) => {
        const outcome = await call.dedup.process({ ...call.delivery, holdMs: 0 }, call.handler)
        return outcome.status === 'store-down' ? returnAtOnce(call) : outcome
      },
      plan: only('fine', { ...quiet, outage: 1 }, { outageMsMax: 600_000, faultsEndMs: 1_200_000 }),
    },
  },
  {
    name: 'gives back at once what failed',
    breaks: 'no-hot-loop',
    mutation: {
      process: answers('failed', (outcome, call) =>
        outcome.status === 'failed' && !outcome.final ? returnAtOnce(call) : outcome,
      ),
      plan: only('failing', {}, { ...swift, attemptsMax: 1000 }),
    },
  },
  {
    name: 'makes no copy of what was returned too often',
    breaks: 'nothing-lost',
    mutation: {
      ...held(() => ({ isWornOut: () => false })),
      plan: only('poison', {}, { attemptsMax: 16, messages: 6 }),
    },
  },
  {
    name: 'gives back what cannot be copied, each second',
    breaks: 'no-hot-loop',
    mutation: {
      ...held((own, _, channel) => {
        const orReturn = async (sent: Promise<unknown>): Promise<void> => {
          await sent.catch(() => {
            own.ack = () => undefined
            channel.requeue()
          })
        }
        return {
          ack: () => own.ack(),
          isWornOut: () => false,
          retryLater: (retry) => orReturn(own.retryLater(retry)),
          deadLetter: (letter) => orReturn(own.deadLetter(letter)),
        } satisfies Partial<SimHeld>
      }),
      // Where the broker has no limit: else the message is deleted before that many returns.
      plan: only(
        'failing',
        { ...quiet, unsendable: 1 },
        { ...swift, attemptsMax: 1000, window: 1, concurrency: 1, deliveryLimit: Number.POSITIVE_INFINITY },
      ),
    },
  },
  {
    name: 'holds for longer than the broker allows',
    breaks: 'held-in-time',
    mutation: {
      holdMs: 10 * HOUR_MS,
      plan: only('fine', { ...quiet, outage: 1 }, { outageMsMax: 7_200_000, faultsEndMs: 9_000_000 }),
    },
  },
]

const copying: readonly Mutant[] = [
  {
    name: 'keeps the deaths of a message on its copies',
    breaks: 'nothing-lost',
    mutation: { adapter: { keepsDeaths: true }, plan: only('failing', {}, { dropsCycles: true, window: 1 }) },
  },
  {
    name: 'takes a copy for sent before it is confirmed',
    breaks: 'ack-after-done',
    mutation: { adapter: { trustsUnconfirmed: true }, plan: only('failing', {}, { window: 1 }) },
  },
  {
    name: 'sends to wait at once what is busy, all at a time',
    breaks: 'no-avalanche',
    mutation: {
      process: answers('busy', async (_, { held, delivery }) => {
        const { startsBefore: starts = 0, returnsBefore: returns = 0 } = delivery
        await held.retryLater({ delayMs: 1000, reason: 'busy', starts, returns })
        await held.ack()
        held.ack = () => undefined
        return acked
      }),
      plan: only('poison', { ...quiet, ...healthy, poison: 1, unkeyed: 0 }, crowded),
    },
  },
  {
    name: 'pauses and leaves its consumer there',
    breaks: 'one-consumer',
    mutation: {
      adapter: { session: () => ({ pause: async () => undefined }) },
      plan: only('fine', { ...quiet, outage: 1 }, { outageMsMax: 7_200_000, faultsEndMs: 9_000_000 }),
    },
  },
  {
    name: 'forgets the order of messages',
    breaks: 'order',
    mutation: {
      ...held(() => ({ order: undefined })),
      plan: (plan) => ({ isOrdered: true, keys: plan.messages, window: 8, concurrency: 8 }),
    },
  },
]

const counting: readonly Mutant[] = [
  {
    name: 'forgives a key before its message is put aside',
    breaks: 'reset-when-durable',
    mutation: {
      process: async (call) => {
        const outcome = await sound(call)
        if ('forgive' in outcome) await outcome.forgive?.()
        return outcome
      },
      plan: only('failing', {}, { strategy: 'lease', attemptsMax: 2 }),
    },
  },
  {
    name: 'never forgives a key',
    breaks: 'replay-runs',
    mutation: {
      process: async (call) => {
        const outcome = await sound(call)
        return 'forgive' in outcome ? ({ ...outcome, forgive: undefined } as ProcessOutcome) : outcome
      },
      plan: only('failing', {}, { attemptsMax: 2 }),
    },
  },
  {
    name: 'does not count the starts of messages without a key',
    breaks: 'ends',
    mutation: {
      process: ({ dedup, delivery, handler }) => dedup.process({ ...delivery, startsBefore: 0 }, handler),
      restMs: HOUR_MS,
      plan: only(
        'failing',
        { ...quiet, unkeyed: 1 },
        { attemptsMax: 2, strategy: 'lease', faultsEndMs: 10_000 },
      ),
    },
  },
  {
    name: 'does not count what a middleware throws',
    breaks: 'ends',
    mutation: {
      middlewares: [
        (_, next) =>
          next().catch((error: unknown) => ({ status: 'failed', final: false, error, attempt: 1 }) as const),
      ],
      restMs: HOUR_MS,
      plan: only('fine', { ...quiet, middleware: 1 }, { attemptsMax: 2, faultsEndMs: 10_000 }),
    },
  },
  {
    name: 'lets suspects run beside others',
    breaks: 'no-needless-dead-letter',
    mutation: {
      // Two deduplicators in one process know nothing of each other's suspects.
      process: ({ delivery, handler }, worker) =>
        worker.spare(Number(delivery.body?.[0]) % 2).process(delivery, handler),
      plan: only(
        'poison',
        { ...quiet, ...healthy, poison: 0.3 },
        { attemptsMax: 2, window: 32, concurrency: 32, handlerMsMax: 100 },
      ),
    },
  },
  {
    name: 'sets handlers no bound',
    breaks: 'held-in-time',
    mutation: { handlerTimeoutMs: 0, plan: only('hung', { ...quiet, hung: 0.5 }, { strategy: 'lease' }) },
  },
  {
    name: 'gives up an outage that is longer than a day',
    breaks: 'ends',
    mutation: {
      available: async (dedup, { clock }, signal) => {
        const begunMs = clock.monotonicMs()
        const isUp = await dedup.available(signal)
        return clock.monotonicMs() - begunMs > 24 * HOUR_MS ? new Promise<never>(() => {}) : isUp
      },
      plan: only('fine', { ...quiet, outage: 1 }, { outageMsMax: 172_800_000, faultsEndMs: 180_000_000 }),
    },
  },
]

export const engineMutants: readonly Mutant[] = [...settling, ...returning, ...copying, ...counting].map(
  (mutant) => ({
    ...mutant,
    name: `an engine that ${mutant.name}`,
  }),
)
