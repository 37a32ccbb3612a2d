import type { Node } from 'oxc-parser'
import { isCode } from './files.ts'
import type { SourceFile, Violation } from './files.ts'
import { dottedName, lineCounter, visit } from './syntax.ts'

export const FILE_LINES_MAX = 350
export const FUNCTION_LINES_MAX = 60
export const LINE_CHARACTERS_MAX = 110

const HAND_WRITTEN = /\.(ts|mts|cts|js|mjs|cjs|sh|sql|lua|java|pml)$|(^|\/)\.ci\/run$/
// A describe block holds tests as a file holds functions; the tests in it are measured themselves.
const CONTAINER = /^describe(Service)?(\.|$)/

/** Files and lines that fit a screen. Data and prose are not code: JSON, YAML, Markdown are exempt. */
export function size(files: readonly SourceFile[]): Violation[] {
  return files
    .filter(({ path }) => HAND_WRITTEN.test(path))
    .flatMap((file) => [...fileSize(file), ...longLines(file)])
}

function fileSize({ path, text }: SourceFile): Violation[] {
  const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
  if (lines <= FILE_LINES_MAX) return []
  return [
    { path, message: `the file has ${lines} lines, at most ${FILE_LINES_MAX}: split it by what it holds` },
  ]
}

function longLines({ path, text }: SourceFile): Violation[] {
  return text.split('\n').flatMap((line, index) => {
    if (line.length <= LINE_CHARACTERS_MAX) return []
    const message = `the line has ${line.length} characters, at most ${LINE_CHARACTERS_MAX}`
    return [{ path, line: index + 1, message }]
  })
}

/** Functions that fit a screen, measured from their first to their last line. */
export function functionSize(files: readonly SourceFile[]): Violation[] {
  return files.filter(({ path }) => isCode(path)).flatMap(functionSizeOf)
}

function functionSizeOf(file: SourceFile): Violation[] {
  const lineAt = lineCounter(file.text)
  const containers = new Set<Node>()
  const found: Violation[] = []
  const measure = (node: Node) => {
    const line = lineAt(node.start)
    const lines = lineAt(node.end) - line + 1
    if (lines <= FUNCTION_LINES_MAX || containers.has(node)) return
    found.push({
      path: file.path,
      line,
      message: `the function has ${lines} lines, at most ${FUNCTION_LINES_MAX}`,
    })
  }
  visit(file, {
    CallExpression(node) {
      if (CONTAINER.test(calledName(node.callee)))
        for (const argument of node.arguments) containers.add(argument)
    },
    FunctionDeclaration: measure,
    FunctionExpression: measure,
    ArrowFunctionExpression: measure,
  })
  return found
}

// `describe.skipIf(condition)('name', ...)` calls what a call gave back.
function calledName(callee: Node): string {
  if (callee.type === 'CallExpression') return calledName(callee.callee)
  return dottedName(callee) ?? ''
}
