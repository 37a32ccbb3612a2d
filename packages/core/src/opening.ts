import type { EventHub } from './events.ts'
import { StoreError } from './errors.ts'
import type { Finding, Store } from './store.ts'

const users = new WeakMap<Store, number>()

/**
 * Opens a store for one more deduplicator. @throws StoreError `ONCEMQ_STORE_UNSAFE` for a finding not
 * accepted.
 */
export async function openStore(store: Store, accepted: readonly string[], events: EventHub): Promise<void> {
  const findings = await store.open()
  for (const finding of findings) events.emit('finding', () => finding)
  const refused = findings.find(({ severity, code }) => severity === 'error' && !accepted.includes(code))
  if (refused !== undefined) throw unsafe(store.name, refused)
  users.set(store, (users.get(store) ?? 0) + 1)
}

/** Closes a store when the last of its deduplicators is done with it. */
export async function closeStore(store: Store): Promise<void> {
  const left = (users.get(store) ?? 1) - 1
  users.set(store, left)
  if (left === 0) await store.close()
}

function unsafe(name: string, { code, found, remedy }: Finding): StoreError {
  return new StoreError(
    'ONCEMQ_STORE_UNSAFE',
    `${name}: ${found}; ${remedy}. If that is what you want, set acceptFindings: ['${code}']`,
  )
}
