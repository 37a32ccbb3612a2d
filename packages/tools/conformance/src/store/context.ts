import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import {
  type ClaimRequest,
  type Store,
  type StoreGuarantees,
  systemClock,
  type TransactionalStore,
} from '@oncemq/core'
import { VirtualClock } from '../virtual-clock.ts'
import type { StoreEffects, StoreSuiteOptions } from './options.ts'
import type { StoreCase, StoreNeed } from './property.ts'
import { storeTime, type SuiteTime, virtualTime } from './time.ts'
import { LONG_MS, StoreWorker } from './worker.ts'

/** What a case works with: workers on one namespace of its own, new requests, and time. */
export interface StoreContext {
  readonly guarantees: StoreGuarantees
  readonly namespace: string
  readonly time: SuiteTime
  /** The first handle. */
  readonly worker: StoreWorker
  /** Another process: a further handle on the same records. */
  readonly another: () => Promise<StoreWorker>
  /** The user's own table. Fails if the options do not name one. */
  readonly effects: () => StoreEffects<unknown>
}

/** Runs one case on a namespace of its own. Answers why it was skipped, or undefined. */
export async function runStoreCase(
  options: StoreSuiteOptions<never>,
  testCase: StoreCase,
): Promise<string | undefined> {
  const namespace = newNamespace(testCase.name)
  const virtualClock = options.virtualTime === true ? new VirtualClock() : undefined
  const clock = virtualClock ?? systemClock
  const handles: Store[] = []
  const another = async (): Promise<StoreWorker> => {
    const store = await options.open({ namespace, clock })
    handles.push(store)
    await store.open()
    return new StoreWorker(store)
  }
  try {
    const worker = await another()
    const missing = testCase.needs !== undefined && !NEEDS[testCase.needs](worker.store)
    if (missing) return `${worker.store.name} is not ${testCase.needs}`
    const time = virtualClock ? virtualTime(virtualClock) : storeTime(worker.store)
    const { guarantees } = worker.store
    const effects = (): StoreEffects<unknown> => effectsOf(options)
    await testCase.run({ guarantees, namespace, time, worker, another, effects })
    return undefined
  } finally {
    await Promise.all(handles.map((store) => store.close()))
  }
}

/** A request for a new id, with a lease and a retention that do not end while the case runs. */
export function newClaim(fields: Partial<ClaimRequest> = {}): ClaimRequest {
  return {
    id: newHex(),
    claimId: newHex(),
    leaseMs: LONG_MS,
    retentionMs: LONG_MS,
    fingerprint: undefined,
    label: undefined,
    ...fields,
  }
}

/** Another delivery of the same message. */
export function rivalOf(claim: ClaimRequest, fields: Partial<ClaimRequest> = {}): ClaimRequest {
  return newClaim({ id: claim.id, ...fields })
}

export function newClaims(count: number): ClaimRequest[] {
  return Array.from({ length: count }, () => newClaim())
}

/** 128 random bits as an id, a claim id or a fingerprint is written. */
export function newHex(): string {
  return randomBytes(16).toString('hex')
}

/** Whether expired records stay until they are swept, so that their epochs can be told. */
export function isSweeping(store: Store): store is Store & { sweep(limit: number): Promise<number> } {
  return 'sweep' in store && typeof store.sweep === 'function'
}

const NEEDS: Record<StoreNeed, (store: Store) => boolean> = {
  durable: (store) => store.guarantees.durable,
  sweeping: isSweeping,
  transactional: (store): store is TransactionalStore<unknown> => store.guarantees.transactional,
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
