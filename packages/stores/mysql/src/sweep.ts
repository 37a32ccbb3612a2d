import type { Random } from '@oncemq/core/store'
import type { Connections } from './connection.ts'
import type { Statements } from './statements.ts'

/** How many ranges one sweep looks at, at most. The next one goes on from there. */
const RANGES_MAX = 20
const FIRST_ID = '0'.repeat(32)

/**
 * Removes expired records, a range of the primary key after the other, round and round. It begins anywhere,
 * so that workers that are restarted often do not sweep the same part for ever.
 */
export class Sweep {
  readonly #connections: Connections
  readonly #statements: Statements
  #from: string

  constructor(connections: Connections, statements: Statements, random: Random) {
    this.#connections = connections
    this.#statements = statements
    this.#from = random.claimId()
  }

  /** Removes at most `limit` records, if it is this worker's turn, and answers how many. */
  async run(limit: number): Promise<number> {
    const { affectedRows } = await this.#connections.write(this.#statements.beginSweep())
    if (Number(affectedRows) === 0) return 0
    const removed = await this.#goRound(limit)
    // After an error the turn ends by its time.
    await this.#connections.write(this.#statements.endSweep())
    return removed
  }

  async #goRound(limit: number): Promise<number> {
    const start = this.#from
    let removed = 0
    let hasTurned = false
    for (let range = 1; range <= RANGES_MAX && removed < limit; range += 1) {
      const wanted = limit - removed
      const to = await this.#rangeEnd()
      const ids = await this.#ids(this.#statements.expired(this.#from, to, wanted))
      if (ids.length > 0) removed += await this.#remove(ids)
      if (ids.length === wanted) continue
      this.#from = to ?? FIRST_ID
      if (hasTurned && (to === undefined || to >= start)) break
      hasTurned ||= to === undefined
    }
    return removed
  }

  async #rangeEnd(): Promise<string | undefined> {
    const [id] = await this.#ids(this.#statements.rangeEnd(this.#from))
    return id
  }

  async #remove(ids: readonly string[]): Promise<number> {
    const statement = this.#statements.remove(ids)
    const { affectedRows } = await this.#connections.write(statement, { ofManyRows: true })
    return Number(affectedRows)
  }

  async #ids(statement: string): Promise<readonly string[]> {
    const rows = await this.#connections.read(statement)
    return rows.map(([id]) => (id as Buffer).toString('hex'))
  }
}
