import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { historyFileOf } from './history.ts'
import { heldLock, isLockKept } from './outages.ts'

const A_WHILE_MS = 50

async function lockOfAFile() {
  const path = historyFileOf({ onTestFinished })
  const lock = heldLock(path)
  await lock.begin()
  return { path, lock }
}

test('the lock of SQLite is kept while somebody has it all the time', async () => {
  const { path, lock } = await lockOfAFile()
  expect(await isLockKept(path, delay(A_WHILE_MS))).toBe(true)
  await lock.end()
})

test('it is not kept where somebody has it for a part of the time', async () => {
  const { path, lock } = await lockOfAFile()
  const released = delay(A_WHILE_MS).then(() => lock.end())
  expect(await isLockKept(path, released)).toBe(false)
})

test('it is not kept where nobody has it', async () => {
  expect(await isLockKept(historyFileOf({ onTestFinished }), delay(A_WHILE_MS))).toBe(false)
})
