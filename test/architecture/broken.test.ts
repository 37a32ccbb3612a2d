// The checkers are checked: a small sound house, and one deliberate fault at a time.
import { describe, expect, test } from 'vitest'
import { format } from '../tidy/files.ts'
import type { Rule } from '../tidy/files.ts'
import { dependencies, imports } from './arrows.ts'
import { brands } from './brands.ts'
import { cycles } from './cycles.ts'
import { docstrings } from './docstrings.ts'
import { findPackages } from './packages.ts'
import { siblings } from './siblings.ts'

type House = Record<string, string>

const STORE = 'packages/stores/redis'
const BROKER = 'packages/brokers/rabbitmq'
const OPEN = { '.': './dist/index.js' }
const ON_CORE = { '@oncemq/core': 'workspace:*' }

function manifest(name: string, more: object = {}): string {
  return JSON.stringify({ name: `@oncemq/${name}`, exports: OPEN, ...more })
}

const SOUND: House = {
  'package.json': JSON.stringify({ devDependencies: { vitest: '5.0.0' } }),
  'packages/core/package.json': manifest('core', {
    exports: { '.': { '@oncemq/source': './src/index.ts' } },
  }),
  'packages/core/src/index.ts': "export { a } from './a.ts'\n",
  'packages/core/src/a.ts': "import { hash } from 'node:crypto'\n/** Hashes. */\nexport const a = hash\n",
  [`${STORE}/package.json`]: manifest('redis', { dependencies: ON_CORE, peerDependencies: { ioredis: '5' } }),
  [`${STORE}/src/index.ts`]: "import { a } from '@oncemq/core'\nexport type { Redis } from 'ioredis'\n",
  [`${STORE}/src/options.ts`]: '',
  [`${STORE}/src/store.ts`]: '',
  [`${STORE}/src/scripts/claim.lua`]: '',
  [`${STORE}/src/store.test.ts`]: "import { test } from 'vitest'\n",
  [`${BROKER}/package.json`]: manifest('rabbitmq', {
    dependencies: ON_CORE,
    devDependencies: { '@oncemq/redis': '' },
  }),
  [`${BROKER}/src/index.ts`]: '',
  [`${BROKER}/src/options.ts`]: '',
  [`${BROKER}/src/consumer.ts`]: '',
  [`${BROKER}/src/message.ts`]: '',
  [`${BROKER}/test/consumer.test.ts`]: "import { RedisStore } from '@oncemq/redis'\n",
  'examples/webhook/main.ts': "import { a } from '@oncemq/core'\nimport './server.ts'\n",
  'examples/webhook/server.ts': '',
  'test/soak/soak.test.ts': "import { start } from '../services/index.ts'\n",
}

function judge(rule: Rule, changes: House = {}, without: readonly string[] = []): string[] {
  const house = { ...SOUND, ...changes }
  const files = Object.entries(house).map(([path, text]) => ({ path, text }))
  return rule(files.filter(({ path }) => !without.includes(path))).map(format)
}

test.each(Object.entries({ dependencies, imports, brands, cycles, docstrings, siblings }))(
  '%s finds no fault where there is none',
  (_, rule) => {
    expect(judge(rule)).toEqual([])
  },
)

test('brands finds instanceof of what core makes', () => {
  const text = [
    "import { E } from '@oncemq/core'",
    'class Own {}',
    'export const is = (e) => e instanceof Own || e instanceof E',
  ].join('\n')
  expect(judge(brands, { [`${STORE}/src/store.ts`]: text })).toEqual([
    `${STORE}/src/store.ts:3: "instanceof E" knows one copy alone: ask isOncemqError() and the code`,
  ])
  expect(judge(brands, { [`${STORE}/test/store.test.ts`]: text })).toEqual([])
})

describe('dependencies', () => {
  const faults: Record<string, [string, object]> = {
    'core on anything': ['packages/core', { dependencies: { nanoid: '5' } }],
    'core on a peer': ['packages/core', { peerDependencies: { pino: '9' } }],
    'a store on a broker': [STORE, { dependencies: { '@oncemq/rabbitmq': 'workspace:*' } }],
    'a broker on a store': [BROKER, { peerDependencies: { '@oncemq/redis': 'workspace:*' } }],
    'a framework on a broker that is no peer': [
      'packages/frameworks/web',
      { dependencies: { '@oncemq/rabbitmq': 'workspace:*' } },
    ],
    'a tool on another tool': ['packages/tools/cli', { peerDependencies: { '@oncemq/otel': 'workspace:*' } }],
    'a tool on a store': ['packages/tools/cli', { dependencies: { '@oncemq/redis': 'workspace:*' } }],
  }
  test.each(Object.entries(faults))('%s', (_, [folder, more]) => {
    const path = `${folder}/package.json`
    expect(judge(dependencies, { [path]: manifest('x', more) })).toEqual([expect.stringContaining(path)])
  })

  test('a framework may have a broker as a peer', () => {
    const path = 'packages/frameworks/web/package.json'
    const peers = { peerDependencies: { '@oncemq/rabbitmq': 'workspace:^' } }
    expect(judge(dependencies, { [path]: manifest('@oncemq/web', peers) })).toEqual([])
  })

  test('a package outside of the role folders', () => {
    expect(() => findPackages([{ path: 'packages/extra/package.json', text: '{}' }])).toThrow(
      'packages/extra',
    )
  })
})

describe('imports', () => {
  const faults: Record<string, [string, string]> = {
    'a store imports a broker': [`${STORE}/src/store.ts`, "import '@oncemq/rabbitmq'"],
    'a broker imports a store outside of its tests': [`${BROKER}/src/consumer.ts`, "import '@oncemq/redis'"],
    'core imports a package': ['packages/core/src/a.ts', "import pino from 'pino'"],
    'a deep import': [`${STORE}/src/store.ts`, "import '@oncemq/core/src/a.ts'"],
    'a deep import from a test': ['test/soak/soak.test.ts', "import '@oncemq/core/a'"],
    'a relative path into another package': [`${STORE}/src/store.ts`, "import '../../../core/src/a.ts'"],
    'a relative path from a test': ['test/soak/soak.test.ts', "import '../../packages/core/src/a.ts'"],
    'an example that needs another': ['examples/webhook/main.ts', "import '../demo/main.ts'"],
    'an undeclared package': [`${STORE}/src/store.ts`, "import 'mongodb'"],
    'an undeclared package in a test': [`${STORE}/src/a.test.ts`, "import 'mongodb'"],
    'a root tool outside of tests': [`${STORE}/src/store.ts`, "import { vi } from 'vitest'"],
    'a type': [`${STORE}/src/store.ts`, "import type { X } from '@oncemq/rabbitmq'"],
    'a type in place': [`${STORE}/src/store.ts`, "type X = import('@oncemq/rabbitmq').X"],
    'a dynamic import': [`${STORE}/src/store.ts`, "await import('@oncemq/rabbitmq')"],
    'a re-export': [`${STORE}/src/store.ts`, "export * from '@oncemq/rabbitmq'"],
  }
  test.each(Object.entries(faults))('%s', (_, [path, code]) => {
    expect(judge(imports, { [path]: `\n${code}\n` })).toEqual([expect.stringContaining(`${path}:2: `)])
  })
})

describe('cycles', () => {
  const [a, b, c] = ['a', 'b', 'c'].map((name) => `packages/core/src/${name}.ts`) as [string, string, string]

  test('a file that imports itself', () => {
    expect(judge(cycles, { [a]: "import './a.ts'" })).toEqual([expect.stringContaining(`${a} -> ${a}`)])
  })

  test('three files in a ring, one link a type', () => {
    const ring = {
      [a]: "import './b.ts'",
      [b]: "import type { C } from './c.ts'",
      [c]: "export * from './a.ts'",
    }
    expect(judge(cycles, ring)).toEqual([expect.stringContaining(`${a} -> ${b} -> ${c} -> ${a}`)])
  })

  test('a diamond is none', () => {
    const diamond = {
      [a]: "import './b.ts'\nimport './c.ts'",
      [b]: "import './d.ts'",
      [c]: "import './d.ts'",
    }
    expect(judge(cycles, diamond)).toEqual([])
  })
})

describe('docstrings', () => {
  const [door, a, b] = ['index', 'a', 'b'].map((name) => `packages/core/src/${name}.ts`) as [
    string,
    string,
    string,
  ]
  const undocumented = 'export interface A {}\n'
  const faults: Record<string, [House, string]> = {
    'an export of the door itself': [{ [door]: undocumented }, `${door}:1: "A"`],
    'one that is passed on': [
      { [door]: "export type { A } from './a.ts'", [a]: undocumented },
      `${a}:1: "A"`,
    ],
    'one among all that a file exports': [
      { [door]: "export type * from './a.ts'", [a]: undocumented },
      `${a}:1: "A"`,
    ],
    'one under another name': [
      {
        [door]: "export { b } from './a.ts'",
        [a]: "export { c as b } from './b.ts'",
        [b]: '\nexport const c = 1',
      },
      `${b}:2: "c"`,
    ],
    'one that is imported first': [
      { [door]: "import { c } from './b.ts'\nexport { c }", [b]: 'export class c {}' },
      `${b}:1: "c"`,
    ],
    'one that is exported after it is declared': [
      { [door]: 'function f() {}\nexport { f }' },
      `${door}:1: "f"`,
    ],
    'a tag and nothing before it': [
      { [door]: '/** @throws Error always. */\nexport function f() {}' },
      `${door}:2: "f"`,
    ],
    'a comment that is no docstring': [{ [door]: '// F.\nexport function f() {}' }, `${door}:2: "f"`],
    "another's docstring": [
      { [door]: '/** F. */\nfunction f() {}\nexport function g() {}' },
      `${door}:3: "g"`,
    ],
  }
  test.each(Object.entries(faults))('%s', (_, [changes, where]) => {
    expect(judge(docstrings, changes)).toEqual([expect.stringContaining(where)])
  })

  test('what no door exports needs none, nor what is documented above an overload', () => {
    const overloads =
      '/** F. */\nexport function f(a: 1): void\nexport function f(a: 2): void\nexport function f() {}'
    const sound = { [door]: "export { f } from './a.ts'", [a]: `${overloads}\n${undocumented}` }
    expect(judge(docstrings, sound)).toEqual([])
  })

  test('a file that is missing', () => {
    expect(() => judge(docstrings, {}, [a])).toThrow(a)
  })
})

describe('siblings', () => {
  const required = [
    ...['index.ts', 'options.ts', 'store.ts', 'scripts/claim.lua'].map((name) => `${STORE}/src/${name}`),
    ...['index.ts', 'options.ts', 'consumer.ts', 'message.ts'].map((name) => `${BROKER}/src/${name}`),
  ]
  test.each(required)('without %s', (path) => {
    expect(judge(siblings, {}, [path])).toHaveLength(1)
  })

  test('statements in TypeScript are as good as scripts', () => {
    expect(
      judge(siblings, { [`${STORE}/src/statements.ts`]: '' }, [`${STORE}/src/scripts/claim.lua`]),
    ).toEqual([])
  })
})
