import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { format, readTree } from './files.ts'
import { leaks } from './leaks.ts'
import { names } from './names.ts'
import { functionSize, size } from './size.ts'
import { time } from './time.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const files = readTree(ROOT)

test('the tree was read', () => {
  const paths = files.map(({ path }) => path)
  expect(paths).toEqual(expect.arrayContaining(['package.json', '.ci/run', 'test/tidy/tidy.test.ts']))
})

test.each(Object.entries({ size, functionSize, names, time, leaks }))('%s', (_, rule) => {
  expect(rule(files).map(format)).toEqual([])
})
