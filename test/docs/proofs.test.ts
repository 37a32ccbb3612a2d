// The tests that pages name as proofs are there. A renamed test has to be renamed there too.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { dirname, join as joinUrl } from 'node:path/posix'
import { describe, expect, test } from 'vitest'
import { pages, ROOT } from './pages.ts'

/** A link to a file, and the titles of tests in it. */
const PROOF = /^- \[[^\]]+\]\(([^)]+\.ts)\): (`[^`\n]+`(?:, `[^`\n]+`)*)$/gm

interface Proof {
  readonly path: string
  readonly title: string
}

function proofsOf(page: { readonly path: string; readonly text: string }): Proof[] {
  return [...page.text.matchAll(PROOF)].flatMap(([, file = '', titles = '']) =>
    [...titles.matchAll(/`([^`]+)`/g)].map(([, title = '']) => ({
      path: joinUrl(dirname(page.path), file),
      title,
    })),
  )
}

/** As a string between quotes of either kind. */
function isTitleIn(text: string, title: string): boolean {
  return [`'${title}'`, `"${title}"`, `\`${title}\``].some((quoted) => text.includes(quoted))
}

const proofs = pages.flatMap(proofsOf)

test('pages name proofs', () => {
  expect(proofs.length).toBeGreaterThan(30)
})

test.each(proofs)('$path: $title', ({ path, title }) => {
  expect(isTitleIn(readFileSync(join(ROOT, path), 'utf8'), title)).toBe(true)
})

describe('a proof', () => {
  test('is known by its link and its titles, and its file by where the page is', () => {
    const page = { path: 'docs/a.md', text: 'x\n- [b.ts](../b.ts): `one`, `two`\n- [c.ts](../c.ts): words\n' }
    expect(proofsOf(page)).toEqual([
      { path: 'b.ts', title: 'one' },
      { path: 'b.ts', title: 'two' },
    ])
  })

  test('is a whole title', () => {
    expect(isTitleIn("test('waits for what runs', run)", 'waits for what runs')).toBe(true)
    expect(isTitleIn("test('waits for what runs', run)", 'waits')).toBe(false)
  })
})
