import { EventEmitter } from 'node:events'
import { describe, expect, test } from 'vitest'
import { revocable } from '../../src/store/index.ts'

class Statement {
  readonly #ran: string[]
  readonly sql: string

  constructor(ran: string[], sql: string) {
    this.#ran = ran
    this.sql = sql
  }

  run(): void {
    this.#ran.push(this.sql)
  }
}

type Callback = (error: unknown, rows?: readonly string[]) => void

/** A driver's connection with what drivers have: private fields, promises, callbacks, events, parts. */
class Connection extends EventEmitter {
  readonly #ran: string[] = []
  failure: Error | undefined
  readonly inner = new Statement(this.#ran, 'inner')

  get ran(): readonly string[] {
    return this.#ran
  }

  async query(sql: string, callback?: Callback): Promise<unknown> {
    this.#ran.push(sql)
    if (callback !== undefined) return callback(this.failure, [sql])
    if (this.failure !== undefined) throw this.failure
    return [sql]
  }

  exec(sql: string): void {
    if (this.failure !== undefined) throw this.failure
    this.#ran.push(sql)
  }

  prepare(sql: string): Statement {
    return new Statement(this.#ran, sql)
  }

  iterate(row: string): Iterator<string> {
    return {
      next: () => ({ value: row }),
      return: () => {
        this.#ran.push(`${row} ended`)
        throw new Error('closed')
      },
    }
  }

  async prepareLater(sql: string): Promise<Statement> {
    return this.prepare(sql)
  }
}

function lent() {
  const connection = new Connection()
  const nested = (value: object): boolean => value instanceof Statement || 'next' in value
  const seen: unknown[] = []
  const onError = (error: unknown): void => void seen.push(error)
  const ends = (_value: object, method: string | symbol): boolean => method === 'removeAllListeners'
  return { connection, seen, ...revocable(connection, { store: 'ToyStore', nested, ends, onError }) }
}

const ENDED: unknown = expect.objectContaining({ code: 'ONCEMQ_TRANSACTION_ENDED' })

test('errors of the driver are told also when the handler keeps them quiet', async () => {
  const { connection, proxy, seen } = lent()
  connection.failure = new Error('deadlock')
  await proxy.query('SELECT 1').catch(() => undefined)
  await proxy.query('SELECT 1', () => undefined)
  expect(() => proxy.exec('SELECT 1')).toThrow('deadlock')
  expect(seen).toEqual([connection.failure, connection.failure, connection.failure])
})

describe('a connection that is lent', () => {
  test('works as it does itself', async () => {
    const { connection, proxy } = lent()
    expect(proxy).toBeInstanceOf(Connection)
    expect(proxy.constructor).toBe(Connection)
    expect(await proxy.query('a')).toEqual(['a'])
    const exec = Reflect.get(proxy, 'exec') as (sql: string) => void
    exec('b')
    proxy.prepare('c').run()
    const other = proxy.prepare('d')
    proxy.prepare('e').run()
    other.run()
    ;(await proxy.prepareLater('f')).run()
    proxy.inner.run()
    expect(proxy.ran).toEqual(['a', 'b', 'c', 'e', 'd', 'f', 'inner'])
    expect(connection.ran).toEqual(proxy.ran)
    expect(Reflect.get(proxy, 'exec')).toBe(exec)
    expect(proxy.inner).toBe(proxy.inner)
  })

  test('does nothing any more once it is taken back, nor do its parts and methods', async () => {
    const { connection, proxy, revoke } = lent()
    const [statement, { inner }] = [proxy.prepare('late'), proxy]
    const exec = Reflect.get(proxy, 'exec') as (sql: string) => void
    const chained = proxy.on('end', () => undefined)
    expect(chained).toBe(proxy)
    const onTheirWay = proxy.prepareLater('on its way')
    revoke()
    revoke()
    const late = [
      () => proxy.exec('late'),
      () => exec('late'),
      () => proxy.prepare('late'),
      () => statement.run(),
      () => inner.run(),
      () => proxy.inner.run(),
      () => chained.exec('late'),
      () => (proxy.failure = new Error('late')),
    ]
    for (const use of late) expect(use).toThrow(ENDED)
    await expect((async () => proxy.query('late'))()).rejects.toEqual(ENDED)
    const statementOnItsWay = await onTheirWay
    expect(() => statementOnItsWay.run()).toThrow(ENDED)
    expect(connection.ran).toEqual([])
    expect(connection.failure).toBe(undefined)
    connection.exec('its owner goes on')
    expect(connection.ran).toEqual(['its owner goes on'])
  })

  test('keeps what a handler sets on it from its next user', () => {
    const { connection, proxy } = lent()
    const own = (): void => undefined
    proxy.exec = own
    proxy.failure = new Error('set')
    expect([Reflect.get(proxy, 'exec'), proxy.failure, 'failure' in proxy]).toEqual([
      own,
      new Error('set'),
      true,
    ])
    expect([Object.hasOwn(connection, 'exec'), connection.failure]).toEqual([false, undefined])
    Reflect.deleteProperty(proxy, 'exec')
    Reflect.deleteProperty(proxy, 'inner')
    proxy.exec('a')
    expect([connection.ran, connection.inner]).toEqual([['a'], expect.any(Statement)])
    expect(() => Object.defineProperty(proxy, 'exec', { value: own })).toThrow(TypeError)
    expect(() => void Object.setPrototypeOf(proxy, null)).toThrow(TypeError)
    expect(() => Object.freeze(proxy)).toThrow(TypeError)
    expect(connection).toBeInstanceOf(Connection)
    expect(Object.isExtensible(connection)).toBe(true)
  })

  test('refuses what is for its owner to end', () => {
    const { connection, proxy } = lent()
    connection.on('error', () => undefined)
    expect(() => proxy.removeAllListeners()).toThrow(ENDED)
    expect(connection.listenerCount('error')).toBe(1)
  })

  test('keeps no listener for its next user, and lets it be removed again afterwards', () => {
    const { connection, proxy, revoke } = lent()
    const heard = (): void => undefined
    connection.on('notice', heard)
    proxy.on('notice', () => heard()).once('notice', () => heard())
    proxy.prependOnceListener('notice', () => heard()).on('error', heard)
    expect([connection.listenerCount('notice'), connection.listenerCount('error')]).toEqual([4, 1])
    revoke()
    expect([connection.listeners('notice'), connection.listenerCount('error')]).toEqual([[heard], 0])
    expect(proxy.removeListener('error', heard).off('notice', heard)).toBe(proxy)
    expect(connection.listeners('notice')).toEqual([heard])
  })

  test('ends what is iterated over, whatever that throws', () => {
    const { connection, proxy, revoke } = lent()
    const iterators = [proxy.iterate('one'), proxy.iterate('other')]
    for (const iterator of iterators) iterator.next()
    revoke()
    expect(connection.ran).toEqual(['one ended', 'other ended'])
    for (const iterator of iterators) expect(() => iterator.next()).toThrow(ENDED)
  })

  test('lets a listener be removed again', () => {
    const { connection, proxy } = lent()
    const listener = (): void => undefined
    proxy.on('error', listener)
    expect(connection.listeners('error')).toEqual([listener])
    proxy.off('error', listener)
    expect(connection.listenerCount('error')).toBe(0)
  })
})

describe("a driver's own errors", () => {
  test('are known, thrown or rejected or called back, also behind others', async () => {
    const { connection, proxy, driverErrorIn } = lent()
    const failures = [1, 2, 3].map((code) => Object.assign(new Error('deadlock'), { code }))
    connection.failure = failures[0]
    expect(() => proxy.exec('a')).toThrow('deadlock')
    connection.failure = failures[1]
    await expect(proxy.query('b')).rejects.toBe(failures[1])
    connection.failure = failures[2]
    let heard: unknown
    await proxy.query('c', (error) => (heard = error))
    expect(heard).toBe(failures[2])
    for (const failure of failures) {
      expect(driverErrorIn(failure)).toBe(failure)
      expect(driverErrorIn(new Error('of an ORM', { cause: failure }))).toBe(failure)
    }
  })

  test('are told from whatever looks like them', async () => {
    const { connection, proxy, driverErrorIn } = lent()
    connection.failure = Object.assign(new Error('deadlock'), { errno: 1213 })
    await expect(proxy.query('a')).rejects.toThrow('deadlock')
    const alike = Object.assign(new Error('deadlock'), { errno: 1213 })
    for (const thrown of [alike, { errno: 1213 }, { cause: connection.failure }, undefined, null, 'text']) {
      expect(driverErrorIn(thrown)).toBe(undefined)
    }
  })

  test('are none when a query succeeds by callback, or a late use is refused', async () => {
    const { proxy, revoke, driverErrorIn } = lent()
    let rows: unknown
    await proxy.query('a', (_error, found) => (rows = found))
    expect(rows).toEqual(['a'])
    revoke()
    const refusal = await (async () => proxy.query('b'))().catch((error: unknown) => error)
    expect(refusal).toEqual(ENDED)
    expect(driverErrorIn(refusal)).toBe(undefined)
  })
})

describe('what is asked of a connection', () => {
  class Answering extends EventEmitter {
    query(_sql: string, callback?: Callback): EventEmitter | undefined {
      if (callback === undefined) return new EventEmitter()
      setImmediate(callback, null, ['row'])
      return undefined
    }

    async execute(): Promise<readonly string[]> {
      return ['row']
    }
  }

  test('is told before it is asked, and its answer after', async () => {
    const seen: unknown[] = []
    const { proxy, answered } = revocable(new Answering(), {
      store: 'ToyStore',
      onCall: (method, args) => seen.push([method, ...args]),
      onAnswer: (answer) => seen.push(answer),
    })
    await proxy.execute()
    const heard = () => undefined
    proxy.query('a', heard)
    await answered()
    expect(seen).toEqual([['execute'], ['row'], ['query', 'a', heard], ['row']])
  })

  test.each(['end', 'close', 'error'])('and answers by events is answered with its %s', async (event) => {
    const { proxy, answered } = revocable(new Answering(), { store: 'ToyStore' })
    const query = proxy.query('a')
    query?.on('error', () => undefined)
    expect(answered()).toBeDefined()
    query?.emit(event)
    await Promise.resolve()
    expect(answered()).toBe(undefined)
  })

  test('and is still unread at its end, may fail without ending the process', () => {
    const { proxy, revoke } = revocable(new Answering(), { store: 'ToyStore' })
    const query = proxy.query('a')
    revoke()
    expect(() => query?.emit('error', new Error('lost'))).not.toThrow()
  })

  test('after what has failed all of it, fails by the same error', async () => {
    const { connection, proxy, fail, driverErrorIn, revoke } = lent()
    connection.failure = new Error('deadlock')
    await proxy.query('a').catch(fail)
    connection.failure = undefined
    expect(() => proxy.exec('b')).toThrow('deadlock')
    expect(connection.ran).toEqual(['a'])
    await expect((async () => proxy.query('c'))().catch(driverErrorIn)).resolves.toMatchObject({
      message: 'deadlock',
    })
    revoke()
    expect(() => proxy.exec('d')).toThrow(ENDED)
  })
})
