// Pages in Chinese stay in step with the English ones: same headings, code, tables, lists and links.
import { describe, expect, test } from 'vitest'
import { pages } from './pages.ts'
import { foreignLinks, originalOf, skeletonOf } from './translations.ts'

/** For those who write stores and adapters and who work on oncemq itself, and the pages of the stores. */
const IN_ENGLISH_ALONE = [
  'docs/design.md',
  'docs/write-a-broker-adapter.md',
  'docs/write-a-store.md',
  'packages/stores/mongodb/README.md',
  'packages/stores/mysql/README.md',
  'packages/stores/postgres/README.md',
  'packages/stores/redis/README.md',
  'packages/stores/sqlite/README.md',
  'packages/tools/conformance/README.md',
]

const translations = pages.filter(({ path }) => originalOf(path) !== undefined)

test('each guide is there in Chinese, but for those that say so here', () => {
  const paths = pages.filter((page) => !translations.includes(page)).map(({ path }) => path)
  const guides = paths.filter((path) => /^README\.md$|^docs\/|^packages\//.test(path))
  const translated = new Set(translations.map(({ path }) => originalOf(path)))
  expect(guides.filter((path) => !translated.has(path))).toEqual(IN_ENGLISH_ALONE)
})

describe.each(translations)('$path', (translation) => {
  const original = pages.find(({ path }) => path === originalOf(translation.path)) ?? { path: '', text: '' }

  test('has what its original has', () => {
    expect(skeletonOf(translation, pages)).toEqual(skeletonOf(original, pages))
  })

  test('leads to pages in its own language, where they are', () => {
    expect(foreignLinks(translation, pages)).toEqual([])
  })
})

describe('a translation', () => {
  const original = {
    path: 'docs/a.md',
    text:
      '# A\n\nSee `x` and [b](b.md#two) and\n[c](../c.ts), [d](../d).\n\n' +
      '```sh\nnpm start\n```\n\n- one `y`\n',
  }
  const others = [
    { path: 'docs/b.md', text: '# One\n\n## Two\n' },
    { path: 'docs/zh-CN/b.md', text: '# 一\n\n## 二\n' },
    { path: 'd/README.md', text: '# D\n' },
    { path: 'd/README.zh-CN.md', text: '# 丁\n' },
  ]
  const translated =
    '# 甲\n\n[d](../../d/README.zh-CN.md)，[c](../../c.ts)，[b](b.md#二)，`x`。\n\n' +
    '```sh\nnpm start\n```\n\n- `y` 一\n'
  const skeleton = (path: string, text: string): string[] =>
    skeletonOf({ path, text }, [original, ...others, { path, text }])

  test('may have other words in another order, and leads to the same places', () => {
    expect(skeleton('docs/zh-CN/a.md', translated)).toEqual(skeleton(original.path, original.text))
  })

  test.each([
    ['a heading of another level', '# 甲', '## 甲'],
    ['other code', 'npm start', 'npm test'],
    ['another name', '`x`', '`z`'],
    ['a link to another heading', '#二', '#一'],
    ['an item less', '- `y` 一', '`y` 一'],
    ['a name in another paragraph', '，`x`。', '。\n\n`x`'],
  ])('with %s is found', (_, from, to) => {
    const changed = translated.replace(from, to)
    expect(skeleton('docs/zh-CN/a.md', changed)).not.toEqual(skeleton(original.path, original.text))
  })

  test('that leads to the other language is found', () => {
    const page = { path: 'docs/zh-CN/a.md', text: '[English](../a.md) [b](../b.md) [b](b.md) [d](../../d)' }
    expect(foreignLinks(page, [original, ...others, page])).toEqual(['../b.md', '../../d'])
  })
})
