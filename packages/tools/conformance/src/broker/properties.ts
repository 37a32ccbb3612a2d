import { acks } from './properties/acks.ts'
import { busy } from './properties/busy.ts'
import { closing } from './properties/closing.ts'
import { failure } from './properties/failure.ts'
import { keys } from './properties/keys.ts'
import { once } from './properties/once.ts'
import { deadLetters } from './properties/dead-letters.ts'
import { order } from './properties/order.ts'
import { outage } from './properties/outage.ts'
import { copies } from './properties/copies.ts'
import { redelivery } from './properties/redelivery.ts'
import { sources } from './properties/sources.ts'
import { starts } from './properties/starts.ts'
import type { BrokerProperty } from './property.ts'

/** All that an adapter must keep, one file a property. */
export const brokerProperties: readonly BrokerProperty[] = Object.freeze([
  once,
  order,
  keys,
  failure,
  busy,
  acks,
  redelivery,
  outage,
  closing,
  starts,
  deadLetters,
  copies,
  sources,
])
