import type { Node } from 'oxc-parser'
import { isCode } from '../tidy/files.ts'
import type { SourceFile } from '../tidy/files.ts'
import { lineCounter, visit } from '../tidy/syntax.ts'

/** One `import`, `export ... from` or `import()`; types count, since a reader follows them too. */
export interface Import {
  readonly from: string
  readonly line: number
  readonly specifier: string
}

/** Every import of the code files, in the order in which they stand. */
export function findImports(files: readonly SourceFile[]): Import[] {
  return files.filter(({ path }) => isCode(path)).flatMap(importsOf)
}

function importsOf(file: SourceFile): Import[] {
  const lineAt = lineCounter(file.text)
  const found: Import[] = []
  const add = ({ source }: { source: Node | null }) => {
    // A computed specifier cannot be judged; only a literal names a module.
    if (source?.type !== 'Literal' || typeof source.value !== 'string') return
    found.push({ from: file.path, line: lineAt(source.start), specifier: source.value })
  }
  visit(file, {
    ImportDeclaration: add,
    ExportNamedDeclaration: add,
    ExportAllDeclaration: add,
    ImportExpression: add,
    TSImportType: add,
  })
  return found
}
