import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SourceFile } from '../tidy/files.ts'
import { readTree } from '../tidy/files.ts'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export const files = readTree(ROOT)

/** What people read: the pages at the top, in `docs`, and of each package and example. */
export const pages: readonly SourceFile[] = files.filter(
  ({ path }) =>
    /^(README(\.zh-CN)?|CONTRIBUTING|SECURITY|CODE_OF_CONDUCT)\.md$/.test(path) ||
    /^(docs|packages|examples)\/.*\.md$/.test(path),
)

export function pathOf(page: SourceFile): string {
  return join(ROOT, page.path)
}
