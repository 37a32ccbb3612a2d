// Builds every package into its `dist`, which is then the package as it is published, with a package.json of
// its own. What is built follows from each package.json: an export or a bin that points at `./dist/x.js` is
// made from `src/x.ts`. A new package needs no configuration of its own. `--pack=FOLDER` also puts there what
// would be published.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { buildDeclarations } from './declarations.mjs'
import { packageFolders } from './fingerprint.mjs'
import { buildJavaScript } from './javascript.mjs'
import { withLock } from './lock.mjs'
import { entriesOf, writePublished } from './published.mjs'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const PNPM = join(ROOT, 'node_modules/pnpm/bin/pnpm.cjs')

function readManifest(folder) {
  return JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8'))
}

function publicPackages() {
  return packageFolders(ROOT)
    .filter((folder) => folder.startsWith('packages/'))
    .map((folder) => ({ folder, manifest: readManifest(folder) }))
    .filter(({ folder, manifest }) => manifest.private !== true && existsSync(join(ROOT, folder, 'src')))
    .map((each) => ({ ...each, entries: entriesOf(each.manifest) }))
}

function pack(folder) {
  mkdirSync(folder, { recursive: true })
  const args = [PNPM, '--recursive', '--filter=./packages/**', 'pack', `--pack-destination=${folder}`]
  const { status } = spawnSync(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] })
  if (status !== 0) throw new Error('the packages could not be packed: see above')
}

async function buildAll() {
  const started = performance.now()
  const packages = publicPackages()
  const root = readManifest('.')
  for (const entry of packages) {
    await buildJavaScript(ROOT, entry)
    writePublished(ROOT, entry, root)
  }
  if (!buildDeclarations(ROOT, packages)) throw new Error('the declarations could not be built: see above')
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
