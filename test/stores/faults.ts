import { createDeduplicator } from '@oncemq/core'
import type { Store } from '@oncemq/core'
import { recordId } from '@oncemq/core/store'
import type { Server } from '@oncemq/test-services'
import { fillDisk, whyNoDisk } from '@oncemq/test-services/disk'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import type { ServiceOptions } from '@oncemq/test-services'
import { expect, onTestFinished, test } from 'vitest'
import { BOUND, Load, NOTHING_WRONG } from './load.ts'
import { newHex } from './requests.ts'

const FULL_DISK_MS = 60_000

/** Makes a store on the server at `url`, on records of its own. */
type Open = (url: string, namespace: string) => Store | Promise<Store>

/**
 * Makes a store's tables in good time, for tests of a store that is given little of it: for their files a
 * busy machine takes longer than for any answer.
 */
export async function createSchema(store: Store): Promise<void> {
  await store.open()
  await store.close()
}

/** What happens to every store whose server is a process of its own: it dies, it stops, it is cut off. */
export function testFaults(server: Server, open: Open, urlOf?: (proxy: FaultProxy) => string): void {
  testKill(server, open)
  testPause(server, open)
  testCuts(server, open, urlOf)
  testLostAnswers(server, open, urlOf)
}

export function testKill(server: Server, open: Open): void {
  test('kill -9 of the server under load: all waits, nothing is lost, all goes on by itself', async () => {
    const load = await Load.start(await open(server.url, 'killed'))
    for (let kill = 0; kill < 2; kill += 1) {
      await load.progress()
      await server.kill9()
      await expect.poll(() => load.dedup.outage?.retryable, BOUND).toBe(true)
      await server.start()
      await expect.poll(() => load.dedup.outage, BOUND).toBeUndefined()
    }
    await load.progress()
    expect(await load.wrongs(await open(server.url, 'killed'))).toEqual(NOTHING_WRONG)
  })
}

export function testPause(server: Server, open: Open): void {
  test('a server that is stopped with SIGSTOP: calls end in time, and all goes on when it does', async () => {
    const load = await Load.start(await open(server.url, 'paused'))
    await load.progress()
    await server.pause()
    await expect.poll(() => load.dedup.outage?.retryable, BOUND).toBe(true)
    await server.resume()
    await load.progress()
    expect(await load.wrongs(await open(server.url, 'paused'))).toEqual(NOTHING_WRONG)
  })
}

export function testCuts(
  server: Server,
  open: Open,
  urlOf: (proxy: FaultProxy) => string = ({ url }) => url,
): void {
  test('connections that are cut in the middle of replies lose nothing', async () => {
    const proxy = await FaultProxy.open(server.url)
    onTestFinished(() => proxy.close())
    const load = await Load.start(await open(urlOf(proxy), 'cut'))
    // A hundred messages bring more bytes of replies than any of these.
    for (const bytes of [1, 3, 7, 20, 60, 150, 400]) {
      await load.progress()
      proxy.cutReplyAfter(bytes)
    }
    await load.progress()
    expect(await load.wrongs(await open(server.url, 'cut'))).toEqual(NOTHING_WRONG)
  })
}

/** The only start that this deduplicator allows is left to its handler, however often a claim was in vain. */
export function testLostAnswers(
  server: Server,
  open: Open,
  urlOf: (proxy: FaultProxy) => string = ({ url }) => url,
): void {
  test('claims that are applied and whose answers are lost are released, and no starts', async () => {
    const proxy = await FaultProxy.open(server.url)
    onTestFinished(() => proxy.close())
    const [store, beside] = [await open(urlOf(proxy), 'unanswered'), await open(server.url, 'unanswered')]
    const dedup = createDeduplicator({
      store,
      consumerGroup: 'unanswered',
      attemptsMax: 1,
      storeTimeoutMs: 1000,
      outageHoldMs: 1,
      busyTimeoutMs: 10_000,
    })
    await dedup.open()
    await beside.open()
    for (let loss = 0; loss < 3; loss += 1) {
      const key = newHex()
      const id = recordId('unanswered', key)
      const record = async () => (await beside.inspect([id]))[0]
      // With a connection at hand the claim itself arrives.
      await store.inspect([id])
      proxy.swallowReplies()
      const lost = await dedup.process({ key }, () => expect.unreachable())
      expect(lost.status).toBe('store-down')
      expect(await record()).toMatchObject({ state: 'running', attempts: 1 })
      proxy.resume()
      await expect.poll(record, BOUND).toMatchObject({ state: 'free', attempts: 0 })
      await expect.poll(() => dedup.outage, BOUND).toBeUndefined()
      const outcome = await dedup.process({ key }, async ({ attempt }) => Buffer.from([attempt]))
      expect(outcome).toMatchObject({ status: 'completed', result: Buffer.from([1]) })
    }
    await dedup.close()
    await beside.close()
  })
}

type Name = Parameters<typeof describeService>[0]

const noDisk = await whyNoDisk()

/**
 * A server that has no room on its disk. Some end then, and are started again as a service manager does it.
 */
export function testFullDisk(
  name: Name,
  { diskMb, args = [] }: Pick<ServiceOptions, 'args'> & { readonly diskMb: number },
  open: Open,
): void {
  const options = noDisk === undefined ? { own: true, args, diskMb } : { own: true, args }
  describeService(name, options, (server) => {
    const title = 'a full disk: all waits, nothing is lost, and all goes on when there is room'
    test(title, { timeout: FULL_DISK_MS }, async (context) => {
      context.skip(noDisk !== undefined, noDisk)
      const load = await Load.start(await open(server.url, 'full'))
      await load.progress()
      const makeRoom = await fillDisk(server)
      await expect.poll(() => load.dedup.outage?.retryable, BOUND).toBe(true)
      await makeRoom()
      await server.start()
      await load.progress()
      expect(await load.wrongs(await open(server.url, 'full'))).toEqual(NOTHING_WRONG)
    })
  })
}
