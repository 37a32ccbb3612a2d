import type { ClaimRequest, CompleteUpdate } from '@oncemq/core/store'
import { PostgresStore } from '@oncemq/postgres'
import { describeService } from '@oncemq/test-services/vitest'
import { claimOf, completionOf } from '@oncemq/test-stores'
import { BOUND } from '@oncemq/test-stores/load'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { databaseOf } from './database.ts'

const NAME = 'lent'

type Tx = pg.PoolClient

// What a handler may do with the connection that it is lent, and what becomes of it afterwards.
describeService('postgres-18', (server) => {
  const { pool, effects, end } = databaseOf(server)
  const single = new pg.Pool({ connectionString: server.url, max: 3 })
  const store = new PostgresStore<Tx>({ pool: single, table: NAME, transactionsMax: 1 })

  beforeAll(async () => {
    await effects.prepare?.(NAME)
    await store.open()
    await pool.query(
      'CREATE TABLE stock (id integer PRIMARY KEY, left_over integer); INSERT INTO stock VALUES (1, 9)',
    )
  })
  afterAll(async () => {
    await store.close()
    await single.end()
    await end()
  })

  async function granted(): Promise<ClaimRequest> {
    const claim = claimOf()
    await store.claim([claim])
    return claim
  }

  /** Runs a handler that does `body` and completes; answers what came of it. */
  async function attempt(
    claim: ClaimRequest,
    body: (tx: Tx) => Promise<unknown>,
    { on = store, signal }: { on?: PostgresStore<Tx>; signal?: AbortSignal } = {},
  ): Promise<unknown> {
    const work = async (tx: Tx): Promise<CompleteUpdate> => {
      await body(tx)
      return completionOf(claim)
    }
    return on.transaction(work, signal).catch((error: unknown) => error)
  }

  const write = (tx: Tx, { id }: ClaimRequest) => effects.write(tx, NAME, id)

  async function stateOf({ id }: ClaimRequest) {
    return [(await store.inspect([id]))[0]?.state, await effects.count(NAME, id)]
  }

  test('the connection is still what libraries take it for', async () => {
    const claim = await granted()
    const seen: unknown[] = []
    const answer = await attempt(claim, async (tx) => {
      seen.push(tx instanceof pg.Client, typeof tx.release, tx.on('notice', () => undefined) === tx)
      await new Promise<void>((resolve, reject) => {
        const query = new pg.Query('SELECT 7 AS seven')
        query.on('row', (row: unknown) => seen.push(row))
        query.on('end', () => resolve()).on('error', reject)
        tx.query(query)
      })
      await new Promise<void>((resolve) => {
        tx.query('SELECT 8 AS eight', (_error, { rows }) => resolve(void seen.push(...(rows as unknown[]))))
      })
    })
    expect(answer).toBe('ok')
    expect(seen).toEqual([true, 'function', true, { seven: 7 }, { eight: 8 }])
  })

  test('a handler hears nothing of the messages after it', async () => {
    const heard: unknown[] = []
    for (const name of ['first', 'second']) {
      const answer = await attempt(await granted(), async (tx) => {
        tx.on('notice', ({ message }) => heard.push([name, message]))
        await tx.query(`DO $$ BEGIN RAISE NOTICE 'of the ${name}'; END $$`)
      })
      expect(answer).toBe('ok')
    }
    expect(heard).toEqual([
      ['first', 'of the first'],
      ['second', 'of the second'],
    ])
  })

  test('what a handler leaves running writes nothing later, by the protocol neither', async () => {
    interface Protocol {
      query(text: string): void
      end(): void
    }
    const claim = await granted()
    let protocol: Protocol | undefined
    const answer = await attempt(claim, async (tx) => {
      protocol = (tx as unknown as { readonly connection: Protocol }).connection
      expect(() => protocol?.end()).toThrow('leaves the connection')
    })
    expect(answer).toBe('ok')
    const late = (): void => protocol?.query(`INSERT INTO ${NAME}_effects VALUES ('${claim.id}')`)
    expect(late).toThrow(expect.objectContaining({ code: 'ONCEMQ_TRANSACTION_ENDED' }))
  })

  test('what a handler leaves unanswered for too long is its failure, not an outage', async () => {
    const impatient = new PostgresStore<Tx>({ pool: single, table: NAME, timeoutMs: 200 })
    await impatient.open()
    const claim = await granted()
    const leaving = async (tx: Tx) => {
      await write(tx, claim)
      tx.query('SELECT pg_sleep(60)').catch(() => undefined)
    }
    const answer = await attempt(claim, leaving, { on: impatient })
    expect(answer).toMatchObject({ code: 'ONCEMQ_HANDLER_TIMEOUT', retryable: false })
    expect(await stateOf(claim)).toEqual(['running', 0])
    await impatient.close()
  })

  test.each(['release', 'end', 'removeAllListeners'] as const)(
    '%s() is refused to a handler',
    async (name) => {
      const claim = await granted()
      const answer = await attempt(claim, async (tx) => {
        await write(tx, claim)
        expect(() => void tx[name]()).toThrow('leaves the connection')
        // Another user of the pool gets a connection without this transaction.
        const { rows } = await single.query('SELECT pg_current_xact_id_if_assigned() AS open')
        expect(rows).toEqual([{ open: null }])
      })
      expect(answer).toBe('ok')
      expect(await stateOf(claim)).toEqual(['done', 1])
    },
  )

  describe('a handler that commits by itself and then throws', () => {
    test.each(['COMMIT', 'COMMIT; BEGIN', 'COMMIT; BEGIN; SELECT 1/0'])('%s is final', async (statements) => {
      const claim = await granted()
      const failure = new Error('too late')
      const answer = await attempt(claim, async (tx) => {
        await write(tx, claim)
        await tx.query(statements).catch(() => undefined)
        throw failure
      })
      expect(answer).toMatchObject({ code: 'ONCEMQ_TRANSACTION_ENDED', retryable: false, cause: failure })
      expect(await stateOf(claim)).toEqual(['running', 1])
    })

    test('or loses its connection, is final too', async () => {
      const claim = await granted()
      const answer = await attempt(claim, async (tx) => {
        await write(tx, claim)
        const { rows } = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
        await tx.query('COMMIT')
        await pool.query('SELECT pg_terminate_backend($1, 5000)', [rows[0]?.pid])
        await tx.query('SELECT 1')
      })
      expect(answer).toMatchObject({ code: 'ONCEMQ_TRANSACTION_ENDED', retryable: false })
      expect(await stateOf(claim)).toEqual(['running', 1])
    })

    test('ROLLBACK is a failure as any other', async () => {
      const failure = new Error('refused')
      const answer = await attempt(await granted(), async (tx) => {
        await tx.query('ROLLBACK')
        throw failure
      })
      expect(answer).toBe(failure)
    })

    test.each([[['ROLLBACK', 'SELECT 1']], [['ROLLBACK; SELECT 1']], [['SELECT 1/0', 'COMMIT', 'SELECT 1']]])(
      '%j: to go on after it is final, since each statement commits by itself',
      async (statements) => {
        const failure = new Error('too late')
        const answer = await attempt(await granted(), async (tx) => {
          for (const each of statements) await tx.query(each).catch(() => undefined)
          throw failure
        })
        expect(answer).toMatchObject({ code: 'ONCEMQ_TRANSACTION_ENDED', retryable: false, cause: failure })
      },
    )

    test.each(['ROLLBACK TO SAVEPOINT mine; SELECT 1', 'ROLLBACK WORK TO mine; SELECT 1', 'rollback; '])(
      '%s is no such end',
      async (statements) => {
        const failure = new Error('refused')
        const answer = await attempt(await granted(), async (tx) => {
          await tx.query('SAVEPOINT mine')
          await tx.query(statements)
          throw failure
        })
        expect(answer).toBe(failure)
      },
    )
  })

  describe("an error counts as the database's only if its driver made it here", () => {
    const shape = { code: '40001', severity: 'ERROR' }

    test('not one of another connection', async () => {
      let failure: unknown
      const answer = await attempt(await granted(), async () => {
        await pool.query(`DO $$ BEGIN RAISE SQLSTATE '40001'; END $$`).catch((error: unknown) => {
          failure = error
          throw error
        })
      })
      expect(failure).toMatchObject(shape)
      expect(answer).toBe(failure)
    })

    test('also if it is kept quiet: what failed is to be run again', async () => {
      const quiet = (tx: Tx) => tx.query(`DO $$ BEGIN RAISE SQLSTATE '40001'; END $$`).catch(() => undefined)
      expect(await attempt(await granted(), quiet)).toMatchObject({ code: 'ONCEMQ_TRANSACTION_CONFLICT' })
    })

    test("a lost connection is the store's fault, what the handler throws beside it is not", async () => {
      const ending = async (tx: Tx) => {
        const { rows } = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
        await pool.query('SELECT pg_terminate_backend($1, 5000)', [rows[0]?.pid])
      }
      const lost = await attempt(await granted(), async (tx) => {
        await ending(tx)
        await tx.query('SELECT 1').catch((cause: unknown) => {
          throw new Error('the order failed', { cause })
        })
      })
      expect(lost).toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE', retryable: true })
      const failure = new Error('refused')
      const refused = await attempt(await granted(), async (tx) => {
        await ending(tx)
        throw failure
      })
      expect(refused).toBe(failure)
    })
  })

  describe('a signal that aborts', () => {
    test.each(['that waits for a lock', 'that does nothing'])('ends a handler %s at once', async (what) => {
      const claim = await granted()
      const other = await pool.connect()
      onTestFinished(async () => {
        await other.query('ROLLBACK')
        other.release()
      })
      await other.query('BEGIN; UPDATE stock SET left_over = 0')
      const stop = new AbortController()
      const late = Promise.withResolvers<unknown>()
      const reached = Promise.withResolvers<void>()
      const hung = attempt(
        claim,
        async (tx) => {
          await write(tx, claim)
          stop.signal.addEventListener('abort', () =>
            setTimeout(() => void write(tx, claim).then(late.resolve, late.resolve), 20),
          )
          const locked = what === 'that waits for a lock' && tx.query('UPDATE stock SET left_over = 8')
          reached.resolve()
          await locked
          await new Promise(() => undefined)
        },
        { signal: stop.signal },
      )
      await reached.promise
      const reason = new Error('the handler is hung')
      stop.abort(reason)
      expect(await hung).toBe(reason)
      // Its place is free, its connection too, and nobody waits on the server any more.
      expect(await attempt(await granted(), (tx) => tx.query('SELECT 1'))).toBe('ok')
      const waiting = `SELECT FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE stock%'`
      await expect.poll(async () => (await pool.query(waiting)).rowCount, BOUND).toBe(0)
      expect(await late.promise).toMatchObject({ code: 'ONCEMQ_TRANSACTION_ENDED' })
      expect(await stateOf(claim)).toEqual(['running', 0])
    })
  })

  test('what a connection that was given up still says, ends no process', async () => {
    // As its owner left it: nobody listens to this pool but the store.
    const unheard = new pg.Pool({ connectionString: server.url, max: 3 })
    const closing = new PostgresStore<Tx>({ pool: unheard, table: NAME, transactionsMax: 1 })
    await closing.open()
    const lent: Tx[] = []
    unheard.on('acquire', (client) => lent.push(client))
    const stop = new AbortController()
    const hanging = async () => {
      stop.abort(new Error('the handler is hung'))
      await new Promise(() => undefined)
    }
    await attempt(claimOf(), hanging, { on: closing, signal: stop.signal })
    await closing.close()
    expect(lent.length).toBeGreaterThan(0)
    expect(() => lent[0]?.emit('error', new Error('terminated'))).not.toThrow()
    await unheard.end()
  })

  test('no error has a value in it', async () => {
    await pool.query(`ALTER TABLE ${NAME} ADD CONSTRAINT none CHECK (label <> 'secret')`)
    const failure: unknown = await store
      .claim([claimOf({ label: 'secret' })])
      .catch((error: unknown) => error)
    await pool.query(`ALTER TABLE ${NAME} DROP CONSTRAINT none`)
    expect(failure).toMatchObject({ code: 'ONCEMQ_STORE_REFUSED' })
    const { cause } = failure as { cause: Error }
    expect(JSON.stringify([String(failure), String(cause), Object.entries(cause)])).not.toContain('secret')
  })
})
