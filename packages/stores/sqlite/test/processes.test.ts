import { SqliteStore } from '@oncemq/sqlite'
import { expect, test } from 'vitest'
import { startChild } from './children.ts'
import { effects, fileOf, withDatabase } from './folder.ts'
import { claimOf, claimsOf, newHex } from '@oncemq/test-stores'

const PROCESSES = 4

test('several processes that claim the same ids at once get each id once', async () => {
  const file = fileOf('claims')
  const children = Array.from({ length: PROCESSES }, () => startChild('claim', file))
  await Promise.all(children.map((child) => child.told()))
  for (let round = 0; round < 10; round += 1) {
    const ids = Array.from({ length: 200 }, newHex)
    for (const child of children) child.tell(ids.map((id) => claimOf({ id })))
    const granted = await Promise.all(children.map((child) => child.told<string[]>()))
    expect(granted.flat().toSorted()).toEqual(ids.toSorted())
  }
})

test('ten processes open a file that does not exist, at once', async () => {
  const file = fileOf('opened-by-ten')
  const children = Array.from({ length: 10 }, () => startChild('open', file))
  await Promise.all(children.map((child) => child.told()))
  for (const child of children) child.tell('go')
  const outcomes = await Promise.all(children.map((child) => child.told()))
  expect(outcomes).toEqual(Array.from({ length: 10 }, () => 'open'))
})

test('kill -9 between and inside of commits loses nothing answered and damages nothing', async () => {
  const file = fileOf('churn')
  const completed: string[] = []
  for (let kill = 0; kill < 5; kill += 1) {
    const children = [startChild('churn', file), startChild('churn', file)]
    for (let told = 0; told <= 3 * kill; told += 1) {
      for (const child of children) completed.push(...(await child.told<string[]>()))
    }
    await Promise.all(children.map((child) => child.kill()))
    completed.push(...children.flatMap((child) => child.messages as string[][]).flat())
  }
  const store = new SqliteStore({ path: file })
  await store.open()
  const answers = await store.claim(completed.map((id) => claimOf({ id })))
  expect(answers.filter(({ status }) => status !== 'done')).toEqual([])
  await store.close()
  expect(withDatabase(file, (database) => database.prepare('PRAGMA integrity_check').get())).toEqual({
    integrity_check: 'ok',
  })
})

test('kill -9 in the middle of batches leaves one effect of each message', async () => {
  await effects.prepare?.('killed-in-batches')
  const keys = Array.from({ length: 60 }, (_, at) => `key-${at}`)
  for (const heard of [1, 9, 20, 33, Infinity]) {
    const child = startChild('batch', fileOf('killed-in-batches'))
    await child.told()
    child.tell(keys)
    for (let count = 0; count < heard; count += 1) {
      if ((await child.told()) === 'done') break
    }
    await child.kill()
  }
  const counts = await Promise.all(keys.map((key) => effects.count('killed-in-batches', key)))
  expect(counts).toEqual(keys.map(() => 1))
})

test('kill -9 inside of a handler takes its writes back, and frees the file', async () => {
  const name = 'killed-in-transaction'
  const file = fileOf(name)
  await effects.prepare?.(name)
  const child = startChild('transact', file)
  const id = await child.told<string>()
  await child.kill()
  const store = new SqliteStore({ path: file })
  await store.open()
  expect(await effects.count(name, id)).toBe(0)
  expect((await store.claim([claimOf({ id })]))[0]?.status).toBe('busy')
  expect((await store.claim([claimOf()]))[0]?.status).toBe('granted')
  await store.close()
})

test('the event loop goes on while another process holds the lock', async () => {
  const file = fileOf('locked')
  const store = new SqliteStore({ path: file, busyTimeoutMs: 20_000 })
  await store.open()
  const child = startChild('lock', file)
  await child.told()
  let turns = 0
  // Only a loop that turns can tell the other process to let go.
  const timer = setInterval(() => {
    turns += 1
    if (turns === 100) child.tell('let go')
  }, 1)
  const answers = await store.claim(claimsOf(3))
  clearInterval(timer)
  expect(answers.map(({ status }) => status)).toEqual(['granted', 'granted', 'granted'])
  expect(turns).toBeGreaterThanOrEqual(100)
  await child.ended()
  await store.close()
})

test('a lock that is held too long is an error with a code, and nothing happens later', async () => {
  const file = fileOf('locked-too-long')
  const store = new SqliteStore({ path: file, busyTimeoutMs: 100 })
  await store.open()
  const child = startChild('lock', file)
  await child.told()
  const claim = claimOf({ label: 'secret' })
  const failure = store.claim([claim])
  await expect(failure).rejects.toMatchObject({
    code: 'ONCEMQ_STORE_UNAVAILABLE',
    cause: { errcode: 5 },
    message: expect.stringMatching(/locked.*locked-too-long\.db|locked-too-long\.db.*locked/) as string,
  })
  await expect(failure).rejects.not.toMatchObject({ message: expect.stringContaining('secret') as string })
  expect(await store.inspect([claim.id])).toEqual([undefined])
  child.tell('let go')
  await child.ended()
  expect((await store.claim([claim]))[0]?.status).toBe('granted')
  await store.close()
})
