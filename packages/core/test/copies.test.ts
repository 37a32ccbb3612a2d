import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../../..', import.meta.url))
// Inside of the project, so that the compiler finds its base configuration and the types of Node.js.
const folder = mkdtempSync(join(root, 'node_modules', '.copies-'))

afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What the compiler says of a program that has two copies of the core. */
function compile(program: string): string {
  for (const copy of ['one', 'two'])
    cpSync(join(root, 'packages/core/src'), join(folder, copy), { recursive: true })
  writeFileSync(join(folder, 'program.ts'), program)
  const compilerOptions = { noEmit: true, typeRoots: [join(root, 'node_modules/@types')], types: ['node'] }
  const config = { extends: join(root, 'tsconfig.base.json'), compilerOptions, files: ['program.ts'] }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  const args = [join(root, 'node_modules/typescript/bin/tsc'), '--project', folder, '--pretty', 'false']
  const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  return stdout
    .split('\n')
    .filter((line) => line.includes('program.ts'))
    .join('\n')
}

/** A private field makes a class fit itself alone: types that users hand on are interfaces. */
test('two copies of the core fit together: each takes what the other made', () => {
  const program = `
    import * as one from './one/index.ts'
    import * as two from './two/index.ts'
    declare const dedup: one.Deduplicator
    declare const transactional: one.Deduplicator<{ write(word: string): void }>
    export const same: two.Deduplicator = dedup
    export const sameToo: two.Deduplicator<{ write(word: string): void }> = transactional
    declare const store: one.TransactionalStore<{ write(word: string): void }>
    export const made = two.createDeduplicator({ store, consumerGroup: 'g', strategy: 'transactional' })
    declare const error: one.OncemqError
    export const sameError: two.OncemqError = error
    declare const handler: one.Handler
    export const sameHandler: two.Handler = handler
  `
  expect(compile(program)).toBe('')
  // The compiler did look: what does not fit is found.
  const wrong = program.replace('two.Deduplicator<{ write(word: string): void }>', 'two.Deduplicator<Date>')
  expect(compile(wrong)).toContain('error TS2322')
}, 120_000)
