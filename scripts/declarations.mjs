// The declarations of all packages, by one run of TypeScript: they see each other's sources, so that no order
// matters and nothing is read twice.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'

/** Answers whether it went well; TypeScript says by itself what did not. */
export function buildDeclarations(root, packages) {
  const folder = mkdtempSync(join(root, '.cache', 'declarations-'))
  try {
    const config = join(folder, 'tsconfig.json')
    writeFileSync(config, JSON.stringify(configFor(root, packages, folder)))
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const { status } = spawnSync(process.execPath, [tsc, '--project', config], {
      cwd: root,
      stdio: 'inherit',
    })
    if (status !== 0) return false
    for (const { folder: home, entries } of packages) {
      const target = join(root, home, 'dist')
      cpSync(join(folder, 'out', home, 'src'), target, { recursive: true })
      renameImports(target)
      for (const { name } of entries) writeDoor(target, name)
    }
    return true
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Types for `import`: the same ones, so that they fit what came by `require`. */
function writeDoor(target, name) {
  writeFileSync(join(target, `${name}.d.mts`), `export * from './${basename(name)}.js'\n`)
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

function configFor(root, packages, folder) {
  return {
    extends: join(root, 'tsconfig.base.json'),
    compilerOptions: {
      customConditions: ['@oncemq/source'],
      // No more than the oldest Node.js has that the packages promise.
      lib: ['es2023', 'es2024.string', 'esnext.disposable'],
      types: ['node'],
      typeRoots: [join(root, 'node_modules/@types')],
      declaration: true,
      emitDeclarationOnly: true,
      stripInternal: true,
      rootDir: root,
      outDir: join(folder, 'out'),
    },
    include: packages.map((entry) => join(root, entry.folder, 'src')),
    exclude: packages.map((entry) => join(root, entry.folder, 'src/**/*.test.ts')),
  }
}
