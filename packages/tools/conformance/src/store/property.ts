import type { Property, PropertyCase } from '../property.ts'
import type { StoreNeed } from './capabilities.ts'
import type { StoreContext } from './context.ts'

/** What every store must keep, as cases. */
export type StoreProperty = Property<StoreContext, StoreNeed>
/** A case of what a store must keep. */
export type StoreCase = PropertyCase<StoreContext, StoreNeed>
