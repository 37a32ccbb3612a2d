/** What one run of one variant came to. */
export interface Run {
  readonly perSecond: number
  /** Processor time of this process per message, in microseconds; the server's is not in it. */
  readonly clientCpuMicros: number
}

/** Something that can be run again and again; `process` handles one message. */
export interface Variant {
  readonly name: string
  readonly run: () => Promise<Run>
}

/** Times `work`, which answers how many messages it handled. */
export async function timed(work: () => Promise<number>): Promise<Run> {
  const cpu = process.cpuUsage()
  const startMs = performance.now()
  const messages = await work()
  const seconds = (performance.now() - startMs) / 1000
  const { user, system } = process.cpuUsage(cpu)
  return { perSecond: messages / seconds, clientCpuMicros: (user + system) / messages }
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
