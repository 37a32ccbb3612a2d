// The checkers are checked: each bad input must be found, at its line, and its good neighbour must not.
import { describe, expect, test } from 'vitest'
import { format } from './files.ts'
import type { Rule, SourceFile } from './files.ts'
import { leaks } from './leaks.ts'
import { names } from './names.ts'
import { functionSize, size } from './size.ts'
import { time } from './time.ts'

const CORE = 'packages/core/src/batcher.ts'

function judge(rule: Rule, path: string, text: string): string[] {
  return rule([{ path, text } satisfies SourceFile]).map(format)
}

function lines(count: number): string {
  return 'x()\n'.repeat(count)
}

describe('size', () => {
  test('a file of 350 lines is fine, one of 351 is not', () => {
    expect(judge(size, CORE, lines(350))).toEqual([])
    expect(judge(size, CORE, lines(351))).toEqual([expect.stringContaining('351 lines')])
  })

  test('a line of 110 characters is fine, one of 111 is not', () => {
    expect(judge(size, CORE, `\n${'a'.repeat(110)}\n`)).toEqual([])
    expect(judge(size, CORE, `\n${'a'.repeat(111)}\n`)).toEqual([
      expect.stringMatching(/^.*:2: .*111 characters/),
    ])
  })

  test('prose and lock files have no length', () => {
    expect(judge(size, 'docs/design.md', lines(400))).toEqual([])
    expect(judge(size, 'pnpm-lock.yaml', 'a'.repeat(500))).toEqual([])
  })
})

describe('functionSize', () => {
  const forms = {
    declaration: (body: string) => `function f() {\n${body}}\n`,
    arrow: (body: string) => `const f = () => {\n${body}}\n`,
    method: (body: string) => `class A { m() {\n${body}} }\n`,
    generator: (body: string) => `const f = async function* () {\n${body}}\n`,
    test: (body: string) => `test('a', () => {\n${body}})\n`,
  }

  test.each(Object.entries(forms))('a long %s is found, a short one is not', (_, form) => {
    expect(judge(functionSize, CORE, form(lines(58)))).toEqual([])
    expect(judge(functionSize, CORE, form(lines(59)))).toEqual([expect.stringContaining('61 lines')])
  })

  test('a describe block may be longer than the tests in it', () => {
    for (const call of ['describe', 'describe.skip', 'describe.skipIf(true)']) {
      expect(judge(functionSize, CORE, `${call}('a', () => {\n${lines(90)}})\n`)).toEqual([])
    }
    const inner = `describe('a', () => {\ntest('b', () => {\n${lines(90)}})\n})\n`
    expect(judge(functionSize, CORE, inner)).toEqual([expect.stringContaining(':2: ')])
  })

  test('a file that cannot be parsed is named', () => {
    expect(() => judge(functionSize, CORE, 'function (')).toThrow(CORE)
  })
})

describe('names', () => {
  test.each(['src/utils/a.ts', 'src/lib.ts', 'test/helpers.test.ts', 'src/Common/a.ts'])(
    '%s is found',
    (path) => {
      expect(judge(names, path, '')).toEqual([expect.stringContaining(path)])
    },
  )

  test.each(['src/library.ts', 'src/uncommon/a.ts', 'src/calibrate.ts', '.gitignore'])(
    '%s is fine',
    (path) => {
      expect(judge(names, path, '')).toEqual([])
    },
  )
})

describe('time', () => {
  const bare = [
    'Date.now()',
    'const now = Date.now',
    'new Date()',
    'Math.random()',
    'performance.now()',
    'setTimeout(f, 1)',
    'setInterval(f, 1)',
    'globalThis.setTimeout(f, 1)',
    'promisify(setTimeout)',
    'process.hrtime.bigint()',
    "import { setTimeout as delay } from 'node:timers/promises'",
    "import { randomUUID } from 'node:crypto'",
  ]
  test.each(bare)('%s is found', (code) => {
    expect(judge(time, CORE, `f()\n${code}\n`)).toContainEqual(expect.stringContaining(`${CORE}:2: `))
    expect(judge(time, 'packages/stores/redis/src/store.ts', code)).not.toEqual([])
  })

  const injected = [
    'clock.now()',
    'clock.setTimeout(f, 1)',
    'new Date(0)',
    '// Date.now()',
    "'Math.random()'",
  ]
  test.each(injected)('%s is fine', (code) => {
    expect(judge(time, CORE, code)).toEqual([])
  })

  test('the entrances, tests and tools may', () => {
    for (const path of ['packages/core/src/time/clock.ts', 'packages/core/src/a.test.ts', 'test/soak/a.ts']) {
      expect(judge(time, path, 'Date.now()')).toEqual([])
    }
    expect(judge(time, 'packages/tools/conformance/src/wait.ts', 'Date.now()')).toEqual([])
  })
})

describe('leaks', () => {
  const machine = ['ro' + 'ot', 'wo' + 'rk'].map((name) => `/${name}`)
  const hosts = ['regis' + 'try.npmjs.org', 'deb.' + 'debian.org', 're' + 'po1.mav' + 'en.apache.org']

  test.each(machine)('a path below %s is found', (path) => {
    for (const text of [`'${path}/a'`, `cd ${path}`, `HOME=${path}/x`, `file://${path}`]) {
      expect(judge(leaks, 'docs/a.md', `\n${text}`), text).toEqual([expect.stringContaining('docs/a.md:2: ')])
    }
  })

  test.each(hosts)('%s is found', (host) => {
    expect(judge(leaks, 'pnpm-lock.yaml', `https://${host}/x`)).toEqual([expect.stringContaining('registry')])
  })

  test.each(['a/root/b', './work/x', '${folder}/root', '/rooted', '/work-items', '/workspace'])(
    '%s is fine',
    (text) => {
      expect(judge(leaks, CORE, text)).toEqual([])
    },
  )
})
