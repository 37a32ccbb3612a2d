// Messages send people to pages that who has the packages alone can find.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pageAt } from '@oncemq/core/broker'
import { expect, test } from 'vitest'
import rootManifest from '../../package.json' with { type: 'json' }
import { brokenLinks } from './links.ts'
import { files, ROOT } from './pages.ts'

const sources = files.filter(({ path }) => /^packages\/.*\/src\/.*\.ts$/.test(path))
const CALL = /\bpageAt\('([\w-]+)'(?:, '([\w-]+)')?\)/g

test('the pages are in the repository that the root names', () => {
  const repository = rootManifest.repository.url.replace(/^git\+|\.git$/g, '')
  expect(pageAt('orms')).toBe(`${repository}/blob/main/docs/orms.md`)
})

test('each message names a page and a heading that are there', () => {
  const links = sources.flatMap(({ text }) =>
    [...text.matchAll(CALL)].map(([, page = '', heading]) =>
      heading === undefined ? `docs/${page}.md` : `docs/${page}.md#${heading}`,
    ),
  )
  expect(links.length).toBeGreaterThanOrEqual(3)
  const page = { path: 'README.md', text: links.map((link) => `[page](${link})`).join('\n') }
  expect(brokenLinks(page, files, (path) => existsSync(join(ROOT, path)))).toEqual([])
})

test('no message names a file of the repository', () => {
  const named = sources.flatMap(({ path, text }) =>
    text
      .split('\n')
      .filter((line) => /docs\/[\w-]+\.md/.test(line) && !/^\s*(\*|\/\*\*|\/\/)/.test(line))
      .map((line) => `${path}: ${line.trim()}`),
  )
  expect(named).toEqual([])
})
