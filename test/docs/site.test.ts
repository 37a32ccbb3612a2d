// The site as its readers get it: built once, and read as files.
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseSync } from 'oxc-parser'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { deadLinks } from '../../site/dead-links.ts'
import { guides } from '../../site/navigation.ts'
import { readPages, resolveLink } from '../../site/pages.ts'
import type { Page } from '../../site/pages.ts'
import { findDoors } from '../../site/reference.ts'
import { slugOf } from '../../site/slug.ts'
import { runProgram } from '../packaging/program.ts'
import { ROOT } from './pages.ts'

// A bound, and no expectation: it takes well under a minute on a machine that does nothing else.
const BUILD_TIMEOUT_MS = 600_000
const DIST = join(ROOT, 'site/dist')
const pages = readPages()

describe('the site', () => {
  beforeAll(async () => {
    const args = ['--conditions=@oncemq/source', 'site/main.ts']
    const { code, output } = await runProgram(process.execPath, args, ROOT)
    if (code !== 0) throw new Error(`the site could not be built:\n${output}`)
  }, BUILD_TIMEOUT_MS)

  test.each(pages)('has $source', ({ path, title }) => {
    const html = readFileSync(join(DIST, path.replace(/\.md$/, '.html')), 'utf8')
    expect(html).toContain(`id="${slugOf(title)}"`)
  })

  test.each(findDoors())(
    'has each export of $name, on a page, or where it says which door has the page',
    (door) => {
      const folder = join(DIST, 'api', door.name.split('/').slice(1).join('/'))
      const own = new Set(
        globSync('*/*.html', { cwd: folder }).map((path) => path.replace(/^.*[\\/]|\.html$/g, '')),
      )
      const index = readFileSync(join(folder, 'index.html'), 'utf8')
      const names = exportsOf(door.source)
      expect(names.length).toBeGreaterThan(0)
      expect(names.filter((name) => !own.has(name) && !index.includes(`id="${slugOf(name)}"`))).toEqual([])
    },
  )

  test.each([
    ['root', 'attemptsmax'],
    ['zh', '处理'],
  ])('finds what is searched for: %s', (language, word) => {
    const [index = ''] = globSync(`assets/chunks/@localSearchIndex${language}.*.js`, { cwd: DIST })
    expect(readFileSync(join(DIST, index), 'utf8')).toContain(word)
  })

  test('asks nothing of other hosts when it is read', () => {
    const html = readFileSync(join(DIST, 'index.html'), 'utf8')
    const styles = globSync('assets/*.css', { cwd: DIST }).map((path) =>
      readFileSync(join(DIST, path), 'utf8'),
    )
    const asked = [...html.matchAll(/<(?:link|script|img)[^>]+(?:href|src)="(?!data:)([^"]+)"/g)].map(
      ([, url]) => url,
    )
    expect(asked.length).toBeGreaterThan(3)
    expect(asked.filter((url) => url?.startsWith('/assets/') !== true && url !== '/vp-icons.css')).toEqual([])
    expect(styles.filter((css) => /url\(["']?(https?:)?\/\//.test(css))).toEqual([])
  })
})

/** As they stand in a door's own source: `export { a } from ...`, or all of another file. */
function exportsOf(source: string): string[] {
  const { module } = parseSync(source, readFileSync(join(ROOT, source), 'utf8'))
  return module.staticExports.flatMap(({ entries }) =>
    entries.flatMap(({ exportName, moduleRequest }) =>
      exportName.name === null
        ? exportsOf(join(dirname(source), moduleRequest?.value ?? ''))
        : [exportName.name],
    ),
  )
}

describe('dead links', () => {
  const site = (files: Record<string, string>): string => {
    const folder = mkdtempSync(join(tmpdir(), 'oncemq-site-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      writeFileSync(join(folder, path), text)
    }
    return folder
  }
  const found = (link: string, base = '/'): string[] => {
    const files = { 'a/index.html': `<a href="${link}">`, 'b.html': '<h2 id="那-里">', 'x.png': '' }
    return deadLinks(site(files), base)
  }

  test.each([
    '/b',
    '/b.html',
    '../b',
    '/a/',
    '/b#那-里',
    '/b#%E9%82%A3-%E9%87%8C',
    '/x.png',
    '#',
    'https://x/',
  ])('%s leads somewhere', (link) => {
    expect(found(link)).toEqual([])
  })

  test.each(['/c', '/b/', '/b#here', '#here', '/y.png', './b'])('%s leads nowhere', (link) => {
    expect(found(link)).toEqual([`a/index.html: ${link}`])
  })

  test('a site below a folder of its host has its links there', () => {
    expect(found('/oncemq/b', '/oncemq/')).toEqual([])
    expect(found('/b', '/oncemq/')).toEqual(['a/index.html: /b'])
  })
})

describe('links between pages', () => {
  const page = pages.find(({ source }) => source === 'docs/kafka.md') as Page

  test.each([
    ['design.md#time', '/design.md#time'],
    ['../packages/brokers/kafka', '/packages/kafka.md'],
    ['../packages/brokers/kafka/README.md#x', '/packages/kafka.md#x'],
    ['../README.zh-CN.md', '/zh/index.md'],
    ['../examples', 'https://github.com/oncemq/oncemq/blob/main/examples'],
    ['../CONTRIBUTING.md', 'https://github.com/oncemq/oncemq/blob/main/CONTRIBUTING.md'],
    ['#here', '#here'],
    ['https://kafka.apache.org/', 'https://kafka.apache.org/'],
  ])('%s leads to %s', (href, expected) => {
    expect(resolveLink(href, page, pages)).toBe(expected)
  })

  test('one to what is not there is refused', () => {
    expect(() => resolveLink('nowhere.md', page, pages)).toThrow('docs/kafka.md: the link to nowhere.md')
  })
})

describe('the side bar', () => {
  const of = (paths: string[], folder?: string) => {
    const some = paths.map((path) => ({ source: path, path, title: path.toUpperCase(), text: '' }))
    return guides(some, folder).map(({ text, items }) => [
      text,
      items?.map((item) => `${item.text} ${item.link}`),
    ])
  }

  test('has the pages in the order that is written, and those that nobody named', () => {
    const bar = of(['new.md', 'kafka.md', 'index.md', 'demo.md'])
    expect(bar).toEqual([
      ['Start', ['INDEX.MD /', 'DEMO.MD /demo']],
      ['Brokers', ['KAFKA.MD /kafka']],
      ['More', ['NEW.MD /new']],
    ])
  })

  test('has in Chinese what is translated, and the rest in English', () => {
    const bar = of(['zh/index.md', 'index.md', 'demo.md', 'zh/new.md', 'new.md'], 'zh/')
    expect(bar).toEqual([
      ['入门', ['ZH/INDEX.MD /zh/', 'DEMO.MD (English) /demo']],
      ['其他', ['ZH/NEW.MD /zh/new']],
    ])
  })
})
