// The docs against what they speak of. `npm run vitest -- test/docs -u` brings the marked blocks up to date.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { brokenLinks } from './links.ts'
import { files, pages, pathOf, ROOT } from './pages.ts'
import { unmarkedBlocks, weave } from './snippets.ts'

const scripts = Object.keys((JSON.parse(read('package.json')) as { scripts: object }).scripts)

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

describe.each(pages)('$path', (page) => {
  test('shows code as it is in the files that run', async () => {
    await expect(weave(page.text, read)).toMatchFileSnapshot(pathOf(page))
  })

  test('has no code of its own', () => {
    expect(unmarkedBlocks(page.text), 'lines of blocks without a marker').toEqual([])
  })

  test('has links that lead somewhere', () => {
    expect(brokenLinks(page, files, (path) => existsSync(join(ROOT, path)))).toEqual([])
  })

  test('names npm scripts that exist', () => {
    const named = [...page.text.matchAll(/\bnpm (?:run ([\w:]+)|(start|test)\b)/g)].map(
      ([, run, own]) => run ?? own,
    )
    expect(named.filter((name) => !scripts.includes(name ?? ''))).toEqual([])
  })
})

describe('docs/glossary.md', () => {
  const glossary = read('docs/glossary.md')
  const terms = [...glossary.matchAll(/^\| \*\*(.+?)\*\* +\|/gm)].map(([, term = '']) => term)
  const insteadOf = [...glossary.matchAll(/^\| \*\*.+?\*\* +\|.*\| (.+?) +\|$/gm)].flatMap(([, words = '']) =>
    words.split(', ').filter((word) => word !== '-'),
  )

  test('lists words', () => {
    expect(terms.length).toBeGreaterThan(10)
    expect(insteadOf.length).toBeGreaterThan(5)
  })

  test.each(terms)('%s is used elsewhere', (term) => {
    const others = pages.filter(({ path }) => path !== 'docs/glossary.md')
    expect(others.some(({ text }) => text.toLowerCase().includes(term.toLowerCase()))).toBe(true)
  })

  test.each(insteadOf)('%s is not said', (word) => {
    const pattern = new RegExp(String.raw`\b${word}\b`, 'i')
    const guilty = pages.filter(({ path, text }) => path !== 'docs/glossary.md' && pattern.test(text))
    expect(guilty.map(({ path }) => path)).toEqual([])
  })
})
