import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { ThroughNetwork } from './hand-written.ts'

const CONDITIONS = ['--conditions=@oncemq/source']

/** Processes beside the measured one, which end with it. */
export class Beside {
  readonly #children: ChildProcess[] = []

  /** Runs a program of this folder, and gives the port that it listens on. */
  async run(program: string, ...args: string[]): Promise<number> {
    const child = fork(join(import.meta.dirname, program), args, { execArgv: CONDITIONS })
    this.#children.push(child)
    const [address] = (await once(child, 'message')) as [AddressInfo]
    return address.port
  }

  /** The way to servers with so much delay in each direction; straight without. */
  network(delayMs: number): ThroughNetwork {
    return async (text) => {
      if (delayMs === 0) return text
      const url = new URL(text)
      url.port = String(await this.run('delay.ts', url.hostname, url.port, String(delayMs)))
      url.hostname = '127.0.0.1'
      return url.href
    }
  }

  end(): void {
    for (const child of this.#children) child.disconnect()
  }
}
