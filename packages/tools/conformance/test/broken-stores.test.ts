import { afterAll, describe, expect, test } from 'vitest'
import { runStoreCase, type StoreCase, storeProperties, type StoreSuiteOptions } from '../src/index.ts'
import { brokenStores } from './broken-stores.ts'
import { MapDatabase, MapStore } from './map-store.ts'

function suiteOf(Store: typeof MapStore): StoreSuiteOptions<string[]> {
  const databases = new Map<string, MapDatabase>()
  const databaseOf = (namespace: string): MapDatabase => {
    const database = databases.get(namespace) ?? new MapDatabase()
    databases.set(namespace, database)
    return database
  }
  return {
    virtualTime: true,
    open: ({ namespace, clock }) => new Store(databaseOf(namespace), clock),
    effects: {
      write: async (tx, _namespace, name) => void tx.push(name),
      count: async (namespace, name) => databaseOf(namespace).rows.filter((row) => row === name).length,
    },
  }
}

async function failureOf(Store: typeof MapStore, testCase: StoreCase): Promise<unknown> {
  return await runStoreCase(suiteOf(Store), testCase).then(
    () => undefined,
    (reason: unknown) => reason ?? 'rejected with nothing',
  )
}

const useful = new Set<StoreCase>()

describe('a correct store', () => {
  for (const property of storeProperties) {
    test(`passes: ${property.name}`, async () => {
      for (const testCase of property.cases)
        expect(await failureOf(MapStore, testCase), testCase.name).toBe(undefined)
    })
  }
})

describe.each(brokenStores)('a store that $fault', ({ Store, caughtBy }) => {
  test.each(caughtBy)('fails: %s', async (name) => {
    const property = storeProperties.find((each) => each.name === name)
    expect(property, `there is no property ${name}`).toBeDefined()
    const failures: unknown[] = []
    for (const testCase of property?.cases ?? []) {
      const failure = await failureOf(Store, testCase)
      if (failure === undefined) continue
      failures.push(failure)
      useful.add(testCase)
    }
    expect(failures).not.toEqual([])
  })
})

afterAll(() => {
  const idle = storeProperties.flatMap(({ name, cases }) =>
    cases.filter((each) => !useful.has(each)).map((each) => `${name}: ${each.name}`),
  )
  if (process.env.SHOW_IDLE) console.log(idle.join('\n'))
})
