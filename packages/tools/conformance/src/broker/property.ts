import type { PropertyCase } from '../property.ts'
import type { BrokerContext } from './context.ts'
import type { BrokerNeed } from './options.ts'

/** A case of what a broker adapter must keep: {@link PropertyCase}, which may need several things. */
export interface BrokerCase extends Omit<PropertyCase<BrokerContext, BrokerNeed>, 'needs'> {
  /** The case is skipped, with the reason, where one of these is lacking. */
  readonly needs?: BrokerNeed | readonly BrokerNeed[]
}

/** What every broker adapter must keep, as cases. */
export interface BrokerProperty {
  readonly name: string
  readonly cases: readonly BrokerCase[]
}
