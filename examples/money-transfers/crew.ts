import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Assignment } from './assignment.ts'

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url))

interface Worker {
  readonly process: ChildProcess
  readonly ready: Promise<void>
}

/** Worker processes, one in each place. Who is killed is replaced at once. */
export class Crew {
  readonly #assignment: Assignment
  readonly #places: Worker[]
  #onHalfway: () => void = () => undefined

  constructor(assignment: Assignment, count: number) {
    this.#assignment = assignment
    this.#places = Array.from({ length: count }, () => this.#hire())
  }

  /** Resolves when the one in this place consumes. */
  async ready(place: number): Promise<void> {
    await this.#places[place]?.ready
  }

  /** Kills the worker in a place as soon as that many more transfers are halfway, whoever is at them. */
  killAfter(count: number, place: number): Promise<void> {
    let left = count
    return new Promise((resolve) => {
      this.#onHalfway = () => {
        left -= 1
        if (left === 0) resolve(this.#kill(place))
      }
    })
  }

  /** Lets them end what they are at; what they hold besides goes back to the queue. */
  async stop(): Promise<void> {
    await Promise.all(
      this.#places.map(async ({ process, ready }) => {
        await ready
        process.send('stop')
        await once(process, 'exit')
      }),
    )
  }

  /** After {@link stop}: a new worker in each place. */
  start(): void {
    for (const place of this.#places.keys()) this.#places[place] = this.#hire()
  }

  async #kill(place: number): Promise<void> {
    const worker = this.#places[place]?.process
    if (worker === undefined) return
    worker.kill('SIGKILL')
    await once(worker, 'exit')
    this.#places[place] = this.#hire()
  }

  #hire(): Worker {
    const worker = fork(WORKER, [JSON.stringify(this.#assignment)])
    const { promise: ready, resolve } = Promise.withResolvers<void>()
    worker.on('message', (what) => {
      if (what === 'ready') resolve()
      else this.#onHalfway()
    })
    worker.on('exit', (code) => {
      // A null means that a signal ended it, which was ours.
      if (code !== null && code !== 0) throw new Error(`a worker ended by itself, with exit code ${code}`)
    })
    return { process: worker, ready }
  }
}
