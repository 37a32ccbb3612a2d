// RabbitMQ microservices of Nest, with Nest's own client, on a real server.
import { createDeduplicator, MemoryStore, PermanentError } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { connect } from 'amqplib'
import { firstValueFrom, of } from 'rxjs'
import { expect, test } from 'vitest'
import { OncemqModule } from '../src/index.ts'
import type { OncemqContext } from '../src/rabbitmq/index.ts'
import { controllerOf, microservice, moduleOf } from './application.ts'
import type { Handle } from './application.ts'
import { servicesOf, until, withId } from './service.ts'

describeService('rabbitmq-4.0', ({ url }) => {
  const service = servicesOf(url)

  test('an event that is sent twice is handled once', async () => {
    const paid: unknown[] = []
    const { sender, dedup } = await service({ onPaid: (data) => void paid.push(data) })
    const record = withId({ order: 7 }, 'paid-7')
    await firstValueFrom(sender.emit('order.paid', record))
    await firstValueFrom(sender.emit('order.paid', record))
    await until('the duplicate', () => dedup.counts().duplicate === 1)
    expect(paid).toEqual([{ order: 7 }])
  })

  test('the reply of a request that is sent twice is that of the first', async () => {
    let prices = 0
    const { sender } = await service({ price: () => of({ cents: (prices += 1) }) })
    const ask = () => firstValueFrom(sender.send('price', withId('tea', 'price-1')))
    expect([await ask(), await ask()]).toEqual([{ cents: 1 }, { cents: 1 }])
    expect(await firstValueFrom(sender.send('price', withId('tea', 'price-2')))).toEqual({ cents: 2 })
  })

  test('a handler that throws has its message again, and then it is parked, with what it threw', async () => {
    const attempts: number[] = []
    const onPaid: Handle = (_data, context) => {
      attempts.push((context as OncemqContext).run.attempt)
      throw new TypeError('the ledger is closed')
    }
    const { sender, parked } = await service({ onPaid }, { dedup: { attemptsMax: 3 } })
    await firstValueFrom(sender.emit('order.paid', withId({}, 'paid-8')))
    expect(await parked()).toMatchObject({
      'x-oncemq-error': 'TypeError',
      'x-oncemq-error-message': 'the ledger is closed',
    })
    expect(attempts).toEqual([1, 2, 3])
  })

  test.each(['order.paid', 'nobody knows it'])('a permanent error parks at once: %s', async (pattern) => {
    let runs = 0
    const onPaid: Handle = () => {
      runs += 1
      throw new PermanentError('never')
    }
    const { sender, parked } = await service({ onPaid })
    await firstValueFrom(sender.emit(pattern, withId({}, 'paid-9')))
    await parked()
    expect(runs).toBe(pattern === 'order.paid' ? 1 : 0)
  })

  test('a handler gets what it got before, and the run', async () => {
    const contexts: OncemqContext[] = []
    const onPaid: Handle = (_data, context) => {
      contexts.push(context as OncemqContext)
      // As code does that was written for Nest's own transport.
      const own = context as OncemqContext
      const channel = own.getChannelRef() as { ack(message: unknown): void }
      channel.ack(own.getMessage())
    }
    const { sender, dedup } = await service({ onPaid })
    await firstValueFrom(sender.emit('order.paid', withId({}, 'paid-10')))
    await until('done', () => dedup.counts().completed === 1)
    const [context] = contexts
    expect(context?.getPattern()).toBe('order.paid')
    expect(context?.getMessage()).toMatchObject({ properties: { messageId: 'paid-10' } })
    expect(context?.run).toMatchObject({ key: 'paid-10', attempt: 1 })
    const channel = context?.getChannelRef() as { nack(): void } | undefined
    expect(() => channel?.nack()).toThrow(/throw an error/)
  })

  test('closing the application waits for what runs, and closes the deduplicator', async () => {
    let end: () => void = () => undefined
    const running = new Promise<void>((resolve) => (end = resolve))
    let started = false
    const { app, sender, dedup, queue, counts } = await service({
      onPaid: () => {
        started = true
        return running
      },
    })
    await firstValueFrom(sender.emit('order.paid', withId({}, 'paid-11')))
    await until('a start', () => started)
    const closed = app.close()
    end()
    await closed
    expect(dedup.counts().completed).toBe(1)
    await expect(dedup.run('late', () => undefined)).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
    expect(await counts(queue)).toBe(0)
  })

  test('a queue that is not there stops the start, and says so', async () => {
    const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'nest' })
    const module = moduleOf([OncemqModule.forRoot({ deduplicator: dedup })], [controllerOf({})])
    const queue = `nest-missing-${process.pid}`
    await expect(microservice(module, { connect: () => connect(url), queue, dedup })).rejects.toThrow(queue)
  })
})
