import { existsSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Clone, INSTALLS } from './clone.ts'

const ENDED_PID = 2 ** 22 + 1 // Above the largest pid that Linux gives.
const LONG_AGO = new Date(0)
const LOCK = '.cache/setup.lock'

describe('a set-up that works', () => {
  test('runs the task with its flags, and keeps its exit code and stdout', async () => {
    using clone = new Clone(INSTALLS)
    const { code, stdout, stderr } = await clone.run(['start', '--json', '--broker', 'x'])
    expect(stdout).toBe('["--json","--broker","x"]\n')
    expect(stderr).toContain('[2/3] installing the packages done')
    expect(code).toBe(7)
    expect(clone.calls()).toEqual(['--version', 'install'])
  })

  test('is done once, and again when a dependency changes', async () => {
    using clone = new Clone(INSTALLS)
    await clone.run(['start'])
    const second = await clone.run(['start'])
    expect(second.stderr).toBe('')
    expect(clone.calls()).toHaveLength(2)
    clone.write('packages/stores/new/package.json', '{}')
    await clone.run(['start'])
    expect(clone.calls()).toHaveLength(4)
    clone.write('site/package.json', '{}')
    await clone.run(['start'])
    expect(clone.calls()).toHaveLength(6)
  })

  test('is done once for three that start together', async () => {
    using clone = new Clone(INSTALLS)
    const runs = await Promise.all([1, 2, 3].map(() => clone.run(['start'])))
    expect(runs.map(({ code }) => code)).toEqual([7, 7, 7])
    expect(clone.calls()).toEqual(['--version', 'install'])
    expect(existsSync(join(clone.folder, LOCK))).toBe(false)
  })

  test('takes over from one that was killed', async () => {
    using clone = new Clone(INSTALLS)
    clone.write(LOCK, String(ENDED_PID))
    expect((await clone.run(['start'])).code).toBe(7)
  })

  test('takes over from one that was killed and whose pid is in use again', async () => {
    using clone = new Clone(INSTALLS)
    clone.write(LOCK, String(process.pid))
    utimesSync(join(clone.folder, LOCK), LONG_AGO, LONG_AGO)
    expect((await clone.run(['start'])).code).toBe(7)
  })
})

describe('a set-up that fails says which step, why and what to do', () => {
  const failures: Record<string, [output: string, why: string]> = {
    offline: ['npm error code ENOTFOUND', 'the package registry cannot be reached'],
    'no permission': ['Error: EACCES: permission denied, mkdir', 'may not be written'],
    'full disk': ['ENOSPC: no space left on device', 'the disk is full'],
    certificate: ['SELF_SIGNED_CERT_IN_CHAIN', 'certificate'],
    'stale lock file': ['ERR_PNPM_OUTDATED_LOCKFILE', 'pnpm-lock.yaml does not match'],
    'something new': ['the moon is in the wrong house', 'see the output above'],
  }
  test.each(Object.entries(failures))('%s', async (_, [output, why]) => {
    using clone = new Clone(`console.error(${JSON.stringify(output)}); process.exit(3)`)
    const { code, stdout, stderr } = await clone.run(['start'])
    expect(stderr).toContain('[2/3] installing the packages failed')
    expect(stderr).toContain(output)
    expect(stderr).toMatch(new RegExp(`why: .*${why}.*\\n +what to do: .+`))
    expect(stderr).not.toMatch(/^ +at /m)
    expect(stdout).toBe('')
    expect(code).toBe(3)
    expect(existsSync(join(clone.folder, LOCK))).toBe(false)
  })

  test('no Node.js 24 after all', async () => {
    using clone = new Clone('')
    const { code, stderr } = await clone.run(['start'])
    expect(stderr).toMatch(/checking Node.js 24 failed\n +why: .*ENOENT.*\n +what to do: /)
    expect(code).toBe(1)
  })

  test('no npm', async () => {
    using clone = new Clone(INSTALLS)
    const { code, stderr } = await clone.run(['start'], { npm_execpath: undefined, PATH: clone.folder })
    expect(stderr).toMatch(/why: .*`npm` cannot be started.*\n +what to do: install npm/)
    expect(code).toBe(1)
  })

  test('an unknown task', async () => {
    using clone = new Clone(INSTALLS)
    const { code, stderr } = await clone.run(['strat'])
    expect(stderr).toMatch(/task strat failed\n +why: .*\n +what to do: use one of: start, test/)
    expect(code).toBe(1)
  })
})
