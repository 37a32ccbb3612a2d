import type { SourceFile, Violation } from './files.ts'

// Drawers for what nobody has thought about. A file is named after the one thing it holds.
const DRAWERS = new Set(['common', 'helper', 'helpers', 'lib', 'misc', 'util', 'utils'])

/** No folder and no file with a name that says nothing. */
export function names(files: readonly SourceFile[]): Violation[] {
  return files.flatMap(({ path }) => {
    const drawer = path.split('/').find((part) => DRAWERS.has(stem(part)))
    if (drawer === undefined) return []
    return [{ path, message: `"${drawer}" says nothing: name it after the one thing it holds` }]
  })
}

function stem(part: string): string {
  return (
    part
      .toLowerCase()
      .split('.')
      .find((piece) => piece !== '') ?? ''
  )
}
