import { setTimeout as delay } from 'node:timers/promises'

const CHURN_EVERY_MS = 2000

export interface Faults {
  readonly count: number
  readonly withinMs: number
  readonly random: (bound: number) => number
  /** Brings about one of them. */
  readonly fault: (number: number) => Promise<void>
}

/** Sends a part of the keys for each fault, which comes while they are handled. */
export async function sendAmongFaults(
  keys: readonly string[],
  send: (part: readonly string[]) => Promise<void>,
  { count, withinMs, random, fault }: Faults,
): Promise<void> {
  const size = keys.length / count
  for (let number = 0; number < count; number += 1) {
    const faulty = async (): Promise<void> => {
      await delay(random(withinMs))
      await fault(number)
    }
    await Promise.all([send(keys.slice(number * size, (number + 1) * size)), faulty()])
  }
}

/** Waits for what is being sent while every two seconds a member leaves and another joins. */
export async function amongRebalances(
  sending: Promise<void>,
  count: number,
  replace: () => Promise<void>,
): Promise<void> {
  const churned = async (): Promise<void> => {
    for (let churn = 0; churn < count; churn += 1) {
      await delay(CHURN_EVERY_MS)
      await replace()
    }
  }
  await Promise.all([sending, churned()])
}
