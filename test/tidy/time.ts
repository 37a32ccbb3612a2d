import type { Node } from 'oxc-parser'
import { isCode } from './files.ts'
import type { SourceFile, Violation } from './files.ts'
import { dottedName, lineCounter, visit } from './syntax.ts'

// The two places where the outside world enters; everything else is handed a clock and an id source, which is
// what lets the simulation run the production code in virtual time.
const ENTRANCES = new Set(['packages/core/src/time/clock.ts', 'packages/core/src/time/random.ts'])
// The published suites judge from outside and wait for real servers.
const GOVERNED = /^packages\/(?!tools\/).*\bsrc\//
const TEST_FILE = /\.test\.ts$/

const BARE_NAMES = new Set([
  'Date.now',
  'Math.random',
  'performance.now',
  'process.hrtime',
  'process.hrtime.bigint',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'crypto.randomUUID',
  'crypto.randomBytes',
  'crypto.getRandomValues',
])
const BARE_MODULES = new Set(['node:timers', 'node:timers/promises', 'node:perf_hooks'])
const BARE_IMPORTS = new Set(['randomUUID', 'randomBytes', 'randomInt', 'getRandomValues'])

/** Time and randomness are injected: bare clocks, timers and dice stand in one file each. */
export function time(files: readonly SourceFile[]): Violation[] {
  return files
    .filter(
      ({ path }) => isCode(path) && GOVERNED.test(path) && !TEST_FILE.test(path) && !ENTRANCES.has(path),
    )
    .flatMap(bareUses)
}

function bareUses(file: SourceFile): Violation[] {
  const lineAt = lineCounter(file.text)
  const found: Violation[] = []
  const report = (node: Node, what: string) => {
    const message = `${what} is not injected: use the clock or the id source that you are given`
    found.push({ path: file.path, line: lineAt(node.start), message })
  }
  const check = (node: Node) => {
    const name = dottedName(node)?.replace(/^globalThis\./, '')
    if (name !== undefined && BARE_NAMES.has(name)) report(node, name)
  }
  visit(file, {
    MemberExpression: check,
    CallExpression: (node) => {
      if (node.callee.type === 'Identifier') check(node.callee)
      // A timer handed on as a value is as bare as one that is called.
      for (const argument of node.arguments) if (argument.type === 'Identifier') check(argument)
    },
    NewExpression: (node) => {
      if (dottedName(node.callee) === 'Date' && node.arguments.length === 0) report(node, 'new Date()')
    },
    ImportDeclaration: (node) => {
      if (BARE_MODULES.has(node.source.value)) report(node, node.source.value)
      for (const { local } of node.specifiers) if (BARE_IMPORTS.has(local.name)) report(node, local.name)
    },
  })
  return found
}
