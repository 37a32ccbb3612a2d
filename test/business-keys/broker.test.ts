import { createDeduplicator, eventId, naturalKey, stateMachine } from '@oncemq/core'
import { consume, stampId } from '@oncemq/rabbitmq'
import { SqliteStore } from '@oncemq/sqlite'
import { describeService } from '@oncemq/test-services/vitest'
import type { ConsumeMessage } from 'amqplib'
import { connect } from 'amqplib'
import { expect, onTestFinished, test } from 'vitest'
import { sqliteShop } from './shop.ts'
import { sqliteStates } from './states-shop.ts'

const WAIT_MS = 20_000

async function until(what: string, look: () => Promise<boolean> | boolean): Promise<void> {
  const endMs = performance.now() + WAIT_MS
  while (!(await look())) {
    if (performance.now() > endMs) throw new Error(`waited ${WAIT_MS} ms for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

describeService('rabbitmq-4.0', (server) => {
  async function newQueue() {
    const connection = await connect(server.url)
    connection.on('error', () => undefined)
    onTestFinished(() => connection.close())
    const channel = await connection.createConfirmChannel()
    const { queue } = await channel.assertQueue(`q-${process.pid}-${Math.random().toString(36).slice(2)}`, {
      arguments: { 'x-queue-type': 'quorum' },
    })
    const parked = async () => {
      const look = await connection.createChannel()
      look.on('error', () => undefined)
      const got = await look.get(`${queue}.parked`, { noAck: false }).catch(() => false as const)
      await look.close().catch(() => undefined)
      return got
    }
    return {
      connection,
      queue,
      parked,
      send: async (body: object, id?: string) => {
        const options = { persistent: true }
        channel.sendToQueue(queue, Buffer.from(JSON.stringify(body)), id ? stampId(options, id) : options)
        await channel.waitForConfirms()
      },
    }
  }

  test('a business key settles duplicates, and parks a poison message', async () => {
    const { connection, queue, send, parked } = await newQueue()
    const shop = await sqliteShop()
    onTestFinished(() => shop.close())
    const dedup = createDeduplicator({
      store: new SqliteStore({ path: shop.path }),
      consumerGroup: 'orders',
      strategy: naturalKey({ constraint: 'orders.id' }),
      attemptsMax: 2,
    })
    onTestFinished(() => dedup.close())
    const receipts: string[] = []
    const consumer = await consume({
      connection,
      queue,
      dedup,
      retry: { firstMs: 10 },
      handler: async (message: ConsumeMessage, { tx, childId }) => {
        const { id, ref } = JSON.parse(message.content.toString()) as { id: string; ref: string }
        receipts.push(childId('receipt'))
        await shop.note(tx, id)
        await shop.order(tx, id, ref)
        if (id === 'poison') throw new Error('no')
      },
    })
    onTestFinished(() => consumer.close())
    for (let copy = 0; copy < 3; copy += 1) {
      await send({ id: 'order-1', ref: `ref-${copy}` }, eventId('order', 'order-1'))
    }
    await until('the order and its duplicates', () => dedup.counts().duplicate === 2)
    expect([await shop.orders(), await shop.notes(), new Set(receipts).size]).toEqual([1, 1, 1])
    await send({ id: 'poison', ref: 'poison' }, eventId('order', 'poison'))
    await until('the poison message is parked', () => dedup.counts().deadLettered === 1)
    const letter = await parked()
    expect(letter && JSON.stringify(letter.properties.headers)).toContain('attempts')
    expect(await shop.orders()).toBe(1)
  })

  test('a state machine waits for what comes too early, and parks what is impossible', async () => {
    const { connection, queue, send, parked } = await newQueue()
    const shop = await sqliteStates()
    onTestFinished(() => shop.close())
    const dedup = createDeduplicator({
      store: shop.store,
      consumerGroup: 'parcels',
      strategy: stateMachine({
        table: 'parcels',
        id: 'id',
        state: 'state',
        initial: 'pending',
        final: ['done', 'cancelled'],
        transitions: {
          pay: { from: 'pending', to: 'paid' },
          ship: { from: 'paid', to: 'done' },
          cancel: { from: 'pending', to: 'cancelled' },
        },
        read: (message: ConsumeMessage) =>
          JSON.parse(message.content.toString()) as { id: string; transition: string },
      }),
    })
    onTestFinished(() => dedup.close())
    await shop.create('a', 'pending')
    await shop.create('b', 'cancelled')
    const consumer = await consume({
      connection,
      queue,
      dedup,
      handler: async (message: ConsumeMessage, { tx }) =>
        void (await shop.effect(tx, message.content.toString())),
    })
    onTestFinished(() => consumer.close())
    await send({ id: 'a', transition: 'ship' })
    await send({ id: 'a', transition: 'pay' })
    await send({ id: 'a', transition: 'pay' })
    await until('the parcel is shipped', async () => (await shop.stateOf('a')) === 'done')
    await until('the duplicate is settled', () => dedup.counts().duplicate === 1)
    expect(await shop.effects('{"id":"a","transition":"ship"}')).toBe(1)
    await send({ id: 'b', transition: 'pay' })
    await until('the impossible is parked', () => dedup.counts().deadLettered === 1)
    const letter = await parked()
    expect(letter && JSON.stringify(letter.properties.headers)).toContain('impossible')
  })
})
