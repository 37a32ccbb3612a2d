import type { Property, PropertyCase } from '../property.ts'
import type { StoreNeed } from './capabilities.ts'
import type { StoreContext } from './context.ts'

export type StoreProperty = Property<StoreContext, StoreNeed>
export type StoreCase = PropertyCase<StoreContext, StoreNeed>
