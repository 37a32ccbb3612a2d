import { randomInt } from 'node:crypto'

/** A new one each time, or that of ONCEMQ_SEED. */
export function seedOf(): number {
  return Number(process.env['ONCEMQ_SEED'] ?? randomInt(2 ** 31))
}

/** Whole numbers from 0 to below the bound, the same ones for the same seed. */
export function randomOf(seed: number): (bound: number) => number {
  let state = seed >>> 0
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * bound)
  }
}
