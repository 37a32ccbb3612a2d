// What stands in the packages beside their code: what npm shows of them, and what debuggers need.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { packAll, publicManifests, ROOT, unpack } from './tarballs.ts'

const BUILD_TIMEOUT_MS = 300_000
const KEYWORDS_MIN = 4
/** How large the code of a package may become, in KiB. Each is some quarter above what it is today. */
const SIZE_MAX_KIB: Readonly<Record<string, number>> = { '@oncemq/core': 320, '@oncemq/conformance': 200 }
const SIZE_DEFAULT_KIB = 120

interface Published {
  readonly [field: string]: unknown
  readonly keywords: readonly string[]
  readonly engines: { readonly node: string }
  readonly repository: { readonly directory: string }
}

const folder = mkdtempSync(join(tmpdir(), 'oncemq-published-'))
const root = read(ROOT, 'package.json') as Published

beforeAll(async () => {
  for (const { file, manifest } of await packAll()) await unpack(file, join(folder, manifest.name))
}, BUILD_TIMEOUT_MS)

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

function read(...path: readonly string[]): unknown {
  return JSON.parse(readFileSync(join(...path), 'utf8'))
}

function filesOf(name: string, pattern: RegExp): string[] {
  return readdirSync(join(folder, name), { recursive: true, encoding: 'utf8' }).filter((path) =>
    pattern.test(path),
  )
}

describe.each(publicManifests())('$name', ({ name }) => {
  const home = join(folder, name)

  test('says what it is, and where it comes from as the root says it', () => {
    const { homepage, bugs, license, repository, keywords, ...own } = read(home, 'package.json') as Published
    expect({ bugs, license }).toEqual({ bugs: root['bugs'], license: root['license'] })
    const { directory, ...place } = repository
    expect(place).toEqual(root.repository)
    const { name: source } = read(ROOT, directory, 'package.json') as Published
    expect(source).toBe(name)
    expect(homepage).toContain(`/tree/main/${directory}#readme`)
    expect(own['description']).toEqual(expect.stringMatching(/^.{20,120}$/))
    expect(keywords.length).toBeGreaterThanOrEqual(KEYWORDS_MIN)
    expect(readFileSync(join(home, 'LICENSE'), 'utf8')).toBe(readFileSync(join(ROOT, 'LICENSE'), 'utf8'))
  })

  test('runs on the Node.js that all run on, but for what needs more of it', () => {
    const { engines } = read(home, 'package.json') as Published
    expect(engines.node).toBe(name === '@oncemq/sqlite' ? '>=22.16' : '>=20.12')
  })

  test('leaves core, which has one state, to who installs it', () => {
    const { dependencies = {}, peerDependencies = {} } = read(home, 'package.json') as {
      dependencies?: object
      peerDependencies?: object
    }
    expect(dependencies).not.toHaveProperty(['@oncemq/core'])
    expect('@oncemq/core' in peerDependencies).toBe(name !== '@oncemq/core')
    expect(JSON.stringify([dependencies, peerDependencies])).not.toContain('workspace:')
  })

  test('its README leads to pages that are there, from wherever it is read', () => {
    const links = [...readFileSync(join(home, 'README.md'), 'utf8').matchAll(/\]\(([^)\s]+)\)/g)]
    for (const [, target = ''] of links) expect(target).toMatch(/^(https:\/\/|#)/)
    const page = String(root['homepage']).replace(/#.*$/, '')
    const own = links.map(([, target = '']) => target).filter((target) => target.startsWith(page))
    for (const target of own) {
      const path = /\/blob\/main\/([^#]+)/.exec(target)?.[1] ?? ''
      expect(statSync(join(ROOT, path), { throwIfNoEntry: false }), target).toBeDefined()
    }
  })

  test('has a source map, with the sources, for all of its code', () => {
    const code = filesOf(name, /\.js$/)
    expect(code).not.toEqual([])
    for (const file of code) {
      const map = read(home, `${file}.map`) as { sources: string[]; sourcesContent: (string | null)[] }
      const sources = map.sources.map((source) => join(file, '..', source))
      expect(sources.filter((source) => !/^src\/.*\.ts$/.test(source))).toEqual([])
      expect(map.sourcesContent).toHaveLength(sources.length)
      expect(readFileSync(join(home, file), 'utf8')).toMatch(/\n\/\/# sourceMappingURL=[\w-]+\.js\.map\n$/)
    }
  })

  test('has no more code than it may', () => {
    const bytes = filesOf(name, /\.js$/).map((file) => statSync(join(home, file)).size)
    const kib = bytes.reduce((sum, each) => sum + each, 0) / 1024
    expect(kib).toBeLessThan(SIZE_MAX_KIB[name] ?? SIZE_DEFAULT_KIB)
  })
})
