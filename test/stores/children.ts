import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach } from 'vitest'

const children = new Set<Child>()

afterEach(async () => {
  await Promise.all([...children].map((child) => child.kill()))
})

/**
 * Starts `program`, as user `uid` if it is given, as another process; it ends with the test at the latest.
 */
export function startProgram(program: URL, args: readonly string[], uid?: number): Child {
  const child = fork(fileURLToPath(program), args, {
    execArgv: ['--conditions=@oncemq/source', '--disable-warning=ExperimentalWarning'],
    ...(uid === undefined ? {} : { uid }),
  })
  return new Child(child)
}

/** A process that speaks by messages. */
export class Child {
  readonly #process: ChildProcess
  readonly #exit: Promise<unknown>
  readonly #messages: unknown[] = []

  constructor(child: ChildProcess) {
    this.#process = child
    this.#exit = once(child, 'exit')
    child.on('message', (message) => this.#messages.push(message))
    children.add(this)
  }

  /** What it has told so far and nobody has taken. */
  get messages(): readonly unknown[] {
    return this.#messages
  }

  tell(message: unknown): void {
    this.#process.send(message as object)
  }

  /** Takes the next thing that it tells. */
  async told<Message>(): Promise<Message> {
    if (this.#messages.length === 0) {
      await Promise.race([once(this.#process, 'message'), this.#exit])
    }
    if (this.#messages.length === 0) throw new Error('the child ended without another message')
    return this.#messages.shift() as Message
  }

  /** Ends it with SIGKILL. */
  async kill(): Promise<void> {
    children.delete(this)
    this.#process.kill('SIGKILL')
    await this.#exit
  }

  /** Waits until it ends by itself. */
  async ended(): Promise<void> {
    await this.#exit
  }
}
