// A message that ends its process each time, with ten innocent ones in flight: it alone is given up.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, onTestFinished, test } from 'vitest'
import { connected, newQueue, readyIn, until } from '../set-up.ts'
import type { Event, PoisonConfig } from './points.ts'

const WORKER = fileURLToPath(new URL('poison-worker.ts', import.meta.url))
const INNOCENTS = 10
const TEST_MS = 120_000

interface Scene {
  readonly form: PoisonConfig['form']
  readonly type: 'classic' | 'quorum'
  /** Its key, if it has one; and whether the innocent ones have. */
  readonly poison?: string
  readonly hasKeys?: boolean
  readonly innocents?: number
  /** What its sender has written in place of the broker's count. */
  readonly forged?: number
}

/** Keeps one worker alive until the end of the test. */
function keepAlive(config: PoisonConfig): () => number {
  let [isOver, deaths] = [false, 0]
  let worker: ChildProcess
  const hire = (): void => {
    const args = ['--conditions=@oncemq/source', '--no-warnings', WORKER, JSON.stringify(config)]
    worker = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    worker.on('exit', () => {
      if (isOver) return
      deaths += 1
      hire()
    })
  }
  hire()
  onTestFinished(() => {
    isOver = true
    worker.kill('SIGKILL')
  })
  return () => deaths
}

describeService('rabbitmq-4.0', ({ url }) => {
  // The last ones are alone: one with a record of its key, more without, as the starts are not all known.
  const [recorded, unrecorded] = [4, 6]
  const cases: [string, Scene, number][] = [
    ['a poison with a key', { form: 'managed', type: 'quorum', poison: 'poison', hasKeys: true }, recorded],
    ['a poison without a key', { form: 'managed', type: 'quorum', hasKeys: true }, unrecorded],
    [
      'one without a key among others, classic queue',
      { form: 'wrapped channel', type: 'classic' },
      unrecorded,
    ],
    ['one without a key among others, quorum queue', { form: 'wrapped channel', type: 'quorum' }, unrecorded],
    // What waits is looked at once a second.
    ['one without a key among others, by get', { form: 'get', type: 'quorum', innocents: 4 }, unrecorded],
    [
      'one without a key and with a forged count, by rascal, classic queue',
      { form: 'rascal', type: 'classic', forged: 1 },
      unrecorded,
    ],
  ]

  test.each(cases)('%s', { timeout: TEST_MS }, async (_, scene, startsMax) => {
    const { form, type, poison, hasKeys = false, innocents: count = INNOCENTS, forged } = scene
    const folder = mkdtempSync(join(tmpdir(), 'oncemq-poison-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const [database, history] = [join(folder, 'keys.db'), join(folder, 'history')]
    writeFileSync(history, '')
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection, type)
    const innocents = Array.from({ length: count }, (__, position) => `m${position}`)
    await send(poison, 'poison', forged === undefined ? {} : { headers: { 'x-delivery-count': forged } })
    for (const id of innocents) await send(hasKeys ? id : undefined, id)
    const deaths = keepAlive({ url, queue, database, history, prefetch: count + 1, form })
    const events = (): Event[] =>
      readFileSync(history, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Event)
    const doneKeys = (): Set<string> =>
      new Set(events().flatMap((event) => (event.type === 'done' ? [event.key] : [])))
    await until('all innocents', () => doneKeys().size === count, TEST_MS)
    await until('the poison', async () => (await readyIn(connection, `${queue}.parked`)) === 1, TEST_MS)
    await until('an empty queue', async () => (await readyIn(connection, queue)) === 0)
    expect([...doneKeys()].toSorted()).toEqual(innocents.toSorted())
    const starts = events().filter((event) => event.type === 'run' && event.key === 'poison').length
    expect([starts, deaths()]).toEqual([startsMax, startsMax])
    const channel = await connection.createChannel()
    const parked = await channel.get(`${queue}.parked`)
    expect(parked && parked.content.toString()).toBe('poison')
  })
})
