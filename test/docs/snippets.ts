import { extname, join } from 'node:path/posix'

/** What a marker names: a file, or parts of it, each between `// #region name` and `// #endregion`. */
interface Source {
  readonly path: string
  readonly regions: readonly string[]
}

// A marker, and the code block that follows it, if there is one already.
const MARKED = /^<!-- snippet: ([^\s#]+)(?:#([\w,-]+))? -->\n(?:\n?```[^\n]*\n[\s\S]*?^```\n)?/gm
const REGION_END = /^\s*\/\/ #endregion/
const LANGUAGES: Readonly<Record<string, string>> = {
  '.ts': 'ts',
  '.sql': 'sql',
  '.json': 'json',
  '.txt': 'text',
}

/**
 * A page with each of its marked blocks replaced by what its source says now.
 *
 * A marker stands on a line of its own, `<!-- snippet: path#region,region -->`, with a path from the root.
 * @throws Error for a path or a region that does not exist.
 */
export function weave(page: string, read: (path: string) => string): string {
  return page.replaceAll(MARKED, (_, path: string, names: string | undefined) => {
    const language = LANGUAGES[extname(path)] ?? 'text'
    const marker = names === undefined ? path : `${path}#${names}`
    const text = textOf({ path, regions: names?.split(',') ?? [] }, read)
    return `<!-- snippet: ${marker} -->\n\n\`\`\`${language}\n${text}\n\`\`\`\n`
  })
}

/** The TypeScript blocks of a page that no marker stands before. Answers the line numbers. */
export function unmarkedBlocks(page: string): number[] {
  const lines = page.split('\n')
  return lines.flatMap((line, index) => {
    if (!/^\s*```(ts|typescript|js|javascript)\b/.test(line)) return []
    const before = lines.slice(0, index).findLast((each) => each.trim() !== '') ?? ''
    return before.startsWith('<!-- snippet: ') ? [] : [index + 1]
  })
}

function textOf({ path, regions }: Source, read: (path: string) => string): string {
  const text = read(join('.', path)).trimEnd()
  if (regions.length === 0) return text
  return regions.map((region) => regionOf(text, region, path)).join('\n\n')
}

function regionOf(text: string, region: string, path: string): string {
  const lines = text.split('\n')
  const start = lines.findIndex((line) => line.trim() === `// #region ${region}`)
  const end = lines.findIndex((line, index) => index > start && REGION_END.test(line))
  if (start === -1 || end === -1) throw new Error(`${path} has no region ${region}`)
  return dedented(lines.slice(start + 1, end)).join('\n')
}

function dedented(lines: readonly string[]): string[] {
  const indents = lines
    .filter((line) => line.trim() !== '')
    .map((line) => line.length - line.trimStart().length)
  const indent = Math.min(...indents)
  return lines.map((line) => line.slice(indent))
}
