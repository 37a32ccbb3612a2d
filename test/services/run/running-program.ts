import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { endingWithParent, Unavailable } from '../install/command.ts'
import { isFree } from './ports.ts'
import { withoutRoot } from './privileges.ts'
import { descendants, isAlive, listensOn, waitFor } from './processes.ts'
import type { Program } from './recipe.ts'

const READY_MAX_MS = 120_000
const STOP_MAX_MS = 60_000
const GONE_MAX_MS = 10_000
const LOG_TAIL_BYTES = 2_000
const MINIMAL_ENV = { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C.UTF-8' }

/**
 * One process of a server: started, watched, stopped, killed, and started again on the same port and data.
 */
export class RunningProgram {
  readonly program: Program
  readonly log: string
  #child: ChildProcess | undefined
  #logStart = 0

  constructor(program: Program, folder: string) {
    this.program = program
    this.log = join(folder, `${program.name}.log`)
  }

  /** Undefined while it does not run. */
  get pid(): number | undefined {
    return this.#child?.exitCode === null && this.#child.signalCode === null ? this.#child.pid : undefined
  }

  /** Answers when the process itself listens and said that it is ready. */
  async start(): Promise<void> {
    const { name, port } = this.program
    if (this.pid !== undefined) return
    if (!(await isFree(port))) throw new Error(`${name}: port ${port} is taken by another process`)
    this.#logStart = await stat(this.log).then(
      ({ size }) => size,
      () => 0,
    )
    this.#spawn()
    const ready = await waitFor(async () => this.pid === undefined || (await this.#isReady()), READY_MAX_MS)
    if (this.pid === undefined) throw new Unavailable(`${name} ended while it started: ${await this.#tail()}`)
    if (!ready) throw new Unavailable(`${name} is not ready after ${READY_MAX_MS} ms: ${await this.#tail()}`)
  }

  /** Ends it in good order. */
  async stop(): Promise<void> {
    this.#child?.kill(this.program.stopSignal)
    if (await this.#waitUntilGone(STOP_MAX_MS)) return
    await this.kill9()
    throw new Error(`${this.program.name} did not stop within ${STOP_MAX_MS} ms and was killed`)
  }

  /** Ends it, and what it started itself, without any warning. */
  async kill9(): Promise<void> {
    const pid = this.pid
    if (pid === undefined) return
    // Some servers give their children sessions of their own, so a signal to the process group misses them.
    const children = await descendants(pid)
    for (const victim of [pid, ...children]) signal(victim, 'SIGKILL')
    await this.#waitUntilGone(GONE_MAX_MS)
    for (const child of children) await waitFor(async () => !(await isAlive(child)), GONE_MAX_MS)
  }

  /** Freezes it with what it started: connections stay open and nothing answers. */
  async pause(): Promise<void> {
    await this.#signalAll('SIGSTOP')
  }

  async resume(): Promise<void> {
    await this.#signalAll('SIGCONT')
  }

  #spawn(): void {
    const { command, args, env, cwd, unprivileged } = this.program
    const chosen = unprivileged === true ? withoutRoot(command, args) : ([command, args] as const)
    const [wrapper, wrapped] = endingWithParent(...chosen)
    const output = openSync(this.log, 'a')
    this.#child = spawn(wrapper, wrapped, {
      cwd,
      env: { ...MINIMAL_ENV, ...env },
      stdio: ['ignore', output, output],
    })
    this.#child.on('error', () => {})
    closeSync(output)
  }

  async #isReady(): Promise<boolean> {
    const { port, readyLine } = this.program
    const pid = this.pid
    if (pid === undefined || (readyLine !== undefined && !readyLine.test(await this.#written()))) return false
    return listensOn(pid, port)
  }

  async #written(): Promise<string> {
    const file = await open(this.log)
    try {
      const { size } = await file.stat()
      const { buffer } = await file.read(
        Buffer.alloc(size - this.#logStart),
        0,
        size - this.#logStart,
        this.#logStart,
      )
      return buffer.toString('utf8')
    } finally {
      await file.close()
    }
  }

  async #tail(): Promise<string> {
    return (await this.#written()).slice(-LOG_TAIL_BYTES).trim()
  }

  async #signalAll(name: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    if (this.pid === undefined) throw new Error(`${this.program.name} does not run`)
    for (const pid of [this.pid, ...(await descendants(this.pid))]) signal(pid, name)
  }

  async #waitUntilGone(timeoutMs: number): Promise<boolean> {
    return waitFor(() => Promise.resolve(this.pid === undefined), timeoutMs)
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It is gone already.
  }
}
