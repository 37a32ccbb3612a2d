import { setTimeout as delay } from 'node:timers/promises'
import { styleText } from 'node:util'
import type { Writable } from 'node:stream'
import type { Outcome } from './act.ts'
import type { Cause } from './causes.ts'
import type { DemoBroker } from './demo-broker.ts'
import { euros, owedCents, payments } from './payments.ts'
import type { Scenario } from './scenario.ts'
import { table } from './table.ts'

/** Between the steps, where a person looks on. */
const PAUSE_MS = 400

/** What the second cause would look like elsewhere, so that nobody expects too much. */
const LIMIT = [
  'In the second cause the charge is a row in the database of the store. A charge by a call to someone else',
  'cannot commit together with the record: hand the key on, and see "What you do not get" in README.md.',
]

type Style = 'bold' | 'dim' | 'red' | 'green'

/** Where it is shown; a terminal says so by `isTTY`. */
export type Stream = Writable & { readonly isTTY?: boolean }

/** What people see. Without a stream it shows nothing, and waits for nobody. */
export class Screen {
  readonly #stream: Stream | undefined

  constructor(stream: Stream | undefined) {
    this.#stream = stream
  }

  opening({ description }: DemoBroker): void {
    this.#print(
      this.#style('bold', `${payments.length} payments, ${euros(owedCents)} in all, to be taken once each.`),
    )
    this.#print(`Broker: ${description}. Store: a SQLite file.`)
  }

  async cause(number: number, cause: Cause, broker: DemoBroker): Promise<void> {
    this.#print('')
    this.#print(this.#style('bold', `${number}. ${cause.title}`))
    this.#print(`   ${cause.story(broker)}`)
    await this.#pause()
  }

  async outcome(label: string, outcome: Outcome, means?: string): Promise<void> {
    const wrongly = outcome.cents - owedCents
    const counts = `${outcome.deliveries} deliveries, ${outcome.charges} charges`
    const verdict = wrongly === 0 ? 'nothing taken wrongly' : `${euros(wrongly)} taken wrongly`
    this.#print(`   ${label.padEnd(15)} ${counts}: ${this.#style(wrongly === 0 ? 'green' : 'red', verdict)}`)
    if (means !== undefined) this.#print(this.#style('dim', `   ${''.padEnd(15)} ${means}`))
    await this.#pause()
  }

  closing(scenarios: readonly Scenario[]): void {
    const rows = scenarios.map(({ cause, without, with: protectedBy }) => [
      cause.name,
      `${payments.length}`,
      `${protectedBy.deliveries}`,
      `${without.charges} -> ${protectedBy.charges}`,
      `${euros(without.cents - owedCents)} -> ${euros(protectedBy.cents - owedCents)}`,
    ])
    const [titles = '', ...lines] = table([
      ['without -> with oncemq', 'payments', 'deliveries', 'charges', 'wrongly taken'],
      ...rows,
    ])
    this.#print('')
    this.#print(this.#style('bold', titles))
    for (const line of lines) this.#print(line)
    this.#print('')
    for (const line of LIMIT) this.#print(this.#style('dim', line))
  }

  /** Colours only where a terminal shows them and nobody asked for none. */
  #style(style: Style, text: string): string {
    return this.#stream === undefined ? text : styleText(style, text, { stream: this.#stream })
  }

  #print(text: string): void {
    this.#stream?.write(`${text}\n`)
  }

  async #pause(): Promise<void> {
    if (this.#stream?.isTTY === true) await delay(PAUSE_MS)
  }
}
