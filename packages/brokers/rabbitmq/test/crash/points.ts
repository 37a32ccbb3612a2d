import { appendFileSync } from 'node:fs'

/** The gaps between every two steps of a delivery, in the order of its way. */
export const points = [
  'before claim',
  'after claim',
  'in handler',
  'after handler',
  'after complete',
  'before ack',
] as const

export type Point = (typeof points)[number]

export interface WorkerConfig {
  readonly url: string
  readonly queue: string
  readonly database: string
  readonly history: string
  readonly mode: 'lease' | 'transactional'
  /** Where the worker dies, and at which of its visits; `undefined` for one that lives. */
  readonly death: { readonly point: Point; readonly visit: number } | undefined
}

export type PoisonConfig = Pick<WorkerConfig, 'url' | 'queue' | 'database' | 'history'> & {
  readonly prefetch: number
  readonly form: 'managed' | 'wrapped channel' | 'get' | 'rascal'
}

/** One line of the history, which is written outside of all that is tested and survives a kill. */
export type Event =
  | { readonly type: 'run'; readonly pid: number; readonly key: string; readonly epoch: number }
  | { readonly type: 'kill'; readonly pid: number; readonly point: Point }
  | { readonly type: 'done' | 'lost'; readonly pid: number; readonly key: string }

export function record(history: string, event: Event): void {
  appendFileSync(history, `${JSON.stringify(event)}\n`)
}

/** Answers what a worker calls at each point: at its appointed one it dies as by `kill -9`. */
export function reaper({ history, death }: WorkerConfig): (point: Point) => void {
  let visits = 0
  return function reached(point) {
    if (death === undefined || point !== death.point || ++visits < death.visit) return
    record(history, { type: 'kill', pid: process.pid, point })
    process.kill(process.pid, 'SIGKILL')
  }
}
