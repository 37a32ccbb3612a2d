import type { Property, PropertyCase } from '../property.ts'
import type { StoreContext } from './context.ts'

/** What a case needs of a store: a guarantee, or records that stay until they are swept. */
export type StoreNeed = 'durable' | 'sweeping' | 'transactional'

export type StoreProperty = Property<StoreContext, StoreNeed>
export type StoreCase = PropertyCase<StoreContext, StoreNeed>
