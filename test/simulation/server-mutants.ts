import type { MemoryStore } from '@oncemq/core'
import { soundServer } from './faulty-store.ts'
import type { Server } from './faulty-store.ts'
import type { Mutant } from './mutant.ts'
import type { Mutation } from './run.ts'

function server(change: (sound: Server, memory: MemoryStore) => Partial<Server>): Mutation {
  return {
    server: (memory) => {
      const sound = soundServer(memory)
      return { ...sound, ...change(sound, memory) }
    },
  }
}

export const serverMutants: readonly Mutant[] = [
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
    mutation: {
      ...server(() => ({ commits: () => true })),
      plan: (plan) => ({
        strategy: 'transactional',
        workers: 3,
        handlerMsMax: 2 * plan.leaseMs,
        chances: { ...plan.chances, poison: 0, pause: 1, kill: 0 },
      }),
    },
  },
  {
    name: 'a store that never ends a lease',
    breaks: 'ends',
    mutation: server((sound) => ({ claim: (request) => sound.claim({ ...request, leaseMs: 2 ** 31 }) })),
  },
  {
    name: 'a claim that was given up and stays counted as a start',
    breaks: 'attempts-are-starts',
    mutation: server((sound, memory) => ({
      async update(update) {
        const [record] = await memory.inspect([update.id])
        const isUnstarted = update.op === 'release' && update.attempts === (record?.attempts ?? 0) - 1
        return sound.update(isUnstarted ? { ...update, attempts: update.attempts + 1 } : update)
      },
    })),
  },
]
