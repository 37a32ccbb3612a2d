import type { Clock } from '@oncemq/core/broker'
import { pause } from '@oncemq/core/broker'

/** The client sends a heartbeat only when one is due. */
const HEARTBEAT_EVERY_MS = 500

/**
 * Works, and lets the heart beat meanwhile. A heart that cannot beat says that the group rebalances, or that
 * the broker is gone: that is thrown at once, and the work goes on by itself.
 */
export async function beating(
  clock: Clock,
  heartbeat: () => Promise<void>,
  work: () => Promise<void>,
): Promise<void> {
  const ended = new AbortController()
  const worked = work().finally(() => ended.abort())
  const beats = async (): Promise<void> => {
    while (await pause(clock, HEARTBEAT_EVERY_MS, ended.signal)) await heartbeat()
  }
  await Promise.race([worked, beats().then(() => worked)])
}
