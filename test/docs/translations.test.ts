// Pages in Chinese stay in step with the English ones: same headings, code, tables, lists and links.
import { describe, expect, test } from 'vitest'
import type { SourceFile } from '../tidy/files.ts'
import { pages } from './pages.ts'

const SUFFIX = '.zh-CN.md'
const translations = pages.filter(({ path }) => path.endsWith(SUFFIX))

/** What a translation has in common with its original, in its order. */
function skeletonOf({ text }: SourceFile): string[] {
  const isKept = /^(#+ |<!-- snippet: .*|```\w*|\| |- )/
  return text.split('\n').flatMap((line) => {
    const [kept] = isKept.exec(line) ?? []
    const links = [...line.matchAll(/\]\(([^)]+)\)/g)].map(([, target = '']) => `link ${plain(target)}`)
    const code = [...line.matchAll(/`([^`]+)`/g)].map(([, name = '']) => `code ${name}`)
    return [...(kept === undefined ? [] : [kept]), ...[...links, ...code].toSorted()]
  })
}

/** Each may lead to the page in its own language. */
function plain(target: string): string {
  return target.replace(SUFFIX, '.md')
}

/** Lines break elsewhere in the other language, so that what is in a paragraph may stand on another line. */
function comparable(page: SourceFile): string[] {
  const skeleton: string[] = []
  let loose: string[] = []
  for (const each of skeletonOf(page)) {
    if (/^(link|code) /.test(each)) loose.push(each)
    else {
      skeleton.push(...loose.toSorted(), each)
      loose = []
    }
  }
  return [...skeleton, ...loose.toSorted()]
}

test('there are some', () => {
  expect(translations.map(({ path }) => path)).toContain(`README${SUFFIX}`)
})

describe.each(translations)('$path', (translation) => {
  test('has what its original has', () => {
    const original = pages.find(({ path }) => path === translation.path.replace(SUFFIX, '.md'))
    expect(original, 'its original').toBeDefined()
    const isLanguage = (each: string): boolean => each === `link ${original?.path}`
    const of = (page: SourceFile): string[] => comparable(page).filter((each) => !isLanguage(each))
    expect(of(translation)).toEqual(of(original as SourceFile))
  })
})
