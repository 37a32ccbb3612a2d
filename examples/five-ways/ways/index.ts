import type { Way } from '../way.ts'
import { businessKey } from './business-key.ts'
import { dedupTable } from './dedup-table.ts'
import { redis } from './redis.ts'
import { rocketmqKeys } from './rocketmq-keys.ts'
import { stateMachineWay } from './state-machine.ts'

export const ways = {
  'dedup-table': dedupTable,
  'business-key': businessKey,
  redis,
  'state-machine': stateMachineWay,
  'rocketmq-keys': rocketmqKeys,
} satisfies Readonly<Record<string, Way>>

export type WayName = keyof typeof ways

export const wayNames = Object.keys(ways) as readonly WayName[]
