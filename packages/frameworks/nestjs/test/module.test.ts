// The module and the decorator, in applications as Nest makes them.
import { Module } from '@nestjs/common'
import type { DynamicModule } from '@nestjs/common'
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import type { Deduplicator } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'
import { defer, of, throwError } from 'rxjs'
import { expect, test } from 'vitest'
import {
  BusyException,
  Deduplicated,
  DEDUPLICATOR,
  OncemqHealthIndicator,
  OncemqModule,
  runContext,
} from '../src/index.ts'
import { OncemqRmqServer } from '../src/rabbitmq/index.ts'
import { decorate, moduleOf, application } from './application.ts'

interface Paid {
  readonly id: string
  readonly order: number
}

class Webhooks {
  readonly shipped: number[] = []

  onPaid({ order }: Paid): Promise<string> | string {
    this.shipped.push(order)
    return `parcel for ${order}, ${runContext().key}`
  }

  onRefund({ order }: Paid): void {
    if (this.shipped.push(-order) === 1) throw new Error('not yet')
  }
}

decorate(Webhooks, 'onPaid', [Deduplicated({ key: ({ id }: Paid) => `paid:${id}`, result: true })])
decorate(Webhooks, 'onRefund', [Deduplicated({ key: ({ id }: Paid) => `refund:${id}` })])

const options = {
  consumerGroup: 'webhooks',
  get store() {
    return new MemoryStore()
  },
}

async function webhooks(imported: DynamicModule = OncemqModule.forRoot(options)) {
  const app = await application(moduleOf([imported], [], [Webhooks]))
  return { app, hooks: app.get(Webhooks), dedup: app.get<Deduplicator>(DEDUPLICATOR) }
}

test('a deduplicated method runs once per key, and its duplicates get its answer', async () => {
  const { hooks } = await webhooks()
  const answers = [
    await hooks.onPaid({ id: 'a', order: 7 }),
    await hooks.onPaid({ id: 'a', order: 7 }),
    await hooks.onPaid({ id: 'b', order: 8 }),
  ]
  expect(answers).toEqual([
    'parcel for 7, Webhooks.onPaid:paid:a',
    'parcel for 7, Webhooks.onPaid:paid:a',
    'parcel for 8, Webhooks.onPaid:paid:b',
  ])
  expect(hooks.shipped).toEqual([7, 8])
})

test('one that throws may be called again', async () => {
  const { hooks } = await webhooks()
  const call = async () => hooks.onRefund({ id: 'c', order: 9 })
  await expect(call()).rejects.toThrow('not yet')
  await call()
  await call()
  expect(hooks.shipped).toEqual([-9, -9])
})

test('a call while another runs is busy', async () => {
  const busy = { ...options, busyTimeoutMs: 0 }
  const { dedup, hooks } = await webhooks(OncemqModule.forRoot(busy))
  let end: () => void = () => undefined
  const first = dedup.run('Webhooks.onPaid:paid:d', () => new Promise<void>((resolve) => (end = resolve)))
  const second = Promise.resolve(hooks.onPaid({ id: 'd', order: 1 }))
  await expect(second).rejects.toBeInstanceOf(BusyException)
  await expect(second).rejects.toMatchObject({ status: 503 })
  end()
  await first
})

test('options may come from other providers, and the token may be another', async () => {
  class Config {
    readonly group = 'from-config'
  }
  class ConfigModule {}
  Module({ providers: [Config], exports: [Config] })(ConfigModule)
  const imported = OncemqModule.forRootAsync({
    imports: [ConfigModule],
    inject: [Config],
    useFactory: ({ group }: Config) => ({ store: new MemoryStore(), consumerGroup: group }),
    token: 'orders',
  })
  const app = await application(moduleOf([imported], []))
  expect(app.get<Deduplicator>('orders').settings.consumerGroup).toBe('from-config')
})

test('the store is opened at start, which fails if it is set up wrongly, and closed at the end', async () => {
  const store = new SqliteStore({ path: '/nonexistent/folder/oncemq.db' })
  const wrong = application(moduleOf([OncemqModule.forRoot({ store, consumerGroup: 'webhooks' })], []))
  await expect(wrong).rejects.toMatchObject({ name: 'StoreError' })

  const { app, dedup } = await webhooks()
  await app.close()
  await expect(dedup.run('late', () => undefined)).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
})

test('the health indicator tells of an outage, with all that is known', async () => {
  const { app, dedup } = await webhooks()
  const indicator = app.get(OncemqHealthIndicator)
  expect(indicator.isHealthy()).toMatchObject({ oncemq: { status: 'up', store: 'up', inFlight: 0 } })
  await dedup.close()
  expect(indicator.isHealthy('store')).toMatchObject({ store: { status: 'down', store: 'closed' } })
})

test('one id at two methods, and at one method of two classes, is two keys', async () => {
  class Base {
    readonly keys: string[] = []

    handle(_id: string): Promise<void> | void {
      this.keys.push(String(runContext().key))
    }

    also(id: string): Promise<void> | void {
      return this.handle(id)
    }
  }
  decorate(Base, 'handle', [Deduplicated({ key: (id: string) => id })])
  decorate(Base, 'also', [Deduplicated({ key: (id: string) => id })])
  class Cards extends Base {}
  class Transfers extends Base {}
  const app = await application(moduleOf([OncemqModule.forRoot(options)], [], [Cards, Transfers]))
  const [cards, transfers] = [app.get(Cards), app.get(Transfers)]
  await cards.handle('1')
  await cards.also('2')
  await transfers.handle('1')
  await transfers.handle('1')
  expect([...cards.keys, ...transfers.keys]).toEqual([
    'Cards.handle:1',
    'Cards.handle:2',
    'Transfers.handle:1',
  ])
})

test('two classes of one name are refused, until one has a scope', async () => {
  const classOf = (scope?: string) => {
    class Webhook {
      handle(_id: string): Promise<string> | string {
        return String(runContext().key)
      }
    }
    decorate(Webhook, 'handle', [Deduplicated({ key: (id: string) => id, ...(scope && { scope }) })])
    return Webhook
  }
  const [one, two, three] = [classOf(), classOf(), classOf('three: webhooks')]
  const app = await application(moduleOf([OncemqModule.forRoot(options)], [], [one, two, three]))
  expect(await app.get(one).handle('a')).toBe('Webhook.handle:a')
  await expect(Promise.resolve(app.get(two).handle('a'))).rejects.toThrow(/one class .* Webhook.handle/)
  expect(await app.get(three).handle('a')).toBe('three%3A%20webhooks:a')
})

test('what answers an observable has ended when that has', async () => {
  class Calls {
    ended = 0

    call(_id: string): unknown {
      return defer(() => {
        this.ended += 1
        return this.ended === 1 ? throwError(() => new Error('not yet')) : of(1, this.ended)
      })
    }
  }
  decorate(Calls, 'call', [Deduplicated({ key: (id: string) => id })])
  const app = await application(moduleOf([OncemqModule.forRoot(options)], [], [Calls]))
  const calls = app.get(Calls)
  await expect(Promise.resolve(calls.call('o'))).rejects.toThrow('not yet')
  expect(await calls.call('o')).toBe(2)
  expect(await calls.call('o')).toBeUndefined()
})

test('a Nack of golevelup is handed on, and nothing is done', async () => {
  class Nack {
    readonly requeue = true
  }
  class Subscriber {
    readonly answers: unknown[] = [new Nack(), 'shipped']

    onPaid(_id: string): unknown {
      return this.answers.shift()
    }
  }
  decorate(Subscriber, 'onPaid', [Deduplicated({ key: (id: string) => id })])
  const app = await application(moduleOf([OncemqModule.forRoot(options)], [], [Subscriber]))
  const subscriber = app.get(Subscriber)
  expect(await subscriber.onPaid('n')).toBeInstanceOf(Nack)
  expect(await subscriber.onPaid('n')).toBe('shipped')
})

test('two deduplicators have a token each', async () => {
  class Pair {
    one(_id: string): Promise<string> | string {
      return String(runContext().key)
    }

    two(_id: string): Promise<string> | string {
      return String(runContext().key)
    }
  }
  decorate(Pair, 'one', [Deduplicated({ key: (id: string) => id })])
  decorate(Pair, 'two', [Deduplicated({ key: (id: string) => id, token: 'audit' })])
  const audit = OncemqModule.forRoot({ store: new MemoryStore(), consumerGroup: 'audit', token: 'audit' })
  const app = await application(moduleOf([OncemqModule.forRoot(options), audit], [], [Pair]))
  await app.get(Pair).one('x')
  await app.get(Pair).two('x')
  const [first, second] = [app.get<Deduplicator>(DEDUPLICATOR), app.get<Deduplicator>('audit')]
  expect([first.counts().completed, second.counts().completed]).toEqual([1, 1])
  await app.close()
  expect([first.health().store, second.health().store]).toEqual(['closed', 'closed'])
})

test('a method of an object that Nest did not make says so, and one without a key is refused', async () => {
  await expect(Promise.resolve(new Webhooks().onPaid({ id: 'e', order: 1 }))).rejects.toThrow(
    /that Nest made/,
  )
  expect(() => Deduplicated({} as never)).toThrow(/key: expected a function/)
  expect(() => runContext()).toThrow(/@Deduplicated/)
  expect(createDeduplicator(options).outage).toBeUndefined()
})

test.each<readonly [what: string, wrong: () => unknown, message: RegExp]>([
  [
    'forRoot()',
    () => OncemqModule.forRoot(undefined as never),
    /forRoot: .* undefined; pass \{ deduplicator \}/,
  ],
  [
    'forRootAsync({})',
    () => OncemqModule.forRootAsync({} as never),
    /forRootAsync: .* without useFactory\(\)/,
  ],
  ['Deduplicated()', () => Deduplicated(undefined as never), /Deduplicated: expected an options object/],
  ['Deduplicated({})', () => Deduplicated({} as never), /key: expected a function, received undefined/],
  [
    'a misspelt option of Deduplicated',
    () => Deduplicated({ key: String, results: true } as never),
    /Deduplicated: expected only the options key, result, body, scope, token, received 'results'/,
  ],
  ['a server without options', () => new OncemqRmqServer(undefined as never), /OncemqRmqServer: .*pass/],
  [
    "a server with the options of Nest's own",
    () => new OncemqRmqServer({ urls: ['amqp://localhost'], queue: 'q' } as never),
    /OncemqRmqServer: .* without connect\(\); pass \{ connect: /,
  ],
])('%s is refused at once', (_what, wrong, message) => {
  expect(wrong).toThrow(
    expect.objectContaining({
      code: 'ONCEMQ_OPTION_INVALID',
      message: expect.stringMatching(message) as string,
    }) as never,
  )
})

test.each([
  [
    'no deduplicator',
    { deduplicator: undefined },
    /OncemqModule: expected a deduplicator, received undefined/,
  ],
  ['one beside options', { deduplicator: createDeduplicator(options), leaseMs: 5000 }, /received 'leaseMs'/],
])('%s is refused at start', async (_what, given, message) => {
  await expect(webhooks(OncemqModule.forRoot(given as never))).rejects.toThrow(message)
})
