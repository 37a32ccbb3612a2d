import type { SourceFile, Violation } from './files.ts'

// Written in parts, since this file is checked too.
const FOLDERS = ['ro' + 'ot', 'wo' + 'rk', 'Us' + 'ers'].join('|')
// Not below another folder, save for `file:///`.
const HOST_PATHS = new RegExp(String.raw`(?:(?<![\w.\-*}/])|(?<=file://))/(?:${FOLDERS})(?![\w-])`)
const REGISTRIES = new RegExp(
  [
    String.raw`regis` + String.raw`try\.(npmjs|yarnpkg|npmmirror)\.`,
    String.raw`re` + String.raw`po1?\.maven\.`,
    String.raw`maven\.` + String.raw`google\.`,
    String.raw`(deb|security|snapshot)\.` + String.raw`debian\.org`,
    String.raw`(archive|ports)\.` + String.raw`ubuntu\.com`,
    String.raw`py` + String.raw`pi\.org`,
    String.raw`files\.` + String.raw`pythonhosted\.`,
    String.raw`npm\.pkg\.` + String.raw`github\.`,
  ].join('|'),
  'i',
)

/** Nothing of the machine that the code was written on: no path of it, no mirror that it happens to use. */
export function leaks(files: readonly SourceFile[]): Violation[] {
  return files.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) => leaksOf(path, line, index + 1)),
  )
}

function leaksOf(path: string, text: string, line: number): Violation[] {
  const found: Violation[] = []
  if (HOST_PATHS.test(text)) found.push({ path, line, message: 'names a folder of one machine: derive it' })
  if (REGISTRIES.test(text))
    found.push({ path, line, message: "names a registry: the machine's own settings decide" })
  return found
}
