import { expect, test } from 'vitest'
import { brokenLinks } from './links.ts'
import { unmarkedBlocks, weave } from './snippets.ts'

const source = [
  'before',
  'function f() {',
  '  // #region part',
  '  one()',
  '',
  '    two()',
  '  // #endregion',
  '}',
]
const read = (path: string): string => {
  if (path !== 'a.ts') throw new Error(`no file ${path}`)
  return `${source.join('\n')}\n`
}
const fence = '```'

test('a marker brings in its region, without its indent', () => {
  expect(weave('x\n\n<!-- snippet: a.ts#part -->\n\ny\n', read)).toBe(
    `x\n\n<!-- snippet: a.ts#part -->\n\n${fence}ts\none()\n\n  two()\n${fence}\n\ny\n`,
  )
})

test('several regions stand one after the other', () => {
  expect(weave('<!-- snippet: a.ts#part,part -->\n', read)).toContain(
    'one()\n\n  two()\n\none()\n\n  two()\n',
  )
})

test('a block that is out of date is replaced, and a page that is right stays as it is', () => {
  const stale = `<!-- snippet: a.ts#part -->\n\n${fence}ts\nold()\n${fence}\n\ny\n`
  const woven = weave(stale, read)
  expect(woven).toContain('one()')
  expect(woven).not.toContain('old()')
  expect(weave(woven, read)).toBe(woven)
})

test.each(['a.ts#gone', 'b.ts'])('%s does not exist', (name) => {
  expect(() => weave(`<!-- snippet: ${name} -->\n`, read)).toThrow(/has no region gone|no file b\.ts/)
})

test('a block without a marker is found', () => {
  expect(unmarkedBlocks(`x\n${fence}ts\none()\n${fence}\n`)).toEqual([2])
  expect(unmarkedBlocks(`<!-- snippet: a.ts -->\n\n${fence}ts\none()\n${fence}\n`)).toEqual([])
})

test('a link to no file and a link to no heading are found', () => {
  const page = {
    path: 'docs/a.md',
    text: '# The one\n[x](#the-one) [x](#two) [x](b.md) [x](../c.md) [x](https://x.y)',
  }
  const exists = (path: string): boolean => ['docs/a.md', 'c.md'].includes(path)
  expect(brokenLinks(page, [page], exists)).toEqual(['#two', 'b.md'])
})
