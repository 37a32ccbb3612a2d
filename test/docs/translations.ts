import { dirname, join } from 'node:path/posix'
import type { SourceFile } from '../tidy/files.ts'
import { anchorsOf, ELSEWHERE, linksOf } from './links.ts'

const PAGE = /^(.+)\.zh-CN\.md$/
const GUIDE = /^docs\/zh-CN\/(.+)$/
/** What begins a part of a page: a heading, a marker, a row, an item, or an empty line. */
const PART = /^(?:#+ |<!-- snippet: .*|\| |- |\d+\. |$)/

/** Of which page a path is the translation: `docs/zh-CN/a.md` of `docs/a.md`, `A.zh-CN.md` of `A.md`. */
export function originalOf(path: string): string | undefined {
  const [, page] = PAGE.exec(path) ?? []
  if (page !== undefined) return `${page}.md`
  const [, guide] = GUIDE.exec(path) ?? []
  return guide === undefined ? undefined : `docs/${guide}`
}

/**
 * What a translation has in common with its original, in its order: headings by their levels, code as it is,
 * rows, items, and what each paragraph, row or item names in code and links to. Lines break elsewhere in the
 * other language, and words stand in another order.
 */
export function skeletonOf(page: SourceFile, pages: readonly SourceFile[]): string[] {
  const original = originalOf(page.path) ?? page.path
  const skeleton: string[] = []
  let words = ''
  let isCode = false
  const endWords = (): void => {
    const names = [...words.matchAll(/`([^`]+)`/g)].map(
      ([, name = '']) => `code ${name.replaceAll(/\s+/g, ' ')}`,
    )
    const links = linksOf(words)
      .map((target) => placeOf(target, page.path, pages))
      // To the page in the other language.
      .filter((place) => place !== original)
    skeleton.push(...names.toSorted(), ...links.map((place) => `link ${place}`).toSorted())
    words = ''
  }
  for (const line of page.text.split('\n')) {
    const isFence = line.startsWith('```')
    const [kept] = isFence || isCode ? [line] : (PART.exec(line) ?? [])
    if (isFence) isCode = !isCode
    if (kept !== undefined) endWords()
    if (kept !== undefined && kept !== '') skeleton.push(kept)
    if (kept !== line) words += `${line}\n`
  }
  endWords()
  return skeleton
}

/** The links of a translation to pages that are there in its own language too. */
export function foreignLinks({ path, text }: SourceFile, pages: readonly SourceFile[]): string[] {
  const translated = new Set(pages.map((page) => originalOf(page.path)))
  const own = originalOf(path)
  return linksOf(text).filter((target) => {
    if (ELSEWHERE.test(target)) return false
    const page = pageAt(target, path, pages)
    return page !== own && translated.has(page)
  })
}

/** Where a link leads: an original page, and which of its headings, since headings are translated. */
function placeOf(target: string, from: string, pages: readonly SourceFile[]): string {
  if (ELSEWHERE.test(target)) return target
  const path = pageAt(target, from, pages)
  const [, anchor] = target.split('#')
  const page = originalOf(path) ?? path
  const text = pages.find((each) => each.path === path)?.text
  if (anchor === undefined || text === undefined) return page
  return `${page} heading ${anchorsOf(text).indexOf(anchor)}`
}

/** The path that a link leads to; of a folder that of its README, which a forge shows with it. */
function pageAt(target: string, from: string, pages: readonly SourceFile[]): string {
  const [file = ''] = target.split('#')
  const path = file === '' ? from : join(dirname(from), file)
  const readme = join(path, 'README.md')
  return pages.some((page) => page.path === readme) ? readme : path
}
