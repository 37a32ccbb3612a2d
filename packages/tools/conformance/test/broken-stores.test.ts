import { describe, expect, test } from 'vitest'
import { runStoreCase, type StoreCase, storeProperties, type StoreSuiteOptions } from '../src/index.ts'
import { brokenCalls } from './broken/calls.ts'
import { brokenClaims } from './broken/claims.ts'
import { brokenConflicts } from './broken/conflicts.ts'
import { brokenContents } from './broken/contents.ts'
import { brokenLocks } from './broken/locks.ts'
import { brokenLogs } from './broken/logs.ts'
import { brokenNeighbours } from './broken/neighbours.ts'
import { brokenTransactions } from './broken/transactions.ts'
import { brokenTimes } from './broken/times.ts'
import { MapDatabase, MapStore, type MapTransaction } from './map-store.ts'

const brokenStores = [
  ...brokenClaims,
  ...brokenConflicts,
  ...brokenTimes,
  ...brokenContents,
  ...brokenCalls,
  ...brokenTransactions,
  ...brokenNeighbours,
  ...brokenLocks,
  ...brokenLogs,
]

describe('a correct store', () => {
  test.each(storeProperties)('passes: $name', async ({ cases }) => {
    for (const testCase of cases) expect(await failureOf(MapStore, testCase), testCase.name).toBe(undefined)
  })
})

describe.each(brokenStores)('a store that $fault', ({ Store, caughtBy }) => {
  test.each(caughtBy)('fails: %s', async (name) => {
    const property = storeProperties.find((each) => each.name === name)
    expect(property, `there is no property ${name}`).toBeDefined()
    const failures = await Promise.all((property?.cases ?? []).map((testCase) => failureOf(Store, testCase)))
    expect(failures.filter((failure) => failure !== undefined)).not.toEqual([])
  })
})

describe('every case', () => {
  const cases = storeProperties.flatMap((property) =>
    property.cases.map((testCase) => ({ property, testCase })),
  )

  test.each(cases)('notices a broken store: $property.name: $testCase.name', async ({ testCase }) => {
    expect(await isNoticed(testCase), 'no broken store fails this case: it may be unable to fail').toBe(true)
  })
})

async function isNoticed(testCase: StoreCase): Promise<boolean> {
  for (const { Store } of brokenStores) {
    if ((await failureOf(Store, testCase)) !== undefined) return true
  }
  return false
}

async function failureOf(Store: typeof MapStore, testCase: StoreCase): Promise<unknown> {
  return runStoreCase(suiteOf(Store), testCase).then(
    () => undefined,
    (reason: unknown) => reason ?? 'rejected with nothing',
  )
}

function suiteOf(Store: typeof MapStore): StoreSuiteOptions<MapTransaction> {
  const databases = new Map<string, MapDatabase>()
  const databaseOf = (namespace: string): MapDatabase => {
    const database = databases.get(namespace) ?? new MapDatabase()
    databases.set(namespace, database)
    return database
  }
  return {
    virtualTime: true,
    open: ({ namespace, clock }) => new Store(databaseOf(namespace), clock),
    spoil: async (namespace, id) => void databaseOf(namespace).foreign.add(id),
    async lock(namespace, ids) {
      const { locked } = databaseOf(namespace)
      for (const id of ids) locked.add(id)
      return async () => locked.clear()
    },
    effects: {
      write: (tx, _namespace, name) => tx.write(name),
      commit: async (tx) => tx.commit(),
      count: async (namespace, name) => databaseOf(namespace).rows.filter((row) => row === name).length,
    },
  }
}
