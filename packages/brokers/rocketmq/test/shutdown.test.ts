import { once } from 'node:events'

import { describeService } from '@oncemq/test-services/vitest'
import type { ConsumeResult } from 'rocketmq-client-nodejs'
import { SimpleConsumer } from 'rocketmq-client-nodejs'
import { expect, test } from 'vitest'
import { stopClient, startClient } from '../src/index.ts'
import { nextOf, place, quiet, silent, until } from './set-up.ts'
import { wire } from './wire.ts'
import { workersAt } from './workers.ts'

const EXIT_MS = 20_000
const LONG_MS = 90_000
/** Longer than the bound of the worker's shutdown. */
const WORK_MS = 12_000
/** A reset arrives within this, on loopback. */
const RESET_MS = 300

describeService('rocketmq-fast', ({ url }) => {
  test('lets go of a PushConsumer whose listener does not end: others get what it had', async () => {
    const at = await place(url)
    let started = false
    const consume = async () => {
      started = true
      return new Promise<ConsumeResult>(() => undefined)
    }
    const consumer = await at.push({ consume } as never)
    await at.send('a')
    await until('the start', () => started)
    const fromMs = performance.now()
    const shutdown = stopClient(consumer, { timeoutMs: 500 })
    await expect(shutdown).rejects.toMatchObject({ code: 'ONCEMQ_BROKER_UNAVAILABLE' })
    expect(performance.now() - fromMs).toBeLessThan(4000)
    const other = await at.started()
    const message = await nextOf(other)
    expect(message.body.toString()).toBe('a')
    await other.ack(message)
  })

  test('a connection that breaks after the shutdown does not end the process', async () => {
    const at = await place(url)
    const subscriptions = new Map([[at.topic, '*']])
    const options = { namespace: '', logger: silent, consumerGroup: at.group, subscriptions }
    const wired = await wire(url, (endpoints) => new SimpleConsumer({ ...options, endpoints }))
    await startClient(wired.consumer)
    await stopClient(wired.consumer)
    wired.cut()
    // An error that nobody listens to would fail the whole run.
    await quiet(RESET_MS)
    expect(wired.consumer.isRunning()).toBe(false)
    await wired.close()
  })

  test.each(['simple', 'push'] as const)(
    'a process ends by itself: %s',
    { timeout: LONG_MS },
    async (form) => {
      const at = await place(url)
      const worker = await workersAt(at, { form, handlerMs: 10 })()
      await at.send('a')
      await until('the end', () => worker.lines.includes('done a'))
      expect(await ended(worker)).toEqual([0, ['closed']])
    },
  )

  test('a process ends by itself in the middle of a listener', { timeout: LONG_MS }, async () => {
    const at = await place(url)
    const worker = await workersAt(at, { form: 'push', handlerMs: WORK_MS })()
    await at.send('a')
    await until('the start', () => worker.lines.includes('start a'))
    const [code, said] = await ended(worker)
    // It waits for nothing but the listener's own timer.
    expect(said).toContain('ONCEMQ_BROKER_UNAVAILABLE')
    expect(code).toBe(0)
  })
})

type Worker = Awaited<ReturnType<ReturnType<typeof workersAt>>>

/** Tells it to close, and answers how it ended and what it said meanwhile. */
async function ended({ child, lines }: Worker): Promise<readonly [number | null, string[]]> {
  const before = lines.length
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  await until('its end', () => child.exitCode !== null || child.signalCode !== null, 3 * EXIT_MS)
  const [code] = (await exit) as [number | null]
  return [code, lines.slice(before)]
}
