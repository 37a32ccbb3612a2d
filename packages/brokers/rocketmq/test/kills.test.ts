// Workers that are killed again and again while messages come twice. Takes minutes:
//   ONCEMQ_SOAK=1 npm run vitest -- packages/brokers/rocketmq/test/kills.test.ts
import { describeService } from '@oncemq/test-services/vitest'
import { describe, expect, test } from 'vitest'
import { place, quiet, until } from './set-up.ts'
import { type Worker, workersAt } from './workers.ts'

const SOAK = process.env['ONCEMQ_SOAK'] === '1'
const SERVERS = SOAK ? (['rocketmq-fast'] as const) : []
const MESSAGES = 300
const GROUPS = 10
const KILLS = 4
const KILL_EVERY_MS = 4000
const LONG_MS = 300_000

describe('two workers, one of them killed', () => {
  test('it takes minutes', ({ skip }) => {
    skip(!SOAK, 'set ONCEMQ_SOAK=1 to run it')
    expect(SERVERS).toHaveLength(1)
  })
  for (const name of SERVERS)
    describeService(name, ({ url }) => {
      test.each(['NORMAL', 'FIFO'] as const)('%s', { timeout: LONG_MS }, async (type) => {
        const at = await place(url, type)
        const start = workersAt(at, { handlerMs: 20 })
        const workers = [await start(), await start()]
        const names = Array.from({ length: MESSAGES }, (_, index) => `m${index}`)
        const sending = sendTwice(names, (body, index) =>
          at.send(body, { keys: [body], ...(type === 'FIFO' ? { messageGroup: `g${index % GROUPS}` } : {}) }),
        )
        let victim = workers[0]
        for (let count = 0; count < KILLS; count += 1) {
          await quiet(KILL_EVERY_MS)
          victim?.child.kill('SIGKILL')
          victim = await start()
          workers.push(victim)
        }
        await sending
        await until('all messages', () => new Set(linesOf(workers, 'done ')).size === MESSAGES, LONG_MS / 2)
        const [starts, ends] = [linesOf(workers, 'start '), linesOf(workers, 'done ')]
        console.log(
          `${type}: ${starts.length} starts, ${ends.length} ends of ${MESSAGES} sent twice, ${KILLS} kills`,
        )
        // A handler that is killed, or whose end is not recorded yet: nothing else runs twice.
        expect(starts.length - MESSAGES).toBeLessThanOrEqual(KILLS * 16)
        expect(new Set(ends).size).toBe(MESSAGES)
      })
    })
})

async function sendTwice(names: readonly string[], send: (name: string, index: number) => Promise<unknown>) {
  for (const [index, name] of names.entries()) await send(name, index)
  for (const [index, name] of names.entries()) await send(name, index)
}

function linesOf(workers: readonly Worker[], start: string): string[] {
  return workers.flatMap(({ lines }) => lines.filter((line) => line.startsWith(start)))
}
