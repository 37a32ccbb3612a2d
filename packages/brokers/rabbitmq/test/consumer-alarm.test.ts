// A broker whose disk is nearly full reads nothing from a connection that has published: who consumes goes
// on.
import { once } from 'node:events'
import { rm, statfs, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PermanentError } from '@oncemq/core'
import { whyNoDisk } from '@oncemq/test-services/disk'
import { describeService } from '@oncemq/test-services/vitest'
import { connect } from 'amqplib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { consume } from '../src/index.ts'
import { connected, deduplicator, newQueue, readyIn, until } from './set-up.ts'

const DISK_MB = 300
const LIMIT_MB = 80
const MB = 1024 * 1024
const LONG_MS = 120_000
const options = { own: true, diskMb: DISK_MB, args: [`disk_free_limit.absolute = ${LIMIT_MB}MB`] }
const skipped = await whyNoDisk()

describe.skipIf(skipped !== undefined)('a disk alarm', () => {
  describeService('rabbitmq-4.0', options, ({ nodes, url }) => {
    const folder = dirname(nodes[0]?.log ?? '')

    test.each(['connect', 'connection'] as const)(
      'consumption goes on, and what has to be sent on waits (%s)',
      { timeout: LONG_MS },
      async (form) => {
        const direct = await connected(url)
        const { queue, send } = await newQueue(direct, 'quorum')
        const [good, bad] = [100, form === 'connect' ? 5 : 0]
        for (let count = 0; count < good; count += 1) await send(`m${count}`)
        for (let count = 0; count < bad; count += 1) await send(`p${count}`, 'poison')
        const end = await alarm(url, folder)
        const runs = new Map<string, number>()
        const done = new Set<string>()
        const dedup = deduplicator()
        const warnings: string[] = []
        dedup.on('warning', ({ message }) => void warnings.push(message))
        const consumer = await consume({
          ...(form === 'connect' ? { connect: () => connect(url) } : { connection: await connected(url) }),
          queue,
          dedup,
          prefetch: 16,
          retry: { firstMs: 200 },
          handler: ({ content, properties }, { attempt }) => {
            const id = properties.messageId as string
            runs.set(id, (runs.get(id) ?? 0) + 1)
            if (content.toString() === 'poison') throw new PermanentError('never')
            if (id.endsWith('7') && attempt === 1) throw new Error('once')
            done.add(id)
          },
        })
        onTestFinished(() => consumer.close({ timeoutMs: 100 }))
        await until('all that need nothing sent', () => done.size === good, 20_000)
        const isTold = (): boolean => warnings.some((each) => each.includes('alarm of memory or disk'))
        if (bad > 0) await until('a warning', isTold, 40_000)
        await end()
        if (bad > 0) {
          await until('parked', async () => (await readyIn(direct, `${queue}.parked`)) === bad, 90_000)
        }
        await consumer.close()
        await until('an empty queue', async () => (await readyIn(direct, queue)) === 0)
        expect([...runs].filter(([id, count]) => count !== (/^m\d?7$/.test(id) ? 2 : 1))).toEqual([])
        expect(await readyIn(direct, `${queue}.parked`)).toBe(bad > 0 ? bad : undefined)
        // What waits for a short time waits where it is: nothing had to be sent.
        expect(warnings.some(isCopy)).toBe(bad > 0)
      },
    )
  })
})

function isCopy(warning: string): boolean {
  return warning.includes('could not be sent on')
}

/** Takes room until the broker says that it has an alarm. Answers how to end it. */
async function alarm(url: string, folder: string): Promise<() => Promise<void>> {
  const probe = await connected(url)
  const channel = await probe.createChannel()
  const { bavail, bsize } = await statfs(folder)
  const ballast = join(folder, 'ballast')
  await writeFile(ballast, Buffer.alloc(bavail * bsize - (LIMIT_MB / 2) * MB))
  const blocked = once(probe, 'blocked')
  let isBlocked = false
  void blocked.then(() => (isBlocked = true))
  await until(
    'the alarm',
    () => {
      channel.publish('', 'nobody', Buffer.from('probe'))
      return isBlocked
    },
    60_000,
  )
  return async () => {
    const unblocked = once(probe, 'unblocked')
    await rm(ballast)
    await unblocked
  }
}
