// What the clients of requests get, and which handlers a message reaches, on a real server.
import { BadRequestException } from '@nestjs/common'
import { EventPattern, RpcException } from '@nestjs/microservices'
import { createDeduplicator, MemoryStore, PermanentError } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { connect } from 'amqplib'
import { firstValueFrom } from 'rxjs'
import { expect, test } from 'vitest'
import { OncemqModule } from '../src/index.ts'
import { fits } from '../src/rabbitmq/patterns.ts'
import { controllerOf, decorate, microservice, moduleOf } from './application.ts'
import { servicesOf, until, withId } from './service.ts'

function thrower(error: unknown, times = Number.POSITIVE_INFINITY) {
  let starts = 0
  return {
    starts: () => starts,
    handle: () => {
      starts += 1
      if (starts <= times) throw error
      return 'late'
    },
  }
}

describeService('rabbitmq-4.0', ({ url }) => {
  const service = servicesOf(url)
  const unknown = { status: 'error', message: 'Internal server error' }

  test('a request whose retry succeeds is answered with that alone', async () => {
    const { handle } = thrower(new Error('not yet'), 1)
    const { sender } = await service({ price: handle })
    expect(await firstValueFrom(sender.send('price', withId({}, 'price-1')))).toBe('late')
  })

  test.each([
    ['an error', new Error('the ledger is closed'), unknown, 2],
    ['an RpcException', new RpcException({ code: 7 }), { code: 7 }, 2],
    ['a permanent error', new PermanentError('never'), unknown, 1],
    ['what a pipe refuses', new BadRequestException('no order'), unknown, 1],
  ])('a request that fails for good is answered with it: %s', async (_name, error, answer, starts) => {
    const { handle, starts: seen } = thrower(error)
    const { sender, queue, counts } = await service({ price: handle }, { dedup: { attemptsMax: 2 } })
    const asked = firstValueFrom(sender.send('price', withId({}, 'price-2')))
    await expect(asked).rejects.toEqual(answer)
    expect(seen()).toBe(starts)
    expect(await counts(`${queue}.parked`)).toBe(1)
  })

  test('a request with a pattern that no handler has is answered so', async () => {
    const { sender } = await service()
    const asked = firstValueFrom(sender.send('nobody knows it', withId({}, 'price-3')))
    await expect(asked).rejects.toBe('there is no handler for the pattern of this message')
  })

  test('which errors are permanent is for the application to say', async () => {
    const { handle, starts } = thrower(new BadRequestException())
    const options = { dedup: { attemptsMax: 2 }, server: { isPermanent: () => false } }
    const { sender } = await service({ price: handle }, options)
    await expect(firstValueFrom(sender.send('price', withId({}, 'price-4')))).rejects.toEqual(unknown)
    expect(starts()).toBe(2)
  })

  test('what is parked says what was thrown, also of what a filter has made an error of', async () => {
    const { handle } = thrower(new BadRequestException('no order'))
    const { sender, parked } = await service({ onPaid: handle })
    await firstValueFrom(sender.emit('order.paid', withId({}, 'paid-1')))
    expect(await parked()).toMatchObject({
      'x-oncemq-error': 'BadRequestException',
      'x-oncemq-error-message': 'no order',
      'x-oncemq-reason': 'permanent',
    })
  })

  test('handlers of one event run one after the other, and none beside a retry', async () => {
    const runs: string[] = []
    class Two {
      async first(): Promise<void> {
        await new Promise((resolve) => setTimeout(resolve, 5))
        if (runs.push('first') === 1) throw new Error('not yet')
      }

      second(): void {
        runs.push('second')
      }
    }
    decorate(Two, 'first', [EventPattern('order.paid') as MethodDecorator])
    decorate(Two, 'second', [EventPattern('order.paid') as MethodDecorator])
    const { dedup, sender } = await service({}, { controllers: [Two] })
    await firstValueFrom(sender.emit('order.paid', withId({}, 'paid-2')))
    await until('done', () => dedup.counts().completed === 1)
    expect(runs).toEqual(['first', 'first', 'second'])
  })

  test('with wildcards the queue is bound by its patterns, and they are matched', async () => {
    const seen: unknown[] = []
    const wildcards = { wildcards: true }
    class Wide {
      onOrder(data: unknown): void {
        seen.push(data)
      }
    }
    decorate(Wide, 'onOrder', [EventPattern('order.#') as MethodDecorator])
    const { dedup, sender } = await service({}, { controllers: [Wide], server: wildcards, client: wildcards })
    await firstValueFrom(sender.emit('order.paid.late', withId(1, 'paid-3')))
    await firstValueFrom(sender.emit('order.paid.late', withId(1, 'paid-3')))
    await until('the duplicate', () => dedup.counts().duplicate === 1)
    expect(seen).toEqual([1])
  })

  test('what a deserializer reads is told apart by all of its content', async () => {
    const seen: unknown[] = []
    const deserializer = { deserialize: (value: unknown) => ({ pattern: 'order.paid', data: value }) }
    const { dedup, queue, counts, connection } = await service(
      { onPaid: (data) => void seen.push(data) },
      { server: { deserializer }, dedup: { fingerprint: true } },
    )
    const channel = await connection.createChannel()
    for (const [id, order] of [
      ['a', 1],
      ['b', 2],
      ['a', 3],
    ] as const)
      channel.sendToQueue(queue, Buffer.from(JSON.stringify({ order })), { messageId: id })
    await until('parked', async () => (await counts(`${queue}.parked`)) === 1)
    expect(dedup.counts()).toMatchObject({ completed: 2, duplicate: 0 })
    expect(seen).toEqual([{ order: 1 }, { order: 2 }])
  })

  test('a queue that is there with other arguments stops the start, and says so', async () => {
    const { queue } = await service()
    const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'nest' })
    const module = moduleOf([OncemqModule.forRoot({ deduplicator: dedup })], [controllerOf({})])
    const options = { connect: () => connect(url), queue, queueOptions: { durable: false }, dedup }
    await expect(microservice(module, options)).rejects.toThrow(/queueOptions/)
  })

  test('a broker that cannot be reached yet is waited for', async () => {
    let isDown = true
    const connecting = () =>
      isDown ? Promise.reject(new Error('connect ECONNREFUSED')) : Promise.resolve(connect(url))
    const paid: unknown[] = []
    const { sender } = await service(
      { onPaid: (data) => void paid.push(data) },
      { server: { connect: connecting } },
    )
    await firstValueFrom(sender.emit('order.paid', withId(1, 'paid-4')))
    isDown = false
    await until('the message', () => paid.length === 1)
    expect(paid).toEqual([1])
  })
})

test.each([
  ['order.*', 'order.paid', true],
  ['order.*', 'order', false],
  ['order.#', 'order', true],
  ['order.#', 'order.paid.late', true],
  ['#.late', 'order.paid.late', true],
  ['*.paid.#.at', 'order.paid.at', true],
  ['order.*', 'order.paid.late', false],
  ['#', '', true],
])('%s and %s fit: %s', (bindingKey, routingKey, isFit) => {
  expect(fits(bindingKey, routingKey)).toBe(isFit)
})
