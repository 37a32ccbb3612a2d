import type { Deduplicator, HandlerContext, MemoryStore, ProcessOutcome } from '@oncemq/core'
import type { Settlement } from '@oncemq/core/broker'
import { soundServer } from './faulty-store.ts'
import type { Server, Writes } from './faulty-store.ts'
import type { Mutation } from './run.ts'
import { soundConsume } from './worker.ts'
import type { Consume } from './worker.ts'

/** A fault that somebody may write one day, and the promise that the oracle must see broken. */
export interface Mutant {
  readonly name: string
  readonly breaks: string
  readonly mutation: Mutation
}

const ack: Settlement = { action: 'ack' }

function server(change: (sound: Server, memory: MemoryStore) => Partial<Server>): Mutation {
  return {
    server: (memory) => {
      const sound = soundServer(memory)
      return { ...sound, ...change(sound, memory) }
    },
  }
}

/** Settles as it should, but for one status. */
function settles(status: ProcessOutcome['status'], settlement: Settlement): Mutation {
  return {
    consume: async (dedup, key, handler) => {
      const sound = await soundConsume(dedup, key, handler)
      return sound.outcome?.status === status ? { ...sound, settlement } : sound
    },
  }
}

const never: Consume = () => new Promise(() => {})

async function ackFirst(
  dedup: Deduplicator<Writes>,
  key: string,
  handler: (context: HandlerContext<Writes>) => Promise<void>,
) {
  void dedup.process({ key }, handler)
  return { settlement: ack, outcome: undefined }
}

const servers: readonly Mutant[] = [
  {
    name: 'a store that grants what is done',
    breaks: 'done-is-final',
    mutation: server((sound, memory) => ({
      async claim(request) {
        const answer = await sound.claim(request)
        if (answer.status !== 'done') return answer
        await memory.forget([request.id])
        return sound.claim(request)
      },
    })),
  },
  {
    name: 'a store that grants what runs',
    breaks: 'one-claim',
    mutation: server((sound) => ({
      async claim(request) {
        const answer = await sound.claim(request)
        return answer.status === 'busy' ? { status: 'granted', epoch: answer.epoch + 1, attempt: 1 } : answer
      },
    })),
  },
  {
    name: 'a store that ends leases too early',
    breaks: 'told-in-time',
    mutation: server((sound) => ({
      claim: (request) => sound.claim({ ...request, leaseMs: Math.ceil(request.leaseMs / 2) }),
      update: (update) =>
        sound.update(update.op === 'renew' ? { ...update, leaseMs: Math.ceil(update.leaseMs / 4) } : update),
    })),
  },
  {
    name: 'a store that removes what is released, and its epoch with it',
    breaks: 'epochs-rise',
    mutation: server((sound, memory) => ({
      async update(update) {
        const answer = await sound.update(update)
        if (update.op === 'release' && answer === 'ok') await memory.forget([update.id])
        return answer
      },
    })),
  },
  {
    name: 'a store that says ok to a claim that is no longer the one',
    breaks: 'owner-only',
    mutation: server((sound) => ({
      async update(update) {
        await sound.update(update)
        return 'ok'
      },
    })),
  },
  {
    name: 'a store that says ok and forgets',
    breaks: 'done-is-final',
    mutation: server((sound, memory) => ({
      async update(update) {
        const answer = await sound.update(update)
        if (update.op === 'complete') await memory.forget([update.id])
        return answer
      },
    })),
  },
  {
    name: 'a store that commits what is lost',
    breaks: 'one-effect',
    mutation: server(() => ({ commits: () => true })),
  },
  {
    name: 'a store that never ends a lease',
    breaks: 'ends',
    mutation: server((sound) => ({ claim: (request) => sound.claim({ ...request, leaseMs: 2 ** 31 }) })),
  },
]

const consumers: readonly Mutant[] = [
  { name: 'a consumer that acks what is busy', breaks: 'ack-after-done', mutation: settles('busy', ack) },
  { name: 'a consumer that acks what it lost', breaks: 'ack-after-done', mutation: settles('lost', ack) },
  { name: 'a consumer that acks what failed', breaks: 'ack-after-done', mutation: settles('failed', ack) },
  {
    name: 'a consumer that acks without the store',
    breaks: 'ack-after-done',
    mutation: settles('unavailable', ack),
  },
  {
    name: 'a consumer that dead-letters what is busy',
    breaks: 'no-needless-dead-letter',
    mutation: settles('busy', { action: 'dead-letter', reason: 'attempts' }),
  },
  { name: 'a consumer that acks first', breaks: 'ack-after-done', mutation: { consume: ackFirst } },
  { name: 'a consumer that never settles', breaks: 'ends', mutation: { consume: never } },
  {
    name: 'a consumer without deduplication',
    breaks: 'ack-after-done',
    mutation: {
      consume: async (_, key, handler) => {
        const context = { key, epoch: 0, attempt: 1, signal: new AbortController().signal, tx: { ids: [] } }
        await handler(context).catch(() => undefined)
        return { settlement: ack, outcome: undefined }
      },
    },
  },
  {
    name: 'a consumer that completes without the handler',
    breaks: 'nothing-lost',
    mutation: { consume: (dedup, key) => soundConsume(dedup, key, async () => {}) },
  },
  {
    name: 'a consumer that runs the handler twice',
    breaks: 'one-start-a-grant',
    mutation: {
      consume: (dedup, key, handler) =>
        soundConsume(dedup, key, async (context) => {
          await handler(context)
          await handler(context)
        }),
    },
  },
]

export const mutants: readonly Mutant[] = [...servers, ...consumers]
