import type { Broker } from './broker.ts'
import type { World, Worker } from './worker.ts'

const FAULTS_MAX = 8

/** Kills, pauses, cuts and closes, some dozen at most. */
export function scheduleFaults(world: World, broker: Broker, workers: readonly Worker[]): void {
  const { clock, dice, plan, isAlarmed, isBrokerDown } = world
  const { chances, faultsEndMs, leaseMs } = plan
  const at = (chance: number, fault: (worker: Worker) => unknown): void => {
    for (let count = 0; count < FAULTS_MAX; count += 1) {
      if (!dice.chance(chance)) continue
      clock.after(dice.integer(0, faultsEndMs - 1), () => {
        if (workers.length > 0) fault(dice.pick(workers))
      })
    }
  }
  at(chances.kill, (worker) => worker.kill())
  at(chances.cut, (worker) => worker.cut())
  at(chances.close, (worker) => worker.close())
  at(chances.closeDedup, (worker) => worker.close({ dedupFirst: true }))
  at(chances.pause, (worker) => {
    worker.pause()
    clock.after(dice.integer(1, 3 * leaseMs), () => worker.clock.resume())
  })
  watch(world, isBrokerDown, { begins: () => broker.cutAll() })
  watch(world, isAlarmed, { ends: () => broker.alarmOver() })
}

const LOOK_EVERY_PART = 500

/** Notices, a little late, that something has begun or ended. */
function watch(
  { clock, plan }: World,
  isSo: () => boolean,
  { begins, ends }: { begins?: () => void; ends?: () => void },
): void {
  let wasSo = false
  const everyMs = Math.max(100, Math.floor(plan.faultsEndMs / LOOK_EVERY_PART))
  const look = (): void => {
    const isNow = isSo()
    if (isNow && !wasSo) begins?.()
    if (!isNow && wasSo) ends?.()
    wasSo = isNow
    if (clock.monotonicMs() <= plan.faultsEndMs || isNow) clock.after(everyMs, look)
  }
  look()
}
