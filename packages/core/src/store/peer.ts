import { StoreError } from '../errors.ts'

/** A driver that a store needs for some of its options alone. */
export interface Peer {
  /** The store's class, for the message. */
  readonly store: string
  /** The package's name, to be installed beside the store. */
  readonly name: string
  /** The option that goes without it, such as `{ pool }`. */
  readonly instead: string
}

/**
 * Loads a driver when it is needed, so that it need not be installed by those who give a client of theirs.
 * @throws StoreError `ONCEMQ_STORE_REFUSED` when it cannot be loaded.
 * @example
 * const peer = { store: 'PostgresStore', name: 'pg', instead: '{ pool }' }
 * const { Pool } = await importPeer(peer, () => import('pg'))
 */
export async function importPeer<Driver>(
  { store, name, instead }: Peer,
  load: () => Promise<Driver>,
): Promise<Driver> {
  try {
    return await load()
  } catch (cause) {
    throw new StoreError(
      'ONCEMQ_STORE_REFUSED',
      `${store}: expected the package ${name} for { url }, received none that loads; npm install ${name}, ` +
        `or give ${instead}`,
      { cause },
    )
  }
}
