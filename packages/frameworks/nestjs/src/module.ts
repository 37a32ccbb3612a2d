import type { DynamicModule, OnApplicationShutdown, OnModuleInit, Provider } from '@nestjs/common'
import { Global, Inject, Module } from '@nestjs/common'
import { APP_INTERCEPTOR, ModuleRef } from '@nestjs/core'
import type { Deduplicator } from '@oncemq/core'
import { createDeduplicator } from '@oncemq/core'
import { givenOptions, requireDeduplicator, requireMethods } from '@oncemq/core/broker'
import { OncemqHealthIndicator } from './health.ts'
import type { OncemqModuleAsyncOptions, OncemqModuleOptions, Source } from './options.ts'
import { ThrownInterceptor } from './thrown.ts'

/** Injects the application's `Deduplicator`. */
export const DEDUPLICATOR = Symbol.for('oncemq.nestjs.deduplicator')

const OPTIONS = '{ deduplicator }, or the options of createDeduplicator'

/** Tells the module which token its deduplicator has. */
const TOKEN = Symbol('oncemq.nestjs.token')

/**
 * Gives an application its deduplicator, for the whole of it. It is opened when the application starts, which
 * fails if the store cannot be used; and closed when everything else has ended: what runs may end.
 * @example
 * OncemqModule.forRoot({ store: new PostgresStore({ url }), consumerGroup: 'billing' })
 */
export class OncemqModule implements OnModuleInit, OnApplicationShutdown {
  readonly #module: ModuleRef
  readonly #token: string | symbol

  constructor(module: ModuleRef, token: string | symbol) {
    this.#module = module
    this.#token = token
  }

  /** @throws OptionError for what are no options; those of `createDeduplicator` are checked at start. */
  static forRoot<Tx = undefined>(options: OncemqModuleOptions<Tx>): DynamicModule {
    requireMethods('OncemqModule.forRoot', options, [], `pass ${OPTIONS}`)
    const { token = DEDUPLICATOR, ...source } = options
    return moduleOf(token, { provide: token, useFactory: () => deduplicatorOf(source as Source<Tx>) })
  }

  /** @throws OptionError without `useFactory`; what that answers is checked at start. */
  static forRootAsync<Tx = undefined>(options: OncemqModuleAsyncOptions<Tx>): DynamicModule {
    const remedy = `pass { useFactory }, a function that answers ${OPTIONS}`
    requireMethods('OncemqModule.forRootAsync', options, ['useFactory'], remedy)
    const { token = DEDUPLICATOR, imports = [], inject = [], useFactory } = options
    const make = async (...args: never[]): Promise<Deduplicator<Tx>> =>
      deduplicatorOf(await useFactory(...args))
    return { ...moduleOf(token, { provide: token, useFactory: make, inject }), imports }
  }

  async onModuleInit(): Promise<void> {
    await this.#deduplicator().open()
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#deduplicator().close()
  }

  #deduplicator(): Deduplicator<never> {
    return this.#module.get<Deduplicator<never>>(this.#token, { strict: true })
  }
}

// Decorators, without their syntax, which Node.js does not read.
Global()(OncemqModule)
Module({})(OncemqModule)
Inject(ModuleRef)(OncemqModule, undefined, 0)
Inject(TOKEN)(OncemqModule, undefined, 1)

function moduleOf(token: string | symbol, provider: Provider): DynamicModule {
  return {
    module: OncemqModule,
    providers: [
      provider,
      { provide: TOKEN, useValue: token },
      { provide: APP_INTERCEPTOR, useClass: ThrownInterceptor },
      {
        provide: OncemqHealthIndicator,
        useFactory: (deduplicator: Deduplicator<never>) => new OncemqHealthIndicator(deduplicator),
        inject: [token],
      },
    ],
    exports: [token, OncemqHealthIndicator],
  }
}

function deduplicatorOf<Tx>(source: Source<Tx>): Deduplicator<Tx> {
  if (!('deduplicator' in source)) return createDeduplicator(source)
  const { deduplicator } = givenOptions('OncemqModule', source, new Set(['deduplicator']))
  requireDeduplicator('OncemqModule', deduplicator)
  return source.deduplicator
}
