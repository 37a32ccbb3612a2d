// A process that was stopped for longer than the server's `channelExpiredTimeout` is forgotten by it.
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'
import { place, quiet, until } from './set-up.ts'
import { workersAt } from './workers.ts'

const LONG_MS = 150_000
/** The servers of these tests forget after 15 s, and look each 10 s. */
const STOPPED_MS = 30_000
/** By itself the client tells its settings again each five minutes. */
const HEARD_MS = 40_000

describeService('rocketmq-fast', ({ url }) => {
  // In one test, side by side: what two tests at a time have to end, each ends for the other, too.
  test('a stopped process is given messages soon after it goes on', { timeout: LONG_MS }, async () => {
    const stopped = async (form: 'simple' | 'push'): Promise<void> => {
      const at = await place(url)
      const { child, lines } = await workersAt(at, { form, handlerMs: 1 })()
      await at.send('a')
      await until(`a, ${form}`, () => lines.includes('done a'))
      child.kill('SIGSTOP')
      await quiet(STOPPED_MS)
      child.kill('SIGCONT')
      const fromMs = performance.now()
      await at.send('b')
      await until(`b, ${form}`, () => lines.includes('done b'), HEARD_MS)
      console.log(`forgotten, ${form}: a message after ${Math.round(performance.now() - fromMs)} ms`)
      expect(lines.filter((line) => line === 'start b')).toHaveLength(1)
    }
    await Promise.all([stopped('simple'), stopped('push')])
  })
})
