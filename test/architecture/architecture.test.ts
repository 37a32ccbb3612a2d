import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { format, readTree } from '../tidy/files.ts'
import { dependencies, imports } from './arrows.ts'
import { brands } from './brands.ts'
import { cycles } from './cycles.ts'
import { docstrings } from './docstrings.ts'
import { findPackages } from './packages.ts'
import { siblings } from './siblings.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const files = readTree(ROOT)

test('the packages were found', () => {
  expect(findPackages(files).map(({ name }) => name)).toContain('@oncemq/core')
})

test('a package is named after its folder', () => {
  for (const { name, folder } of findPackages(files)) expect(name).toBe(`@oncemq/${folder.split('/').at(-1)}`)
})

test.each(Object.entries({ dependencies, imports, brands, cycles, docstrings, siblings }))(
  '%s',
  (_, rule) => {
    expect(rule(files).map(format)).toEqual([])
  },
)
