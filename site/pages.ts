import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))

/** A page of the repository, and where it stands on the site. */
export interface Page {
  /** Relative to the root: `docs/zh-CN/kafka.md`. */
  readonly source: string
  /** Relative to the site: `zh/kafka.md`. */
  readonly path: string
  readonly title: string
  readonly text: string
}

/** The folder of the pages in Chinese on the site, which has those in English at its root. */
export const CHINESE = 'zh/'

const SOURCES = [
  'README*.md',
  'docs/*.md',
  'docs/zh-CN/*.md',
  'packages/*/README*.md',
  'packages/*/*/README*.md',
]
const PLACES: readonly (readonly [RegExp, string])[] = [
  [/^README\.md$/, 'index.md'],
  [/^README\.zh-CN\.md$/, `${CHINESE}index.md`],
  [/^docs\/zh-CN\/README\.md$/, `${CHINESE}documentation.md`],
  [/^docs\/README\.md$/, 'documentation.md'],
  [/^docs\/zh-CN\/(.+)$/, `${CHINESE}$1`],
  [/^docs\/(.+)$/, '$1'],
  [/^packages\/(?:[^/]+\/)?([^/]+)\/README\.md$/, 'packages/$1.md'],
  [/^packages\/(?:[^/]+\/)?([^/]+)\/README\.zh-CN\.md$/, `${CHINESE}packages/$1.md`],
]

/** The guides, and the READMEs of the packages: what is there, with no list of it. */
export function readPages(): Page[] {
  const isBuilt = /(^|\/)(node_modules|dist)\//
  return globSync(SOURCES, { cwd: ROOT })
    .map((source) => source.replaceAll('\\', '/'))
    .filter((source) => !isBuilt.test(source))
    .toSorted()
    .map(readPage)
}

function readPage(source: string): Page {
  const text = readFileSync(join(ROOT, source), 'utf8')
  const title = /^# (.+)$/m.exec(text)?.[1]
  if (title === undefined)
    throw new Error(`${source}: expected a page to start with its title, as in "# Title"`)
  return { source, path: pathOf(source), title, text }
}

function pathOf(source: string): string {
  const place = PLACES.find(([pattern]) => pattern.test(source))
  if (place === undefined)
    throw new Error(`${source}: expected a page of a known place, see ${import.meta.url}`)
  return source.replace(...place)
}

/** The repository's page, where what is no page of the site can be seen. */
export const REPOSITORY = (
  JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { homepage: string }
).homepage.replace(/#.*/, '')

const ELSEWHERE = /^([a-z][a-z0-9+.-]*:|#)/

/**
 * Where a link of a page leads on the site: to another page, or to the repository for what is none.
 * @throws Error for a link to what is not in the repository.
 */
export function resolveLink(href: string, page: Page, pages: readonly Page[]): string {
  if (ELSEWHERE.test(href)) return href
  const [file = '', anchor] = href.split('#')
  const target = posix.join(posix.dirname(page.source), decodeURI(file)).replace(/\/$/, '')
  const hash = anchor === undefined ? '' : `#${anchor}`
  const found = pages.find(({ source }) => source === target || source === `${target}/README.md`)
  if (found !== undefined) return `/${found.path}${hash}`
  if (!existsSync(join(ROOT, target))) throw new Error(`${page.source}: the link to ${href} leads nowhere`)
  return `${REPOSITORY}/blob/main/${target}${hash}`
}
