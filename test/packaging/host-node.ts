import { execFileSync } from 'node:child_process'

export interface HostNode {
  readonly path: string
  readonly version: readonly [major: number, minor: number]
}

/**
 * The Node.js that users of this machine have, which may be older than the one that runs the tests: npm names
 * it. Without npm it is the one that runs the tests.
 */
export function hostNode(): HostNode {
  const path = process.env['npm_node_execpath'] ?? process.execPath
  return { path, version: parse(execFileSync(path, ['--version'], { encoding: 'utf8' })) }
}

/** The Node.js that runs the tests. */
export const ownNode: HostNode = { path: process.execPath, version: parse(process.version) }

/** Whether a package's `engines.node`, which is always of the form `>=20` or `>=22.13`, admits this one. */
export function admits(range: string, { version }: HostNode): boolean {
  if (!/^>=\d+(\.\d+){0,2}$/.test(range))
    throw new Error(`expected engines.node like ">=20", received "${range}"`)
  return isAtLeast(version, parse(range))
}

function isAtLeast(
  [major, minor]: HostNode['version'],
  [wantedMajor, wantedMinor]: HostNode['version'],
): boolean {
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
}

function parse(text: string): [number, number] {
  const [major = 0, minor = 0] = (text.match(/\d+/g) ?? []).map(Number)
  return [major, minor]
}
