import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { historyFileOf } from './history.ts'
import { heldLock, isLockKept } from './outages.ts'

const MEANWHILE_MS = 100

test.each([
  ['nobody has it', 0, false],
  ['somebody has it for a part of the time', MEANWHILE_MS / 2, false],
  ['somebody has it all the time', 2 * MEANWHILE_MS, true],
])('whether the lock of SQLite is kept: %s', async (_, heldMs, isKept) => {
  const path = historyFileOf({ onTestFinished })
  const lock = heldLock(path)
  if (heldMs > 0) await lock.begin()
  const released = delay(heldMs).then(() => lock.end())
  expect(await isLockKept(path, delay(MEANWHILE_MS))).toBe(isKept)
  await released
})
