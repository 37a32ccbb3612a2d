import type { Property, PropertyCase } from '../property.ts'
import type { BrokerContext } from './context.ts'
import type { BrokerNeed } from './options.ts'

export type BrokerProperty = Property<BrokerContext, BrokerNeed>
export type BrokerCase = PropertyCase<BrokerContext, BrokerNeed>
