import { randomFillSync } from 'node:crypto'

/** Randomness as the core sees it, injected so that a simulation can repeat a run by its seed. */
export interface Random {
  /** 128 random bits as 32 lower-case hexadecimal digits; unguessable in production. */
  claimId(): string
  /** A number in [0, 1) for jitter. */
  fraction(): number
}

const POOL_BYTES = 8192
const ID_BYTES = 16

/** The system's secure source, read a pool at a time: one call for 512 claim ids. */
export function systemRandom(): Random {
  const pool = Buffer.allocUnsafe(POOL_BYTES)
  let used = POOL_BYTES
  return {
    claimId() {
      if (used === POOL_BYTES) {
        randomFillSync(pool)
        used = 0
      }
      used += ID_BYTES
      return pool.toString('hex', used - ID_BYTES, used)
    },
    fraction: () => Math.random(),
  }
}
