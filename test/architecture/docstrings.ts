import { dirname, join } from 'node:path/posix'
import { parseSync } from 'oxc-parser'
import type { StaticExportEntry, Statement } from 'oxc-parser'
import type { SourceFile, Violation } from '../tidy/files.ts'
import { lineCounter } from '../tidy/syntax.ts'

interface Manifest {
  readonly exports?: Readonly<Record<string, string | { readonly '@oncemq/source'?: string }>>
}

/** A docstring that says something before its first tag. */
const SUMMARY = /^\*[\s*]*[^\s*@]/

/** A file as others see it. */
interface Module {
  readonly exported: readonly StaticExportEntry[]
  /** Of a name that is declared here: where first, and whether one of its declarations has a docstring. */
  find(name: string): { readonly line: number; readonly isDocumented: boolean }
}

/** Whatever a door exports has a docstring that begins with a sentence: the site's reference lists these. */
export function docstrings(files: readonly SourceFile[]): Violation[] {
  const modules = new Map<string, Module>()
  const found = new Map<string, Violation>()
  const read = (path: string): Module => {
    const module = modules.get(path) ?? readModule(path, files)
    modules.set(path, module)
    return module
  }
  const judge = (path: string, wanted?: string) => {
    const module = read(path)
    for (const { exportName, importName, localName, moduleRequest } of module.exported) {
      // `export *` has no name: whatever is wanted may come from there.
      const name = exportName.name ?? wanted
      if (wanted !== undefined && name !== wanted) continue
      // Of what another package exports, that package's doors are judged.
      if (moduleRequest?.value.startsWith('.') === true)
        judge(join(path, '..', moduleRequest.value), importName.name ?? wanted)
      if (moduleRequest !== null) continue
      const { line, isDocumented } = module.find(localName.name ?? '')
      if (isDocumented) continue
      found.set(`${path} ${name}`, {
        path,
        line,
        message: `"${name}" is public: say in a docstring what it is`,
      })
    }
  }
  for (const door of files.flatMap(doorsOf)) judge(door)
  return [...found.values()]
}

function doorsOf({ path, text }: SourceFile): string[] {
  if (!/^packages\/.*\/package\.json$/.test(path)) return []
  const { exports = {} } = JSON.parse(text) as Manifest
  return Object.values(exports).flatMap((entry) => {
    const source = typeof entry === 'string' ? undefined : entry['@oncemq/source']
    return source === undefined ? [] : [join(dirname(path), source)]
  })
}

function readModule(path: string, files: readonly SourceFile[]): Module {
  const text = files.find((file) => file.path === path)?.text
  if (text === undefined) throw new Error(`${path} is exported by a door of a package, and is missing`)
  const { program, module, comments } = parseSync(path, text)
  const lineAt = lineCounter(text)
  const ends = new Set(comments.filter(({ value }) => SUMMARY.test(value)).map(({ end }) => end))
  const isDocumented = ({ start }: Statement) => ends.has(text.slice(0, start).trimEnd().length)
  return {
    exported: module.staticExports.flatMap(({ entries }) => entries),
    find(name) {
      const statements = program.body.filter((statement) => namesOf(statement).includes(name))
      return { line: lineAt(statements[0]?.start ?? 0), isDocumented: statements.some(isDocumented) }
    },
  }
}

/** What a statement declares. */
function namesOf(statement: Statement): string[] {
  const declaration = statement.type === 'ExportNamedDeclaration' ? statement.declaration : statement
  if (declaration === null) return []
  const ids = declaration.type === 'VariableDeclaration' ? declaration.declarations : [declaration]
  return ids.flatMap((each) => ('id' in each && each.id?.type === 'Identifier' ? [each.id.name] : []))
}
