import type { MysqlConnection, MysqlRow } from './client.ts'

/** The columns of SHOW PROCESSLIST. */
const ID = 0
const STATE = 6
/** Who waits for a replica has written, and must not be taken for confirmed by it before it is. */
const CONFIRMING = /semi-sync/i

/**
 * Tells the server, by other connections, that nobody waits for what some connections ask of it. Without that
 * a statement that waits for a lock goes on for 50 s by default, also when its client is gone. A user may end
 * what is his own without any further right.
 */
export class Interrupts {
  /** Whether the server knows connections by their numbers: a proxy may give them others. */
  isOn = false
  readonly #send: (sql: string) => Promise<unknown>
  readonly #ended = new Set<number>()
  #ending: Promise<void> | undefined

  constructor(send: (sql: string) => Promise<unknown>) {
    this.#send = send
  }

  /** Stops the statement that the connection waits for, which fails. Resolves when it is; never rejects. */
  async stop({ threadId }: MysqlConnection): Promise<void> {
    if (this.isOn && typeof threadId === 'number') await this.#kill('QUERY', threadId)
  }

  /** Ends a connection that was closed here, in the background. */
  end({ threadId }: MysqlConnection): void {
    if (!this.isOn || typeof threadId !== 'number') return
    this.#ended.add(threadId)
    this.#ending ??= this.#endAll().finally(() => (this.#ending = undefined))
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    await this.#ending
  }

  /** One after the other: a server in need gets no herd of them. */
  async #endAll(): Promise<void> {
    for (const threadId of this.#ended) {
      this.#ended.delete(threadId)
      await this.#kill('CONNECTION', threadId)
    }
  }

  async #kill(what: 'QUERY' | 'CONNECTION', threadId: number): Promise<void> {
    try {
      const rows = (await this.#send('SHOW PROCESSLIST')) as readonly MysqlRow[]
      const thread = rows.find((row) => String(row[ID]) === String(threadId))
      if (CONFIRMING.test(String(thread?.[STATE] ?? ''))) return
      await this.#send(`KILL ${what} ${threadId}`)
    } catch {
      // It has ended by itself, or the server cannot be told.
    }
  }
}
