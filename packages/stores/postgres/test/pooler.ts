import pg from 'pg'

const CONNECTIONS = 4

/**
 * A pool as it is behind PgBouncer in transaction mode: each statement outside of a transaction, and each
 * transaction, goes to another connection than the one before, which then forgets all that a session has.
 */
export async function openPooler(connectionString: string) {
  const servers = await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const client = new pg.Client({ connectionString })
      await client.connect()
      return client
    }),
  )
  const free = [...servers]
  const waiting: ((server: pg.Client) => void)[] = []

  async function take(): Promise<pg.Client> {
    return free.shift() ?? new Promise((resolve) => void waiting.push(resolve))
  }

  async function give(server: pg.Client): Promise<void> {
    await server.query('DISCARD ALL')
    const next = waiting.shift()
    if (next === undefined) free.push(server)
    else next(server)
  }

  class Client {
    #server: pg.Client | undefined

    async query(query: pg.QueryConfig): Promise<pg.QueryResult> {
      const server = (this.#server ??= await take())
      try {
        return await server.query(query)
      } finally {
        if (server.getTransactionStatus() === 'I') {
          this.#server = undefined
          await give(server)
        }
      }
    }

    on(): void {}
    removeListener(): void {}
    release(): void {}
  }

  return {
    totalCount: CONNECTIONS,
    connect: async () => new Client(),
    on() {},
    removeListener() {},
    end: () => Promise.all(servers.map((server) => server.end())),
  }
}
