import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { REQUIRE_VARIABLE } from './client/describe-service.ts'
import { SOCKET_VARIABLE } from './client/connection.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const REASON = 'redis-8: ONCEMQ_REDIS_8_URL: nothing answers at 127.0.0.1:1'

/** Runs a suite that needs a server where there is none. */
async function runWithoutServer(env: Record<string, string>): Promise<{ code: number; output: string }> {
  const vitest = [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--config',
    'test/services/fixtures/vitest.config.ts',
  ]
  const nowhere = {
    [SOCKET_VARIABLE]: undefined,
    ONCEMQ_TALLY: undefined,
    ONCEMQ_REDIS_8_URL: 'redis://127.0.0.1:1',
  }
  const child = spawn(process.execPath, vitest, {
    cwd: ROOT,
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, ...nowhere, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number]
  return { code, output }
}

test('a suite without its server is skipped and says why', async () => {
  const { code, output } = await runWithoutServer({ [REQUIRE_VARIABLE]: '0' })
  expect(output).toContain(`needs-server.fixture.ts): ${REASON}\n0 passed, 0 failed`)
  expect(code).toBe(0)
})

test('it fails where servers are required', async () => {
  const { code, output } = await runWithoutServer({ [REQUIRE_VARIABLE]: '1' })
  expect(output).toContain(REASON)
  expect(output).toContain('0 passed, 1 failed')
  expect(code).toBe(1)
})
