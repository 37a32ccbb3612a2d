import { once } from 'node:events'
import { connect } from 'node:net'
import type { Run, Watched } from '../measure.ts'
import { quantile, timed } from '../measure.ts'

export interface Load {
  /** Of the process that sends the messages. */
  readonly port: number
  readonly inFlight: number
  readonly durationMs: number
}

/** Handles messages that arrive on a socket, so many at a time. Each is timed from its arrival. */
export async function underLoad(
  { port, inFlight, durationMs }: Load,
  handle: (number: number) => Promise<unknown>,
  watched: Watched,
): Promise<Run> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  const eachMs: number[] = []
  const run = await timed(async () => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const untilMs = performance.now() + durationMs
    let started = 0
    let left = inFlight
    const one = async (): Promise<void> => {
      const startMs = performance.now()
      await handle(started++)
      const nowMs = performance.now()
      eachMs.push(nowMs - startMs)
      if (nowMs < untilMs) socket.write('.')
      else if (--left === 0) resolve()
    }
    socket.on('data', (chunk) => {
      for (let count = 0; count < chunk.length; count += 1) one().catch(reject)
    })
    socket.write('.'.repeat(inFlight))
    await promise
    return started
  }, watched)
  socket.destroy()
  return { ...run, p50Micros: quantile(eachMs, 0.5) * 1000, p99Micros: quantile(eachMs, 0.99) * 1000 }
}
