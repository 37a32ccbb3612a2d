import { dirname, join } from 'node:path/posix'
import { slugOf } from '../../site/slug.ts'
import type { SourceFile } from '../tidy/files.ts'

const LINK = /(?<!!)\[[^\]]*\]\(([^)\s]+)\)/g
/** An address, and no path. */
export const ELSEWHERE = /^[a-z][a-z0-9+.-]*:/

/**
 * The links of a page that lead nowhere in the repository: a file that is not there, or a heading that its
 * page does not have. Answers them as they are written.
 */
export function brokenLinks(
  page: SourceFile,
  files: readonly SourceFile[],
  exists: (path: string) => boolean,
): string[] {
  return linksOf(page.text).filter(
    (target) => !ELSEWHERE.test(target) && !resolves(target, page, files, exists),
  )
}

/** Where the links of a text lead, as they are written. */
export function linksOf(text: string): string[] {
  return [...withoutCode(text).matchAll(LINK)].map(([, target = '']) => target)
}

function resolves(
  target: string,
  page: SourceFile,
  files: readonly SourceFile[],
  exists: (path: string) => boolean,
): boolean {
  const [file = '', anchor] = target.split('#')
  const path = file === '' ? page.path : join(dirname(page.path), file)
  if (!exists(path)) return false
  if (anchor === undefined) return true
  const text = files.find((each) => each.path === path)?.text
  return text !== undefined && anchorsOf(text).includes(anchor)
}

export function anchorsOf(text: string): string[] {
  return [...withoutCode(text).matchAll(/^#{1,6} +(.+)$/gm)].map(([, heading = '']) => slugOf(heading))
}

function withoutCode(text: string): string {
  return text.replaceAll(/^```[\s\S]*?^```/gm, '')
}
