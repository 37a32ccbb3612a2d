import type { FactoryProvider, ModuleMetadata } from '@nestjs/common'
import type { Deduplicator, DeduplicatorOptions } from '@oncemq/core'

/**
 * The options of `createDeduplicator`, or one that was made already: it is opened and closed with the
 * application all the same.
 */
export type OncemqModuleOptions<Tx = undefined> = Source<Tx> & {
  /**
   * The injection token, for an application with several deduplicators.
   * @default DEDUPLICATOR
   */
  readonly token?: string | symbol
}

/** Options that come from other providers, such as Nest's `ConfigService`. */
export interface OncemqModuleAsyncOptions<Tx = undefined> extends Pick<ModuleMetadata, 'imports'> {
  readonly useFactory: (...args: never[]) => Source<Tx> | Promise<Source<Tx>>
  readonly inject?: FactoryProvider['inject']
  /**
   * As in {@link OncemqModuleOptions}.
   * @default DEDUPLICATOR
   */
  readonly token?: string | symbol
}

export type Source<Tx> = DeduplicatorOptions<Tx> | { readonly deduplicator: Deduplicator<Tx> }
