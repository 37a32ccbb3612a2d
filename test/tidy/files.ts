import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** A text file of the repository; `path` is relative to the root, with forward slashes. */
export interface SourceFile {
  readonly path: string
  readonly text: string
}

/** Where a rule is broken. `line` is absent where the whole file, or its name, is at fault. */
export interface Violation {
  readonly path: string
  readonly line?: number
  readonly message: string
}

/** A rule sees all files at once, so that it can also be asked about files that do not exist. */
export type Rule = (files: readonly SourceFile[]) => Violation[]

// In a second worktree `.git` is a file, which names the folder of the first one.
const SKIPPED = new Set(['.git', '.cache', 'node_modules', 'dist', 'coverage'])
const TEXT_FILE = /\.(ts|mts|cts|js|mjs|cjs|jsonc?|ya?ml|md|sh|sql|lua|java|xml|pml|conf|toml)$/
const TEXT_NAME = /(^|\/)(\.\w+|run|LICENSE|Dockerfile)$/
const CODE_FILE = /\.(ts|mts|cts|js|mjs|cjs)$/

/** Reads the tree and not git's index: a rule holds for what is about to be added, and without git too. */
export function readTree(root: string, folder = ''): SourceFile[] {
  const files: SourceFile[] = []
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    if (SKIPPED.has(entry.name)) continue
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) files.push(...readTree(root, path))
    if (entry.isFile() && isText(path)) files.push(read(root, path))
  }
  return files
}

function isText(path: string): boolean {
  return TEXT_FILE.test(path) || TEXT_NAME.test(path)
}

function read(root: string, path: string): SourceFile {
  return { path, text: readFileSync(join(root, path), 'utf8') }
}

/** TypeScript and JavaScript: what a parser can read. */
export function isCode(path: string): boolean {
  return CODE_FILE.test(path)
}

/** One line a violation, as an editor makes them clickable. */
export function format({ path, line, message }: Violation): string {
  return line === undefined ? `${path}: ${message}` : `${path}:${line}: ${message}`
}
