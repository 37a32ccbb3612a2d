import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { onTestFinished } from 'vitest'
import type { Place } from './set-up.ts'
import { until } from './set-up.ts'

const FOLDER = fileURLToPath(new URL('.', import.meta.url))
const UP_MS = 60_000

/** A worker process, and what it has said so far. */
export interface Worker {
  readonly child: ChildProcess
  readonly lines: string[]
}

export interface WorkerSettings {
  readonly form?: 'simple' | 'push'
  readonly handlerMs: number
  readonly pollMs?: number
}

/** Starts workers that share a topic, a consumer group and a store. */
export function workersAt(at: Place, settings: WorkerSettings) {
  const folder = mkdtempSync(join(tmpdir(), 'oncemq-workers-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const env = {
    ...process.env,
    ROCKETMQ_URL: at.url,
    TOPIC: at.topic,
    GROUP: at.group,
    STORE: join(folder, 'oncemq.db'),
    FORM: settings.form ?? 'simple',
    HANDLER_MS: `${settings.handlerMs}`,
    POLL_MS: `${settings.pollMs ?? 1000}`,
  }
  return async function start(): Promise<Worker> {
    const lines: string[] = []
    const child = spawn(process.execPath, ['--conditions=@oncemq/source', 'child.ts'], {
      cwd: FOLDER,
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    let rest = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const parts = `${rest}${text}`.split('\n')
      rest = parts.pop() ?? ''
      lines.push(...parts)
    })
    await until('a worker to be up', () => lines.includes('up'), UP_MS)
    return { child, lines }
  }
}
