import { expect, test } from 'vitest'
import { nodeSqlite } from '../src/driver.ts'

function refusal(version: string): Error {
  return expect.objectContaining({
    code: 'ONCEMQ_STORE_REFUSED',
    message:
      `SqliteStore: expected Node.js 22.16 or newer for its node:sqlite, received ${version}; ` +
      'update Node.js, or take a store that needs none, such as @oncemq/postgres or @oncemq/redis',
  }) as Error
}

test("it is the process's own", () => {
  expect(nodeSqlite()).toBe(process.getBuiltinModule('node:sqlite'))
})

test('a Node.js without node:sqlite is named, with what to do', () => {
  expect(() => nodeSqlite({ version: 'v20.12.2' })).toThrow(refusal('v20.12.2'))
  expect(() => nodeSqlite({ version: 'v22.4.0', getBuiltinModule: () => undefined })).toThrow(
    refusal('v22.4.0'),
  )
})

test('so is one that has it and lets nobody set how long it waits', () => {
  class DatabaseSync {}
  const driver = { DatabaseSync } as unknown as ReturnType<typeof nodeSqlite>
  expect(() => nodeSqlite({ version: 'v22.13.0', getBuiltinModule: () => driver })).toThrow(
    refusal('v22.13.0'),
  )
})
