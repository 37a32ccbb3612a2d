// Tables in the pages against what they list.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createDeduplicator, deduplicatorDefaults, MemoryStore } from '@oncemq/core'
import { expect, test } from 'vitest'
import { findPackages } from '../architecture/packages.ts'
import { files, ROOT } from './pages.ts'

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

test('README.md lists each package with its folder, and no other', () => {
  const rows = [...read('README.md').matchAll(/^\| \[(@oncemq\/[\w-]+)\]\(([^)]+)\)/gm)]
  const listed = new Map(rows.map(([, name = '', folder = '']) => [name, folder]))
  const existing = findPackages(files)
    .filter(({ folder }) => files.some(({ path }) => path === `${folder}/src/index.ts`))
    .map(({ name, folder }) => [name, folder] as const)
  expect(listed).toEqual(new Map(existing))
})

test('packages/core/README.md lists each option with its default', () => {
  const rows = [...read('packages/core/README.md').matchAll(/^\| `(\w+)` +\| `([^`]+)` +\|/gm)]
  const listed = new Map(rows.map(([, option = '', value = '']) => [option, value]))
  const defaults = Object.entries(deduplicatorDefaults).map(
    ([option, value]) => [option, shown(value)] as const,
  )
  expect(listed).toEqual(new Map(defaults))
})

test('docs/operations.md lists each event', () => {
  const table = /^\| event[\s\S]*?\n\n/m.exec(read('docs/operations.md'))?.[0] ?? ''
  const listed = table.split('\n').flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`(\w+)`/g)])
  const counted = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'x' }).counts()
  expect(new Set(listed.map(([, name]) => name))).toEqual(new Set(Object.keys(counted)))
})

function shown(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : JSON.stringify(value)
}
