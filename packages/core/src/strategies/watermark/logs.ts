import type { TakenLog } from '../../delivery/position.ts'
import { readableLabel, recordId } from '../../delivery/identity.ts'
import type { Settings } from '../../options.ts'
import type { TimedCalls } from '../../store/guarded-store.ts'
import type { LogStore } from '../../store/log-contract.ts'
import { LogWatermark } from './log-watermark.ts'

type LogSettings = Pick<Settings<unknown>, 'consumerGroup' | 'store' | 'storeReadableKey' | 'storeTimeoutMs'>

/**
 * Takes a log for a consumer: what its group has of one partition or stream. `name` are the parts that make
 * it unique, which are kept apart whatever stands in them.
 * @throws OncemqError while the store does not answer.
 */
export function takeLog(
  name: readonly string[],
  { consumerGroup, store, storeReadableKey, storeTimeoutMs }: LogSettings,
  guarded: TimedCalls,
): Promise<TakenLog> {
  const id = recordId(consumerGroup, name, { kind: 'log' })
  const label = storeReadableKey ? readableLabel(consumerGroup, undefined, name.join('/')) : undefined
  const logs = store as LogStore<unknown>
  return LogWatermark.take(id, {
    take: () => guarded.within('takeLog', storeTimeoutMs, () => logs.takeLog({ id, label })),
    update: (update) => guarded.within('updateLog', storeTimeoutMs, () => logs.updateLog(update)),
  })
}
