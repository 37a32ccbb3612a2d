import { expect, test } from 'vitest'
import { publicManifests } from './tarballs.ts'

// Drivers and clients are meant: core is released together with the others, and frameworks are no drivers.
const OTHERS = /^(?:vitest|rxjs|@nestjs\/.+|@oncemq\/.+)$/

const ranges = publicManifests().flatMap(({ name, peerDependencies = {}, devDependencies = {} }) =>
  Object.entries(peerDependencies)
    .filter(([peer]) => !OTHERS.test(peer))
    .map(([peer, range]) => ({ name, peer, range, tried: triedOf(peer, devDependencies) })),
)

/** The versions of a driver that a package is tested with: its own, and those under other names. */
function triedOf(peer: string, devDependencies: Readonly<Record<string, string>>): string[] {
  const own = Object.entries(devDependencies).filter(([name]) => name === peer)
  const others = Object.values(devDependencies).filter((version) => version.startsWith(`npm:${peer}@`))
  return [...own.map(([, version]) => version), ...others.map((version) => version.split('@').at(-1) ?? '')]
}

/** `^8.12.0` or `>=6.20.0 <8`. */
function endsOf(range: string): { readonly oldest: string; readonly newestMajor: number } {
  const [, caret, from, below] = /^(?:\^([\d.]+)|>=([\d.]+) <(\d+))$/.exec(range) ?? []
  if (caret !== undefined) return { oldest: caret, newestMajor: Number.parseInt(caret) }
  if (from !== undefined) return { oldest: from, newestMajor: Number(below) - 1 }
  throw new Error(`expected a range like ^8.12.0 or >=6.20.0 <8, received ${range}`)
}

test('there are ranges', () => {
  expect(ranges.length).toBeGreaterThan(6)
})

test.each(ranges)('$name is tested at both ends of $peer $range', ({ range, tried }) => {
  const { oldest, newestMajor } = endsOf(range)
  expect(tried).toContain(oldest)
  expect(tried.map((version) => Number.parseInt(version))).toContain(newestMajor)
})
