import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

test('the last lines tell what was skipped and why, then how many passed and failed', () => {
  const args = ['node_modules/vitest/vitest.mjs', 'run', '--config=test/workspace/closing/vitest.config.ts']
  // Its own variables tell vitest that it runs inside of a test.
  const env = { PATH: process.env['PATH'], NO_COLOR: '1' }
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: ROOT, env, encoding: 'utf8' })
  const lines = stdout.trimEnd().split('\n').slice(-4)
  expect(lines.slice(0, 3).toSorted()).toEqual([
    'skipped 1 (broken-hook.case.ts): what prepares them failed, see above',
    'skipped 1 (skipped.case.ts): no server was found',
    'skipped 2 (skipped.case.ts): not on this platform',
  ])
  expect(lines.at(-1)).toBe('1 passed, 2 failed')
  expect(status).toBe(1)
})
