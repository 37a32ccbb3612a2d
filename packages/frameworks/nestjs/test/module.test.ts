// The module and the decorator, in applications as Nest makes them.
import { Module } from '@nestjs/common'
import type { DynamicModule } from '@nestjs/common'
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import type { Deduplicator } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'
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

const options = { store: new MemoryStore(), consumerGroup: 'webhooks' }

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
  expect(answers).toEqual(['parcel for 7, paid:a', 'parcel for 7, paid:a', 'parcel for 8, paid:b'])
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
  const first = dedup.run('paid:d', () => new Promise<void>((resolve) => (end = resolve)))
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

test('the health indicator tells of an outage', async () => {
  const { app } = await webhooks()
  expect(app.get(OncemqHealthIndicator).isHealthy()).toEqual({ oncemq: { status: 'up' } })
  const outage = { code: 'ONCEMQ_STORE_UNAVAILABLE' }
  const down = new OncemqHealthIndicator({ outage } as never)
  expect(down.isHealthy('store')).toEqual({ store: { status: 'down', code: 'ONCEMQ_STORE_UNAVAILABLE' } })
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
    /Deduplicated: expected only the options key, result, body, token, received 'results'/,
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
