import type { Property, PropertyCase } from '../property.ts'
import type { BrokerContext } from './context.ts'

export type BrokerProperty = Property<BrokerContext, never>
export type BrokerCase = PropertyCase<BrokerContext, never>
