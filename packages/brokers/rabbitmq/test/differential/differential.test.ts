// "Code written for a bare channel runs on the wrapped one and behaves the same": each script is run on both,
// and all that it could see must be equal.
import { describeService } from '@oncemq/test-services/vitest'
import * as amqplib from 'amqplib'
import * as amqplib010 from 'amqplib-0-10'
import * as callbackApi from 'amqplib/callback_api'
import * as callbackApi010 from 'amqplib-0-10/callback_api.js'
import { describe, expect, onTestFinished, test } from 'vitest'
import { dedupChannel } from '../../src/index.ts'
import { answered, deduplicator, newQueue, readyIn } from '../set-up.ts'
import { apiScripts } from './api-scripts.ts'
import type { CallbackStage } from './callback-scripts.ts'
import { callbackScripts } from './callback-scripts.ts'
import type { Stage } from './scripts.ts'
import { scripts as consumingScripts } from './scripts.ts'

const scripts = { ...consumingScripts, ...apiScripts }

type Library = typeof amqplib
type CallbackLibrary = typeof callbackApi
type CallbackConnection = callbackApi.Connection
type CallbackChannel = callbackApi.ConfirmChannel

const libraries = { 'amqplib 2': amqplib, 'amqplib 0.10': amqplib010 as unknown as Library }
const callbackLibraries = {
  'amqplib 2': callbackApi,
  'amqplib 0.10': callbackApi010 as unknown as CallbackLibrary,
}

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

/** The same with callbacks. */
async function runCallbacks(library: CallbackLibrary, url: string, name: string, isWrapped: boolean) {
  const connection = await answered<CallbackConnection>((done) => library.connect(url, done))
  connection.on('error', () => undefined)
  onTestFinished(() => connection.close(() => undefined))
  const helper = await amqplib.connect(url)
  onTestFinished(() => helper.close())
  const { queue, send } = await newQueue(helper)
  for (const id of ['m1', 'm2', 'm3', 'm4', 'm5']) await send(id)
  const bare = await answered<CallbackChannel>((done) => connection.createConfirmChannel(done))
  const channel = isWrapped ? dedupChannel(bare, deduplicator()) : bare
  const seen: unknown[][] = []
  const stage: CallbackStage = {
    channel,
    queue,
    seen,
    saw: (...what) =>
      void seen.push(JSON.parse(JSON.stringify(what).replaceAll(queue, '<queue>')) as unknown[]),
  }
  await callbackScripts[name]?.(stage)
  await answered((done) => channel.close(() => done(null, undefined))).catch(() => undefined)
  return { seen, ready: await readyIn(helper, queue) }
}

describeService('rabbitmq-4.0', ({ url }) => {
  describe.each(Object.entries(callbackLibraries))('callbacks of %s', (_, library) => {
    test.each(Object.keys(callbackScripts))('%s', async (name) => {
      const bare = await runCallbacks(library, url, name, false)
      expect(bare.seen.length).toBeGreaterThan(0)
      expect(await runCallbacks(library, url, name, true)).toEqual(bare)
    })
  })
})

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
