import { AsyncLocalStorage } from 'node:async_hooks'
import { Inject, ServiceUnavailableException } from '@nestjs/common'
import type { Deduplicator, HandlerContext, ResultCodec } from '@oncemq/core'
import { jsonResult, OncemqError } from '@oncemq/core'
import { givenOptions, requireFunction } from '@oncemq/core/broker'
import { isObservable, lastValueFrom } from 'rxjs'
import { DEDUPLICATOR } from './module.ts'

/** Reads the key of a call from its arguments. */
export type KeyOfCall = (...args: never[]) => string

/** Options of {@link Deduplicated}. */
export interface DeduplicatedOptions {
  /**
   * Reads the key from the arguments that the method gets: an id of the event, the same each time it comes.
   */
  readonly key: KeyOfCall
  /**
   * Whose keys they are: the same id at two methods is two keys, `scope:id`. `Class.method` by default, of
   * the instance's class; name it where code is minified, or where a method may be renamed.
   */
  readonly scope?: string
  /**
   * Whether what the method answers is kept, as JSON, and given to duplicates; or how it is kept. By default
   * a duplicate gets `undefined`.
   * @default false
   */
  readonly result?: boolean | ResultCodec<unknown>
  /** Reads the payload, to notice one key with two of them; needed to hand results to their owners alone. */
  readonly body?: (...args: never[]) => Uint8Array
  /**
   * The deduplicator's injection token.
   * @default DEDUPLICATOR
   */
  readonly token?: string | symbol
}

/**
 * Another call with the key runs for longer than `busyTimeoutMs`. From a controller it is answered with
 * status 503, upon which senders of webhooks call again.
 */
export class BusyException extends ServiceUnavailableException {
  readonly retryAfterMs: number

  constructor(retryAfterMs: number) {
    super('another call with the same key is running; call again later')
    this.retryAfterMs = retryAfterMs
  }
}

const KNOWN = new Set(['key', 'result', 'body', 'scope', 'token'])

/**
 * What a method answers that has not done its work: a handler of `@golevelup/nestjs-rabbitmq` that returns
 * `new Nack()`. It is handed on, and nothing is recorded as done.
 */
class NotDone extends Error {
  readonly answer: unknown

  constructor(answer: unknown) {
    super('the method answered a Nack')
    this.answer = answer
  }
}

type Method = (this: object, ...args: never[]) => unknown

/** The class of each scope: two of one name must not share keys without anybody's knowing. */
const classes = new WeakMap<object, Map<string, unknown>>()

const running = new AsyncLocalStorage<HandlerContext<unknown>>()

/**
 * Runs a method of a provider or controller once per key: a webhook, a handler of
 * `@golevelup/nestjs-rabbitmq`, a job. A call that throws, or returns a `Nack` of golevelup's, may be made
 * again. A method that returns an observable has ended when that completes, and answers its last value.
 * Inside of it, {@link runContext} is the context of the run (`key`, `signal`, `tx`, `childId`).
 *
 * The method throws what it throws by itself, a {@link BusyException} while another call of the key runs, and
 * what `run` throws, for a key that cannot be used or a store that is down.
 * @throws OptionError without `key`, or for an option that is wrong or does not exist.
 * @example
 * class Webhooks {
 *   @Deduplicated({ key: (event: PaidEvent) => event.id })
 *   async onPaid(event: PaidEvent) { await this.orders.ship(event.order) }
 * }
 */
export function Deduplicated(options: DeduplicatedOptions): MethodDecorator {
  givenOptions('Deduplicated', options, KNOWN)
  const { key, body, result = false, scope, token = DEDUPLICATOR } = options
  requireFunction('key', key, '(event) => event.id')
  if (body !== undefined) requireFunction('body', body, '(event) => bytes')
  const codec = result === true ? jsonResult<unknown>() : result === false ? undefined : result
  return (target: object, name: string | symbol, descriptor: PropertyDescriptor) => {
    const property = Symbol(`oncemq deduplicator of ${String(name)}`)
    Inject(token)(target, property)
    const method = descriptor.value as Method
    const wrapper = {
      async [name](this: object, ...args: never[]): Promise<unknown> {
        const deduplicator = Reflect.get(this, property) as Deduplicator<never> | undefined
        if (deduplicator === undefined) throw notInjected(name)
        const scoped = keyIn(scope ?? scopeOf(deduplicator, this, name), key(...args))
        const work = (context: HandlerContext<never>): unknown =>
          running.run(context as HandlerContext<unknown>, async () => done(await method.apply(this, args)))
        try {
          const outcome = await deduplicator.run(scoped, work, {
            ...(codec !== undefined && { result: codec }),
            ...(body !== undefined && { body: body(...args) }),
          })
          if (outcome.status === 'busy') throw new BusyException(outcome.retryAfterMs)
          return outcome.value
        } catch (error) {
          if (error instanceof NotDone) return error.answer
          throw error
        }
      },
    }[name as string] as Method
    // What other decorators have left on the method, such as its route, whatever their order.
    for (const each of Reflect.getMetadataKeys(method))
      Reflect.defineMetadata(each, Reflect.getMetadata(each, method), wrapper)
    descriptor.value = wrapper
  }
}

/**
 * The context of the {@link Deduplicated} method that runs.
 * @throws OncemqError outside of one.
 * @example const { tx } = runContext<PoolClient>()
 */
export function runContext<Tx = undefined>(): HandlerContext<Tx> {
  const context = running.getStore()
  if (context !== undefined) return context as HandlerContext<Tx>
  throw new OncemqError(
    'ONCEMQ_OPTION_INVALID',
    'runContext: expected a method with @Deduplicated around this call, received none; call it inside of one',
  )
}

/** What the method has answered when its work has ended. @throws NotDone for a Nack. */
async function done(answer: unknown): Promise<unknown> {
  const value = isObservable(answer) ? await lastValueFrom(answer, { defaultValue: undefined }) : answer
  const { constructor, requeue } = Object(value) as { constructor?: unknown; requeue?: unknown }
  if (typeof requeue === 'boolean' && (constructor as { name?: unknown } | undefined)?.name === 'Nack')
    throw new NotDone(value)
  return value
}

/** What is no key is left for `run` to refuse. */
function keyIn(scope: string, id: unknown): string {
  if (typeof id !== 'string' || id === '') return id as string
  return `${encodeURIComponent(scope)}:${id}`
}

function scopeOf(deduplicator: object, instance: object, name: string | symbol): string {
  const { constructor } = instance
  const scope = `${constructor.name}.${String(name)}`
  const known = classes.get(deduplicator) ?? new Map<string, unknown>()
  classes.set(deduplicator, known)
  const owner = known.get(scope) ?? constructor
  known.set(scope, owner)
  if (owner === constructor) return scope
  throw new OncemqError(
    'ONCEMQ_OPTION_INVALID',
    `Deduplicated: expected one class with a method ${scope}, received two, whose keys would be the same; ` +
      'give each a scope of its own',
  )
}

function notInjected(name: string | symbol): OncemqError {
  return new OncemqError(
    'ONCEMQ_OPTION_INVALID',
    `Deduplicated: expected ${String(name)} on an instance that Nest made, received another; ` +
      `import OncemqModule.forRoot(...), and let Nest make the provider`,
  )
}
