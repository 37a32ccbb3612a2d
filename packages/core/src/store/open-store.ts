import type { EventHub } from '../observe/event-hub.ts'
import { StoreError } from '../errors.ts'
import { perProcess } from '../per-process.ts'
import type { Finding, Store } from './contract.ts'

const users = perProcess('users', () => new WeakMap<Store, Set<object>>())

/**
 * Opens a store for `user`, which counts as one that uses it from now on, however this ends.
 * @throws StoreError `ONCEMQ_STORE_UNSAFE` for a finding not accepted.
 */
export async function openStore(
  store: Store,
  user: object,
  accepted: readonly string[],
  events: EventHub,
): Promise<void> {
  users.set(store, (users.get(store) ?? new Set()).add(user))
  const findings = await store.open()
  for (const finding of findings) events.emit('finding', () => finding)
  const refused = findings.find(({ severity, code }) => severity === 'error' && !accepted.includes(code))
  if (refused !== undefined) throw unsafe(store.name, refused)
}

/** Closes a store when the last of those that opened it is done with it. */
export async function closeStore(store: Store, user: object): Promise<void> {
  const left = users.get(store)
  if (left?.delete(user) && left.size === 0) await store.close()
}

function unsafe(name: string, { code, found, remedy }: Finding): StoreError {
  return new StoreError(
    'ONCEMQ_STORE_UNSAFE',
    `${name}: ${found}; ${remedy}. If that is what you want, set acceptFindings: ['${code}']`,
  )
}
