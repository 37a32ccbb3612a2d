// "Code written for a bare channel runs on the wrapped one and behaves the same": each script is run on both,
// and all that it could see must be equal.
import { describeService } from '@oncemq/test-services/vitest'
import * as amqplib from 'amqplib'
import * as amqplib010 from 'amqplib-0-10'
import { describe, expect, onTestFinished, test } from 'vitest'
import { dedupChannel } from '../../src/index.ts'
import { deduplicator, newQueue, readyIn } from '../set-up.ts'
import type { Stage } from './scripts.ts'
import { scripts } from './scripts.ts'

type Library = typeof amqplib

const libraries = { 'amqplib 2': amqplib, 'amqplib 0.10': amqplib010 as unknown as Library }

async function run(library: Library, url: string, name: string, isWrapped: boolean, isConfirm: boolean) {
  const connection = await library.connect(url)
  connection.on('error', () => undefined)
  onTestFinished(() => connection.close().catch(() => undefined))
  const { queue, send, channel: other } = await newQueue(connection)
  for (const id of ['m1', 'm2', 'm3', 'm4', 'm5']) await send(id)
  const bare = await (isConfirm ? connection.createConfirmChannel() : connection.createChannel())
  const channel = isWrapped ? dedupChannel(bare, deduplicator()) : bare
  const seen: unknown[][] = []
  const stage: Stage = {
    channel,
    queue,
    seen,
    saw: (...what) =>
      void seen.push(JSON.parse(JSON.stringify(what).replaceAll(queue, '<queue>')) as unknown[]),
    deleteQueue: async () => void (await other.deleteQueue(queue)),
  }
  await scripts[name]?.(stage)
  await channel.close().catch(() => undefined)
  return { seen, ready: await readyIn(connection, queue) }
}

describeService('rabbitmq-4.0', ({ url }) => {
  describe.each(Object.entries(libraries))('%s', (_, library) => {
    describe.each([
      ['channel', false],
      ['confirm channel', true],
    ])('%s', (__, isConfirm) => {
      test.each(Object.keys(scripts))('%s', async (name) => {
        const bare = await run(library, url, name, false, isConfirm)
        const wrapped = await run(library, url, name, true, isConfirm)
        expect(wrapped).toEqual(bare)
      })
    })
  })
})
