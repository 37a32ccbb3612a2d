import { DatabaseSync } from 'node:sqlite'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ClaimRequest } from '@oncemq/core/store'
import { SqliteStore } from '@oncemq/sqlite'
import { claimOf, completionOf, newHex } from '@oncemq/test-stores'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { effects, fileOf, withDatabase } from './folder.ts'

let name: string
let store: SqliteStore

beforeEach(async () => {
  name = newHex()
  await effects.prepare?.(name)
  store = new SqliteStore({ path: fileOf(name) })
  await store.open()
})

afterEach(() => store.close())

async function granted(): Promise<ClaimRequest> {
  const claim = claimOf()
  await store.claim([claim])
  return claim
}

const ENDED: unknown = expect.objectContaining({ code: 'ONCEMQ_TRANSACTION_ENDED', retryable: false })
const INSERT = 'INSERT INTO effects (name) VALUES (?)'

/** All that a handler can keep of its transaction. */
function keepOf(tx: DatabaseSync) {
  const statement = tx.prepare(INSERT)
  const iterator = tx.prepare('SELECT 1 UNION SELECT 2').iterate()
  const insertion = tx.prepare(`${INSERT} RETURNING name`).iterate('late')
  iterator.next()
  const exec = Reflect.get(tx, 'exec') as (sql: string) => void
  return {
    exec: () => tx.exec(`INSERT INTO effects (name) VALUES ('late')`),
    'exec, taken out before': () => exec(`INSERT INTO effects (name) VALUES ('late')`),
    prepare: () => tx.prepare(INSERT),
    'a statement': () => statement.run('late'),
    'an iterator': () => iterator.next(),
    'an iterator that writes': () => insertion.next(),
    function: () => tx.function('late', () => 1),
    close: () => tx.close(),
  }
}

describe('what a handler leaves running', () => {
  const endings: Readonly<Record<string, (claim: ClaimRequest) => Promise<ReturnType<typeof completionOf>>>> =
    {
      returned: async (claim) => completionOf(claim),
      thrown: () => Promise.reject(new Error('one branch failed')),
    }

  test.each(Object.entries(endings))('has no effect once it has %s', async (_how, end) => {
    const claim = await granted()
    let kept: ReturnType<typeof keepOf> | undefined
    const running = store.transaction(async (tx) => {
      kept = keepOf(tx)
      await effects.write(tx, name, 'in time')
      return end(claim)
    })
    const [outcome] = await Promise.allSettled([running])
    for (const late of Object.values(kept ?? {})) expect(late).toThrow(ENDED)
    expect(kept).toBeDefined()
    expect(await effects.count(name, 'late')).toBe(0)
    expect(await effects.count(name, 'in time')).toBe(outcome?.status === 'fulfilled' ? 1 : 0)
  })

  test("does not get into the next message's transaction", async () => {
    const [first, second] = [await granted(), await granted()]
    const later = Promise.withResolvers<void>()
    let branch: Promise<unknown> | undefined
    const failed = store.transaction(async (tx) => {
      branch = later.promise.then(() => effects.write(tx, name, 'late'))
      branch.catch(() => undefined)
      return Promise.reject(new Error('the other branch failed'))
    })
    await expect(failed).rejects.toThrow('the other branch failed')
    const answer = await store.transaction(async (tx) => {
      later.resolve()
      await branch?.catch(() => undefined)
      await effects.write(tx, name, 'in time')
      return completionOf(second)
    })
    await expect(branch).rejects.toEqual(ENDED)
    expect([answer, await effects.count(name, 'late'), await effects.count(name, 'in time')]).toEqual([
      'ok',
      0,
      1,
    ])
    expect((await store.inspect([first.id]))[0]?.state).toBe('running')
  })
})

describe('a handler that hangs', () => {
  const reason = new Error('handlerTimeoutMs')

  test('loses its transaction when the signal aborts, and the lock is free at once', async () => {
    const [first, second] = [await granted(), await granted()]
    const controller = new AbortController()
    const written = Promise.withResolvers<DatabaseSync>()
    const hung = store.transaction(async (tx) => {
      await effects.write(tx, name, 'hung')
      written.resolve(tx)
      return new Promise(() => {})
    }, controller.signal)
    const tx = await written.promise
    const waiting = store.claim([claimOf()])
    const next = store.transaction(async () => completionOf(second))
    controller.abort(reason)
    await expect(hung).rejects.toBe(reason)
    expect((await waiting)[0]?.status).toBe('granted')
    expect(await next).toBe('ok')
    expect(() => tx.exec('SELECT 1')).toThrow(ENDED)
    expect(await effects.count(name, 'hung')).toBe(0)
    expect((await store.inspect([first.id]))[0]?.state).toBe('running')
  })

  test('is not begun when the signal aborts before its turn, nor when it has aborted already', async () => {
    const [first, second] = [await granted(), await granted()]
    const [controller, going] = [new AbortController(), Promise.withResolvers<void>()]
    const running = store.transaction(async () => {
      await going.promise
      return completionOf(first)
    })
    let begun = 0
    const work = async () => {
      begun += 1
      return completionOf(second)
    }
    const waiting = store.transaction(work, controller.signal)
    await nextTurn()
    controller.abort(reason)
    await expect(waiting).rejects.toBe(reason)
    await expect(store.transaction(work, controller.signal)).rejects.toBe(reason)
    going.resolve()
    expect([await running, begun]).toEqual(['ok', 0])
    expect(await store.transaction(work, new AbortController().signal)).toBe('ok')
  })
})

test('a handler cannot close the connection, nor change it for the next one', async () => {
  for (const count of [1, 2]) {
    const claim = await granted()
    const running = store.transaction(async (tx) => {
      expect(() => tx.close()).toThrow(ENDED as Error)
      await effects.write(tx, name, 'kept')
      tx.prepare = () => {
        throw new Error('of another handler')
      }
      return completionOf(claim)
    })
    expect(await running).toBe('ok')
    expect(await effects.count(name, 'kept')).toBe(count)
  }
})

describe('errors inside of a handler', () => {
  const lookalikes = [{ errcode: 10 }, Object.assign(new Error('disk I/O error'), { errcode: 13 })]

  test.each(lookalikes)("that look like the database's own are the handler's: %o", async (thrown) => {
    await granted()
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors
    const outcome = store.transaction(() => Promise.reject(thrown))
    await expect(outcome).rejects.toBe(thrown)
  })

  test("of its statements are its own, and those of the database are the store's", async () => {
    const database = new DatabaseSync(fileOf(name))
    const injected = new SqliteStore({ database })
    await injected.open()
    const faulty = injected.transaction(async (tx) => {
      tx.exec('INSERT INTO no_such_table VALUES (1)')
      return completionOf(claimOf())
    })
    await expect(faulty).rejects.toMatchObject({ code: 'ERR_SQLITE_ERROR', errcode: 1 })
    const { page_count: pages } = database.prepare('PRAGMA page_count').get() as { page_count: number }
    database.exec(`PRAGMA max_page_count = ${pages}`)
    const full = injected.transaction(async (tx) => {
      try {
        tx.prepare(INSERT).run('x'.repeat(1_000_000))
      } catch (cause) {
        throw new Error('the order was not written', { cause })
      }
      return completionOf(claimOf())
    })
    await expect(full).rejects.toMatchObject({ code: 'ONCEMQ_STORE_FULL', cause: { errcode: 13 } })
    database.close()
  })
})

test('short writes that wait for a handler are told so, however they came before it', async () => {
  const impatient = new SqliteStore({ path: fileOf(name), busyTimeoutMs: 50 })
  await impatient.open()
  const claim = await granted()
  const over = Promise.withResolvers<void>()
  const running = impatient.transaction(async () => {
    await over.promise
    return completionOf(claim)
  })
  const answers: Promise<string>[] = []
  // One microtask after the other, until the handler has begun: one of them falls between two turns.
  for (let turn = 0; turn < 20; turn += 1) {
    const told = ({ code }: { code: string }) => code
    answers.push(impatient.claim([claimOf()]).then(([answer]) => answer?.status ?? 'none', told))
    await Promise.resolve()
  }
  const known = await Promise.all(answers)
  expect(new Set(known)).toEqual(new Set(['granted', 'ONCEMQ_STORE_BUSY']))
  over.resolve()
  expect(await running).toBe('ok')
  await impatient.close()
})

test('a full disk that is kept quiet has rolled all back: nothing commits by itself later', async () => {
  const claim = await granted()
  let [isOpen, late]: [boolean, unknown] = [true, undefined]
  const full = store.transaction(async (tx) => {
    const { page_count: pages } = tx.prepare('PRAGMA page_count').get() as { page_count: number }
    tx.exec(`PRAGMA max_page_count = ${pages + 2}`)
    try {
      for (;;) tx.prepare(INSERT).run('x'.repeat(4000))
    } catch {
      isOpen = tx.isTransaction
    }
    try {
      tx.prepare(INSERT).run(claim.id)
    } catch (error) {
      late = error
    }
    return completionOf(claim)
  })
  await expect(full).rejects.toMatchObject({ code: 'ONCEMQ_STORE_FULL', retryable: true })
  expect([isOpen, late]).toMatchObject([false, { errcode: 13 }])
  expect(await effects.count(name, claim.id)).toBe(0)
})

test('an iterator that a handler leaves in the middle keeps nobody from the file', async () => {
  const claim = await granted()
  let iterator: Iterator<unknown> | undefined
  const answer = await store.transaction(async (tx) => {
    tx.exec('CREATE TEMP TABLE mine (a)')
    iterator = tx.prepare('SELECT 1 FROM sqlite_schema').iterate()
    expect(iterator.next().done).toBe(false)
    return completionOf(claim)
  })
  expect(answer).toBe('ok')
  // Whoever reads from before this write may not write.
  withDatabase(fileOf(name), (database) => database.prepare(INSERT).run(newHex()))
  await granted()
  expect(() => iterator?.next()).toThrow(ENDED)
})

describe('what a handler sets for its session', () => {
  async function handle(body: (tx: DatabaseSync) => unknown): Promise<unknown> {
    const claim = await granted()
    const answer = await store.transaction(async (tx) => {
      await body(tx)
      return completionOf(claim)
    })
    expect((await store.inspect([claim.id]))[0]?.state).toBe('done')
    return answer
  }

  test.each([
    ['query_only = ON', { query_only: 0 }],
    ['locking_mode = EXCLUSIVE', { locking_mode: 'normal' }],
    ['ignore_check_constraints = ON', { ignore_check_constraints: 0 }],
  ])('ends with its transaction: %s', async (pragma, expected) => {
    expect(await handle((tx) => tx.exec(`PRAGMA ${pragma}`))).toBe('ok')
    const [asked] = pragma.split(' ')
    let found: unknown
    expect(await handle((tx) => (found = tx.prepare(`PRAGMA ${asked}`).get()))).toBe('ok')
    expect(found).toEqual(expected)
    // Whoever else has the file gets its lock.
    expect(await effects.count(name, newHex())).toBe(0)
  })

  test.each([
    'CREATE TEMP TABLE effects (name TEXT, other TEXT)',
    'CREATE TABLE temp.effects (name TEXT)',
    "CREATE TEMP VIEW effects AS SELECT 'x' AS name",
    'CREATE TEMP TRIGGER late AFTER INSERT ON effects BEGIN DELETE FROM effects; END',
  ])('takes nothing of what the next message writes: %s', async (statement) => {
    expect(await handle((tx) => tx.exec(statement))).toBe('ok')
    const row = newHex()
    expect(await handle((tx) => tx.prepare(INSERT).run(row))).toBe('ok')
    expect(await effects.count(name, row)).toBe(1)
  })

  test('that cannot be dropped fails its message, and goes with it', async () => {
    const database = new DatabaseSync(fileOf(name))
    const own = new SqliteStore({ database })
    await own.open()
    const claim = claimOf()
    await own.claim([claim])
    const reading = database.prepare('SELECT 1 FROM sqlite_schema').iterate()
    reading.next()
    const leaving = own.transaction(async (tx) => {
      tx.exec('CREATE TEMP TABLE mine (a)')
      return completionOf(claim)
    })
    await expect(leaving).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED', retryable: false })
    expect(database.prepare('SELECT name FROM sqlite_temp_schema').all()).toEqual([])
    reading.return?.()
    await own.close()
    database.close()
  })

  test('is put back also if it fails, or commits by itself', async () => {
    const ends = [
      ['SELECT nope', 'no such column: nope'],
      ['COMMIT', 'the transaction to be open when the handler ends'],
    ] as const
    for (const [end, message] of ends) {
      const leaving = handle((tx) => {
        tx.exec('CREATE TEMP TABLE effects (name TEXT); PRAGMA query_only = ON')
        tx.exec(end)
      })
      await expect(leaving).rejects.toThrow(message)
    }
    const row = newHex()
    expect(await handle((tx) => tx.prepare(INSERT).run(row))).toBe('ok')
    expect(await effects.count(name, row)).toBe(1)
  })

  test('leaves what was there before it to the owner of the connection', async () => {
    const database = new DatabaseSync(fileOf(name))
    database.exec('CREATE TEMP TABLE its (a)')
    const own = new SqliteStore({ database })
    await own.open()
    const claim = claimOf()
    await own.claim([claim])
    await own.transaction(async (tx) => {
      tx.exec('CREATE TEMP TABLE mine (a); INSERT INTO temp.its VALUES (1)')
      return completionOf(claim)
    })
    expect(database.prepare('SELECT name FROM sqlite_temp_schema').all()).toEqual([{ name: 'its' }])
    await own.close()
    database.close()
  })
})
