import type { Node } from 'oxc-parser'
import { isCode } from '../tidy/files.ts'
import type { SourceFile, Violation } from '../tidy/files.ts'
import { lineCounter, visit } from '../tidy/syntax.ts'

/** Where classes come from of which a process may have two copies. */
const SHARED = /^@oncemq\/|\/errors\.ts$/
const SOURCE = /^packages\/.+\/src\/(?!.*\.test\.ts$)/

/** What is published asks for a brand or a code, never `instanceof`, of what another copy of core makes. */
export function brands(files: readonly SourceFile[]): Violation[] {
  return files.filter(({ path }) => SOURCE.test(path) && isCode(path)).flatMap(brandsOf)
}

function brandsOf(file: SourceFile): Violation[] {
  const lineAt = lineCounter(file.text)
  const shared = new Set<string>()
  const found: Violation[] = []
  visit(file, {
    ImportDeclaration({ source, specifiers }) {
      if (SHARED.test(source.value)) for (const { local } of specifiers) shared.add(local.name)
    },
  })
  visit(file, {
    BinaryExpression({ operator, right }: { operator: string; right: Node }) {
      if (operator !== 'instanceof' || right.type !== 'Identifier' || !shared.has(right.name)) return
      const message = `"instanceof ${right.name}" knows one copy alone: ask isOncemqError() and the code`
      found.push({ path: file.path, line: lineAt(right.start), message })
    },
  })
  return found
}
