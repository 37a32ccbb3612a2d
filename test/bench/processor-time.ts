import { readFileSync } from 'node:fs'
import type { Server } from '@oncemq/test-services'

// Linux counts processor time for programs in hundredths of a second, on every machine.
const TICK_MICROS = 10_000
// Fields of /proc/PID/stat after the program's name: its own time, and that of the children it waited for.
const TIMES = [11, 12, 13, 14]

/** Processes whose time is measured; none for a store in this process, or on a server elsewhere. */
export type Processes = () => readonly number[]

export function processesOf(...servers: readonly Server[]): Processes {
  return () => servers.flatMap(({ nodes }) => nodes.map(({ pid }) => pid)).filter((pid) => pid !== undefined)
}

/** Processor time of the processes and their children so far; `undefined` where that cannot be seen. */
export function processorMicros(processes: Processes): number | undefined {
  const pids = processes()
  if (pids.length === 0) return undefined
  const times = pids.flatMap(withChildren).map(ticksOf)
  const known = times.filter((ticks) => ticks !== undefined)
  return known.length === 0 ? undefined : known.reduce((sum, ticks) => sum + ticks, 0) * TICK_MICROS
}

function withChildren(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`) ?? ''
  return [pid, ...children.split(' ').filter(Boolean).map(Number).flatMap(withChildren)]
}

function ticksOf(pid: number): number | undefined {
  const text = read(`/proc/${pid}/stat`)
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ')
  return fields && TIMES.reduce((sum, field) => sum + Number(fields[field]), 0)
}

/** A process may have ended meanwhile, and not every system has /proc. */
function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
