import { MongoStore } from '@oncemq/mongodb'
import { describeService } from '@oncemq/test-services/vitest'
import { MongoClient } from 'mongodb'
import { afterAll, expect, test } from 'vitest'
import { claimOf, completionOf } from '@oncemq/test-stores'
import { BOUND, Load, NOTHING_WRONG } from '@oncemq/test-stores/load'

const FAILOVER = { timeout: 60_000 }

describeService('mongodb-3', { own: true }, (server) => {
  const client = new MongoClient(server.url)
  afterAll(() => client.close())

  function storeOf(collection: string): MongoStore {
    return new MongoStore({ url: server.url, collection, timeoutMs: 500 })
  }

  /** The name of the node that is primary, by the ports that the members tell. */
  async function primary(): Promise<string> {
    const found: string[] = []
    await expect
      .poll(async () => {
        const hello = (await client.db('admin').command({ hello: 1 })) as { primary?: string }
        const node = server.nodes.find(({ port }) => hello.primary?.endsWith(`:${port}`))
        if (node !== undefined) found.push(node.name)
        return found.length
      }, BOUND)
      .toBeGreaterThan(0)
    return found[0] as string
  }

  test('kill -9 of the primary under load: another takes over, nothing is lost', FAILOVER, async () => {
    const load = await Load.start(storeOf('killed'))
    await load.progress()
    const killed = await primary()
    await server.kill9(killed)
    await expect.poll(() => load.dedup.outage?.retryable, BOUND).toBe(true)
    await load.progress()
    await server.start(killed)
    await load.progress()
    expect(await load.wrongs(storeOf('killed'))).toEqual(NOTHING_WRONG)
  })

  test('the primary steps down under load: nothing is lost', FAILOVER, async () => {
    const load = await Load.start(storeOf('stepped-down'))
    await load.progress()
    await client.db('admin').command({ replSetStepDown: 5, secondaryCatchUpPeriodSecs: 2 })
    await load.progress()
    expect(await load.wrongs(storeOf('stepped-down'))).toEqual(NOTHING_WRONG)
  })

  test('a write that no majority has is no answer, and the call ends in time', FAILOVER, async () => {
    const collection = client.db('oncemq_test').collection('alone')
    const store = new MongoStore({ collection, timeoutMs: 500 })
    await store.open()
    const claim = claimOf()
    await store.claim([claim])
    const leader = await primary()
    const others = server.nodes.map(({ name }) => name).filter((name) => name !== leader)
    for (const name of others) await server.pause(name)
    const failure = await store.update([completionOf(claim)]).catch((error: unknown) => error)
    expect(failure).toMatchObject({ retryable: true })
    for (const name of others) await server.resume(name)
    await expect.poll(() => store.update([completionOf(claim)]).catch(() => []), BOUND).toEqual(['ok'])
  })
})
