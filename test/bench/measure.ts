import { processorMicros } from './processor-time.ts'
import type { Processes } from './processor-time.ts'

/** What one run of one variant came to. Times are of processors, per message, in microseconds. */
export interface Run {
  readonly perSecond: number
  readonly clientCpuMicros: number
  /** Of the store's server, if it is a process of its own that can be seen. */
  readonly serverCpuMicros: number | null
  readonly brokerCpuMicros: number | null
  /** How long half of the messages took at most, where they are handled one by one. */
  readonly p50Micros: number | null
  /** The same for all but one in a hundred. */
  readonly p99Micros: number | null
}

/** The processes whose time counts besides this one's. */
export interface Watched {
  readonly server?: Processes
  readonly broker?: Processes
}

/** Something that can be run again and again; `process` handles one message. */
export interface Variant {
  readonly name: string
  readonly run: () => Promise<Run>
}

/** Times `work`, which answers how many messages it handled. */
export async function timed(work: () => Promise<number>, watched: Watched = {}): Promise<Run> {
  const server = stopwatchOf(watched.server)
  const broker = stopwatchOf(watched.broker)
  const cpu = process.cpuUsage()
  const startMs = performance.now()
  const messages = await work()
  const seconds = (performance.now() - startMs) / 1000
  const { user, system } = process.cpuUsage(cpu)
  return {
    perSecond: messages / seconds,
    clientCpuMicros: (user + system) / messages,
    serverCpuMicros: server(messages),
    brokerCpuMicros: broker(messages),
    p50Micros: null,
    p99Micros: null,
  }
}

/** Times messages that are handled one by one for `durationMs`, the whole and each. */
export async function timedOneByOne(
  durationMs: number,
  handle: (number: number) => Promise<unknown>,
  watched: Watched,
): Promise<Run> {
  const eachMs: number[] = []
  const timedHandle = async (number: number): Promise<void> => {
    const startMs = performance.now()
    await handle(number)
    eachMs.push(performance.now() - startMs)
  }
  const run = await timed(() => forDuration(1, durationMs, timedHandle), watched)
  return { ...run, p50Micros: median(eachMs) * 1000 }
}

/** Answers how to stop it: with the processor time per message. */
function stopwatchOf(processes: Processes = () => []): (messages: number) => number | null {
  const before = processorMicros(processes)
  return (messages) => {
    const after = processorMicros(processes)
    return before === undefined || after === undefined ? null : (after - before) / messages
  }
}

/**
 * Runs the variants in turn, A B C A B C ..., so that what slows the machine for a while slows all of them.
 * The first round only warms up. Answers every counted run of each variant.
 */
export async function interleaved(variants: readonly Variant[], rounds: number): Promise<Map<string, Run[]>> {
  const runs = new Map<string, Run[]>(variants.map(({ name }) => [name, []]))
  for (let round = 0; round <= rounds; round += 1) {
    for (const { name, run } of variants) {
      const result = await run()
      if (round > 0) runs.get(name)?.push(result)
    }
  }
  return runs
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >>> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** The value that so large a part of the values does not exceed. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * part) - 1] ?? Number.NaN
}

/** Handles messages for `durationMs`, `inFlight` at a time, and answers how many it handled. */
export async function forDuration(
  inFlight: number,
  durationMs: number,
  handle: (number: number) => Promise<unknown>,
): Promise<number> {
  const untilMs = performance.now() + durationMs
  let started = 0
  const worker = async (): Promise<void> => {
    while (performance.now() < untilMs) await handle(started++)
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  return started
}
