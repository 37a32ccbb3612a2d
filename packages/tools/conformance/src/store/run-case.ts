import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { type Store } from '@oncemq/core'
import { systemClock } from '@oncemq/core/store'
import { VirtualClock } from '@oncemq/core/testing'
import { skipReason } from './capabilities.ts'
import type { StoreContext } from './context.ts'
import type { EndLock, StoreEffects, StoreSuiteOptions } from './options.ts'
import type { StoreCase } from './property.ts'
import { storeTime, virtualTime } from './time.ts'
import { StoreWorker } from './worker.ts'

/** Runs one case on a namespace of its own. Answers why it was skipped, or undefined. */
export async function runStoreCase(
  options: StoreSuiteOptions<never>,
  testCase: StoreCase,
): Promise<string | undefined> {
  const namespace = newNamespace(testCase.name)
  const virtualClock = options.virtualTime === true ? new VirtualClock() : undefined
  const clock = virtualClock ?? systemClock
  const handles: Store[] = []
  const locks: EndLock[] = []
  const another = async (): Promise<StoreWorker> => {
    const store = await options.open({ namespace, clock })
    handles.push(store)
    await store.open()
    return new StoreWorker(store)
  }
  try {
    const worker = await another()
    const skipped = skipReason(worker.store, testCase.needs, options)
    if (skipped !== undefined) return skipped
    const time = virtualClock ? virtualTime(virtualClock) : storeTime(worker.store)
    const { guarantees } = worker.store
    const effects = (): StoreEffects<unknown> => effectsOf(options)
    const spoil = async (id: string): Promise<void> => options.spoil?.(namespace, id)
    const lock: StoreContext['lock'] = async (ids, kind) => {
      const end = await options.lock?.(namespace, ids, kind)
      if (end !== undefined) locks.push(end)
      return end
    }
    await testCase.run({ guarantees, namespace, time, worker, another, effects, spoil, lock })
    return undefined
  } finally {
    await Promise.allSettled(locks.map((end) => end()))
    await Promise.all(handles.map((store) => store.close()))
  }
}

function effectsOf(options: StoreSuiteOptions<never>): StoreEffects<unknown> {
  assert.ok(
    options.effects !== undefined,
    'testStore: expected `effects` for a store with guarantees.transactional, received undefined. ' +
      'Give a table of your own to write to, as the docs of StoreEffects say.',
  )
  return options.effects as StoreEffects<unknown>
}

function newNamespace(name: string): string {
  return `t_${createHash('sha256').update(name).digest('hex').slice(0, 8)}_${randomBytes(6).toString('hex')}`
}
