// Builds every package in one go: tsup makes the JavaScript, TypeScript the declarations (tsup cannot with
// TypeScript 7, which has no compiler API). What is built follows from each package.json: an export or a bin
// that points at `./dist/x.js` is made from `src/x.ts`. A new package needs no configuration of its own.
// `--pack=FOLDER` also puts there what would be published.
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { build } from 'tsup'
import { packageFolders } from './fingerprint.mjs'
import { withLock } from './lock.mjs'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')
const PNPM = join(ROOT, 'node_modules/pnpm/bin/pnpm.cjs')
// The oldest Node that the packages promise.
const TARGET = 'node20'

function publicPackages() {
  return packageFolders(ROOT)
    .filter((folder) => folder.startsWith('packages/'))
    .map((folder) => ({
      folder,
      manifest: JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8')),
    }))
    .filter(({ folder, manifest }) => manifest.private !== true && existsSync(join(ROOT, folder, 'src')))
}

/** `./dist/index.js` -> `{ index: <folder>/src/index.ts }`, for all that exports and bin point at. */
function entriesOf({ folder, manifest: { exports = {}, bin = {} } }) {
  const targets = [...Object.values(exports).map((entry) => entry.default), ...Object.values(bin)]
  const names = targets.map((target) => /^\.\/dist\/(.+)\.js$/.exec(target ?? '')?.[1])
  return Object.fromEntries(
    names.filter((name) => name !== undefined).map((name) => [name, join(ROOT, folder, 'src', `${name}.ts`)]),
  )
}

async function buildJavaScript(entry) {
  const folder = join(ROOT, entry.folder)
  process.chdir(folder) // tsup reads the package.json of the folder it is in, to know what is external.
  await build({
    config: false,
    entry: entriesOf(entry),
    outDir: join(folder, 'dist'),
    format: 'esm',
    target: TARGET,
    platform: 'node',
    removeNodeProtocol: false, // `node:sqlite` exists with its prefix only.
    dts: false,
    sourcemap: true,
    clean: true,
    silent: true,
  })
}

// One run for all: the packages see each other's sources, so that no order matters and nothing is read twice.
function buildDeclarations(packages) {
  mkdirSync(join(ROOT, '.cache'), { recursive: true })
  const folder = mkdtempSync(join(ROOT, '.cache', 'declarations-'))
  try {
    const config = join(folder, 'tsconfig.json')
    writeFileSync(config, JSON.stringify(declarationConfig(packages, folder)))
    const { status } = spawnSync(process.execPath, [TSC, '--project', config], {
      cwd: ROOT,
      stdio: 'inherit',
    })
    if (status !== 0) return false
    for (const { folder: home } of packages) {
      const target = join(ROOT, home, 'dist')
      cpSync(join(folder, 'out', home, 'src'), target, { recursive: true })
      renameImports(target)
    }
    return true
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

// The sources import `./a.ts`, and TypeScript leaves that as it is in declarations; only its newest versions
// follow such a path to `a.d.ts`, while every version follows `./a.js`.
function renameImports(folder) {
  for (const name of readdirSync(folder, { recursive: true })) {
    if (!name.endsWith('.d.ts')) continue
    const file = join(folder, name)
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, text.replace(/((?:from|import)[\s(]*)(['"])(\.{1,2}\/[^'"]+)\.ts\2/g, '$1$2$3.js$2'))
  }
}

function declarationConfig(packages, folder) {
  return {
    extends: join(ROOT, 'tsconfig.base.json'),
    compilerOptions: {
      customConditions: ['@oncemq/source'],
      types: ['node'],
      typeRoots: [join(ROOT, 'node_modules/@types')],
      declaration: true,
      emitDeclarationOnly: true,
      stripInternal: true,
      rootDir: ROOT,
      outDir: join(folder, 'out'),
    },
    include: packages.map((entry) => join(ROOT, entry.folder, 'src')),
    exclude: packages.map((entry) => join(ROOT, entry.folder, 'src/**/*.test.ts')),
  }
}

function pack(folder) {
  const args = [PNPM, '--recursive', '--filter=./packages/**', 'pack', `--pack-destination=${folder}`]
  const { status } = spawnSync(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] })
  if (status !== 0) throw new Error('the packages could not be packed: see above')
}

async function buildAll() {
  const started = performance.now()
  const packages = publicPackages()
  for (const entry of packages) await buildJavaScript(entry)
  process.chdir(ROOT)
  if (!buildDeclarations(packages)) throw new Error('the declarations could not be built: see above')
  console.log(`${packages.length} packages built in ${((performance.now() - started) / 1000).toFixed(1)} s`)
}

async function main() {
  const { values } = parseArgs({ options: { pack: { type: 'string' } } })
  // A build empties `dist` first: another must not pack at that moment.
  await withLock(
    join(ROOT, '.cache', 'build.lock'),
    () => console.log('waiting for another build'),
    async () => {
      await buildAll()
      if (values.pack !== undefined) pack(resolve(values.pack))
    },
  )
}

try {
  await main()
} catch (error) {
  console.error(`build: ${error.message}`)
  process.exitCode = 1
}
