import { join } from 'node:path/posix'
import type { SourceFile, Violation } from '../tidy/files.ts'
import { findImports } from './imports.ts'

/** No file reaches itself through its imports: a package reads from the bottom up. */
export function cycles(files: readonly SourceFile[]): Violation[] {
  const graph = relativeImports(files)
  const finished = new Set<string>()
  const found: Violation[] = []
  const walk = (path: string, trail: readonly string[]) => {
    const start = trail.indexOf(path)
    if (start !== -1) {
      const circle = [...trail.slice(start), path].join(' -> ')
      found.push({ path, message: `is part of a cycle: ${circle}` })
      return
    }
    if (finished.has(path)) return
    for (const next of graph.get(path) ?? []) walk(next, [...trail, path])
    finished.add(path)
  }
  for (const path of graph.keys()) walk(path, [])
  return found
}

function relativeImports(files: readonly SourceFile[]): Map<string, string[]> {
  const graph = new Map<string, string[]>()
  for (const { from, specifier } of findImports(files)) {
    if (!specifier.startsWith('.')) continue
    const targets = graph.get(from) ?? []
    targets.push(join(from, '..', specifier))
    graph.set(from, targets)
  }
  return graph
}
