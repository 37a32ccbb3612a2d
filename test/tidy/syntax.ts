import { parseSync, Visitor } from 'oxc-parser'
import type { Node, VisitorObject } from 'oxc-parser'
import type { SourceFile } from './files.ts'

/** Parses one file and walks it; throws with the file's path where it cannot be parsed. */
export function visit(file: SourceFile, visitor: VisitorObject): void {
  const result = parseSync(file.path, file.text)
  const [error] = result.errors
  if (error !== undefined) throw new Error(`${file.path} cannot be parsed: ${error.message}`)
  new Visitor(visitor).visit(result.program)
}

/** Turns offsets into line numbers, counted from 1. */
export function lineCounter(text: string): (offset: number) => number {
  const starts = [0]
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return (offset) => {
    let low = 0
    let high = starts.length
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if ((starts[middle] ?? Infinity) <= offset) low = middle
      else high = middle
    }
    return low + 1
  }
}

/** `a` for `a`, `a.b` for `a.b`; undefined for anything that is not a plain dotted name. */
export function dottedName(node: Node): string | undefined {
  if (node.type === 'Identifier') return node.name
  if (node.type !== 'MemberExpression' || node.computed || node.property.type !== 'Identifier')
    return undefined
  const object = dottedName(node.object)
  return object === undefined ? undefined : `${object}.${node.property.name}`
}
