import { MongoStore } from '@oncemq/mongodb'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'
import { startChild } from './children.ts'
import { databaseOn } from './database.ts'
import { claimOf, newHex } from '@oncemq/test-stores'

const PROCESSES = 4

describeService('mongodb-6', (server) => {
  const { collection, effects } = databaseOn(server)

  test('several processes that claim the same ids at once get each id once', async () => {
    const name = newHex()
    const children = Array.from({ length: PROCESSES }, () => startChild('claim', server.url, name))
    await Promise.all(children.map((child) => child.told()))
    for (let round = 0; round < 10; round += 1) {
      const ids = Array.from({ length: 200 }, newHex)
      for (const child of children) child.tell(ids.map((id) => claimOf({ id })))
      const granted = await Promise.all(children.map((child) => child.told<string[]>()))
      expect(granted.flat().toSorted()).toEqual(ids.toSorted())
    }
  })

  test('several processes open a collection that does not exist, at once', async () => {
    const name = newHex()
    const children = Array.from({ length: PROCESSES }, () => startChild('open', server.url, name))
    await Promise.all(children.map((child) => child.told()))
    for (const child of children) child.tell('go')
    const outcomes = await Promise.all(children.map((child) => child.told()))
    expect(outcomes).toEqual(children.map(() => 'open'))
  })

  test('kill -9 between and inside of calls loses nothing answered', async () => {
    const name = newHex()
    const completed: string[] = []
    for (let kill = 0; kill < 3; kill += 1) {
      const children = [startChild('churn', server.url, name), startChild('churn', server.url, name)]
      for (let told = 0; told <= 3 * kill; told += 1) {
        for (const child of children) completed.push(...(await child.told<string[]>()))
      }
      await Promise.all(children.map((child) => child.kill()))
      completed.push(...children.flatMap((child) => child.messages as string[][]).flat())
    }
    const store = new MongoStore({ collection: collection(name) })
    await store.open()
    const answers = await store.claim(completed.map((id) => claimOf({ id })))
    expect(answers.filter(({ status }) => status !== 'done')).toEqual([])
  })

  test('kill -9 inside of a handler takes its writes back, and holds up nobody', async () => {
    const name = newHex()
    await effects.prepare?.(name)
    const child = startChild('transact', server.url, name)
    const id = await child.told<string>()
    await child.kill()
    const store = new MongoStore({ collection: collection(name) })
    await store.open()
    expect(await effects.count(name, id)).toBe(0)
    const [mine, other] = await store.claim([claimOf({ id }), claimOf()])
    expect([mine?.status, other?.status]).toEqual(['busy', 'granted'])
  })
})
