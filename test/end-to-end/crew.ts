import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { History } from './history.ts'
import type { StoreName } from './stores.ts'

const CONSUMER = fileURLToPath(new URL('consumer.ts', import.meta.url))

export interface Assignment {
  readonly store: StoreName
  readonly storeUrl: string
  readonly url: string
  readonly queue: string
  readonly historyFile: string
}

/** What a consumer is told: to stay in the middle of its n-th run from now, or to end. */
export type Order = { readonly type: 'halt'; readonly runs: number } | { readonly type: 'stop' }

interface Consumer {
  readonly process: ChildProcess
  readonly ready: Promise<void>
  readonly halted: Promise<void>
}

/** What a program of a consumer is given as JSON, in its first argument. */
type AnyAssignment = Pick<Assignment, 'historyFile'>

/** The consumer processes of one test, one in each place. */
export class Crew<Given extends AnyAssignment = Assignment> {
  readonly #assignment: Given
  readonly #program: string
  readonly #history: History
  #places: Consumer[] = []

  constructor(assignment: Given, program = CONSUMER) {
    this.#assignment = assignment
    this.#program = program
    this.#history = new History(assignment.historyFile)
  }

  /** Resolves when that many consume. */
  async start(count: number): Promise<void> {
    this.#places = Array.from({ length: count }, () => this.#hire())
    await Promise.all(this.#places.map(({ ready }) => ready))
  }

  /**
   * Kills the consumer in a place in the middle of its n-th run from now, and puts another there. Once `over`
   * resolves it is killed wherever it is: the others may have left it too little to run.
   */
  async killInHandler(place: number, runs: number, over?: Promise<unknown>): Promise<void> {
    const consumer = this.#at(place)
    consumer.process.send({ type: 'halt', runs } satisfies Order)
    await Promise.race([consumer.halted, over ?? consumer.halted])
    await this.kill(place)
  }

  /** Kills the consumer in a place, whatever it is at, and puts another there. */
  async kill(place: number): Promise<void> {
    const { process } = this.#at(place)
    this.#history.append({ type: 'kill', pid: process.pid ?? 0 })
    process.kill('SIGKILL')
    await once(process, 'exit')
    const next = this.#hire()
    this.#places[place] = next
    await next.ready
  }

  /**
   * Stops the consumer in a place for a while, as a machine that stalls: it does not notice. `isStoreKept`
   * says whether it kept the store from all others while it stood.
   */
  async freeze(
    place: number,
    forMs: number,
    isStoreKept?: (meanwhile: Promise<unknown>) => Promise<boolean>,
  ): Promise<void> {
    const { process } = this.#at(place)
    const { pid = 0 } = process
    this.#history.append({ type: 'freeze', pid })
    process.kill('SIGSTOP')
    const standing = delay(forMs)
    if ((await isStoreKept?.(standing)) === true) this.#history.append({ type: 'kept', pid })
    await standing
    this.#history.append({ type: 'thaw', pid })
    process.kill('SIGCONT')
  }

  /** Puts another one into a place whenever a message has ended the consumer there, until it ends as told. */
  async succeed(place: number): Promise<void> {
    for (;;) {
      const { process } = this.#at(place)
      if (process.exitCode === null && process.signalCode === null) await once(process, 'exit')
      if (process.signalCode === null) return
      const next = this.#hire()
      next.ready.catch(() => undefined)
      this.#places[place] = next
    }
  }

  /** Lets the consumer in a place end what it is at, and puts another there. */
  async replace(place: number): Promise<void> {
    await end(this.#at(place))
    const next = this.#hire()
    this.#places[place] = next
    await next.ready
  }

  /** Lets all end what they are at; what they hold besides goes back to the queue. */
  async stop(): Promise<void> {
    await Promise.all(this.#places.map(end))
  }

  end(): void {
    for (const { process } of this.#places) process.kill('SIGKILL')
  }

  #hire(): Consumer {
    return hire(this.#program, this.#assignment)
  }

  #at(place: number): Consumer {
    const consumer = this.#places[place]
    if (consumer === undefined) throw new Error(`no consumer in place ${place}`)
    return consumer
  }
}

async function end({ process }: Consumer): Promise<void> {
  process.send({ type: 'stop' } satisfies Order)
  await once(process, 'exit')
}

function hire(program: string, assignment: AnyAssignment): Consumer {
  const execArgv = ['--conditions=@oncemq/source', '--no-warnings']
  const process = fork(program, [JSON.stringify(assignment)], { execArgv })
  const [ready, halted] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  process.on('message', (what) => (what === 'ready' ? ready : halted).resolve())
  process.on('exit', (code) => {
    ready.reject(new Error(`a consumer ended with exit code ${code} before it consumed`))
  })
  return { process, ready: ready.promise, halted: halted.promise }
}
