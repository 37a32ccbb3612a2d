import { describeService } from '@oncemq/test-services/vitest'
import { expect, onTestFinished, test } from 'vitest'
import { stopClient, consume } from '../src/index.ts'
import { deduplicator, place, until } from './set-up.ts'
import { workersAt } from './workers.ts'

const MESSAGES = 60
const SENDS_MAX = 60
const SHUTDOWN_MS = 25_000
const LONG_MS = 90_000

describeService('rocketmq-fast', { own: true }, (server) => {
  test('a worker that is killed in mid-handler is taken over', { timeout: LONG_MS }, async () => {
    const at = await place(server.url)
    const start = workersAt(at, { handlerMs: 1000 })
    const first = await start()
    await at.send('a')
    await until('the start', () => first.lines.includes('start a'))
    first.child.kill('SIGKILL')
    const second = await start()
    await until('the end', () => second.lines.includes('done a'))
    await at.send('a')
    await at.send('b')
    await until('the end of b', () => second.lines.includes('done b'))
    expect(first.lines).not.toContain('done a')
    expect(second.lines.filter((line) => line === 'done a')).toHaveLength(1)
  })

  test(
    'nothing is lost when the server is killed under load, and clients end without it',
    { timeout: LONG_MS },
    async () => {
      const at = await place(server.url)
      const dedup = deduplicator()
      const other = await at.started(at.topic, (await place(server.url)).group)
      const done: string[] = []
      const consumer = await consume({
        consumer: at.simple(),
        dedup,
        invisibleMs: 10_000,
        handler: ({ body }) => void done.push(body.toString()),
      })
      onTestFinished(() => consumer.close({ timeoutMs: 1000 }).catch(() => undefined))
      const names = Array.from({ length: MESSAGES }, (_, index) => `m${index}`)
      const sending = (async () => {
        for (const name of names) await sendUntilTaken(() => at.send(name))
      })()
      sending.catch(() => undefined)
      await until('half of them', () => done.length >= MESSAGES / 2)
      await server.kill9()
      const fromMs = performance.now()
      await expect(stopClient(other)).rejects.toMatchObject({ code: 'ONCEMQ_BROKER_UNAVAILABLE' })
      expect(performance.now() - fromMs).toBeLessThan(SHUTDOWN_MS)
      await server.start()
      await sending
      for (const name of names) await sendUntilTaken(() => at.send(name))
      await until('all of them', () => new Set(done).size === MESSAGES, LONG_MS)
      await until('the duplicates', () => dedup.counts().duplicate >= MESSAGES, LONG_MS)
      expect(done.toSorted()).toEqual(names.toSorted())
    },
  )
})

/** A producer sends again what was not confirmed: so copies come, with the same keys. */
async function sendUntilTaken(send: () => Promise<unknown>): Promise<void> {
  for (let count = 1; ; count += 1) {
    try {
      await send()
      return
    } catch (error) {
      if (count === SENDS_MAX) throw error
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
  }
}
