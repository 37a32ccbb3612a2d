import type { Action, Description } from './server.ts'
import type { Plan, Program } from './recipe.ts'
import { RunningProgram } from './running-program.ts'

/** All processes of one server. */
export class Instance {
  readonly #plan: Plan
  readonly #programs: readonly RunningProgram[]

  constructor(plan: Plan, folder: string) {
    this.#plan = plan
    this.#programs = plan.programs.map((program) => new RunningProgram(program, folder))
  }

  async open(): Promise<void> {
    await this.#plan.prepare?.()
    await this.do('start')
  }

  async do(action: Action, node?: string): Promise<void> {
    const chosen = this.#programs.filter(({ program }) => isChosen(program, action, node))
    if (chosen.length === 0)
      throw new Error(`no node ${node}; there are ${this.#programs.map(nameOf).join(', ')}`)
    if (action === 'start') {
      // In order: a later program may need an earlier one.
      for (const program of chosen) await program.start()
      await this.#plan.join?.()
    } else {
      await Promise.all(chosen.map((program) => program[action]()))
    }
  }

  /** Its data is thrown away next, so nothing is worth an orderly end. */
  async close(): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.kill9()))
  }

  describe(): Description {
    const nodes = this.#programs.filter(({ program }) => program.auxiliary !== true)
    return {
      url: this.#plan.url,
      nodes: nodes.map(({ program: { name, port }, pid, log }) => ({ name, port, pid, log })),
    }
  }
}

function nameOf({ program }: RunningProgram): string {
  return program.name
}

function isChosen(program: Program, action: Action, node: string | undefined): boolean {
  if (node !== undefined) return program.name === node
  return action === 'start' || program.auxiliary !== true
}
