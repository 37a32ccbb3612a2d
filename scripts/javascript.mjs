// The JavaScript of a package: CommonJS for `require`, and for `import` a door of a few lines to the same
// modules. A process that loads both forms so has each module once: one state, one class of each name.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import { build, transform } from 'esbuild'

// The oldest Node that the packages promise.
const TARGET = 'node20.12'
// These can be loaded by `import` alone. What needs them at once is a module in earnest, without a door.
const MODULES_ALONE = new Set(['vitest'])

/** Builds what the entries `{ name, source }` need into the package's `dist`, and empties that before. */
export async function buildJavaScript(root, { folder, entries }) {
  const home = join(root, folder)
  const dist = join(home, 'dist')
  rmSync(dist, { recursive: true, force: true })
  const { metafile } = await build({
    absWorkingDir: home,
    entryPoints: entries.map(({ name, source }) => ({ in: join(home, source), out: name })),
    outdir: dist,
    outExtension: { '.js': '.mjs' },
    target: TARGET,
    platform: 'node',
    format: 'esm',
    bundle: true,
    // Entries share chunks, and with them their state. esbuild splits modules alone: they are changed below.
    splitting: true,
    packages: 'external',
    sourcemap: true,
    metafile: true,
    logLevel: 'warning',
  })
  const outputs = outputsOf(metafile, home, dist)
  for (const { name } of outputs) await makeCommonJs(dist, name)
  if (outputs.some(({ imports }) => imports.some(({ path }) => MODULES_ALONE.has(path)))) return
  for (const name of readdirSync(dist, { recursive: true })) {
    if (/\.mjs(\.map)?$/.test(name)) rmSync(join(dist, name))
  }
  for (const { name, exports, entryPoint } of outputs) {
    if (entryPoint !== undefined) writeFileSync(join(dist, `${name}.mjs`), doorTo(name, exports))
  }
}

function outputsOf(metafile, home, dist) {
  return Object.entries(metafile.outputs)
    .filter(([path]) => path.endsWith('.mjs'))
    .map(([path, output]) => ({ ...output, name: relative(dist, join(home, path)).slice(0, -'.mjs'.length) }))
}

/** Lists the names, which Node would find by itself and some bundlers do not. */
function doorTo(name, exports) {
  return `export { ${exports.join(', ')} } from './${basename(name)}.js'\n`
}

/** Makes `x.js` of the module `x.mjs`, with a source map that leads to the sources all the same. */
async function makeCommonJs(dist, name) {
  const text = readFileSync(join(dist, `${name}.mjs`), 'utf8').replace(/^\/\/# sourceMappingURL=.*\n?/m, '')
  const map = readFileSync(join(dist, `${name}.mjs.map`)).toString('base64')
  const { code, map: made } = await transform(
    `${text}\n//# sourceMappingURL=data:application/json;base64,${map}\n`,
    {
      target: TARGET,
      platform: 'node',
      format: 'cjs',
      sourcemap: 'external',
      sourcefile: `${basename(name)}.mjs`,
      // Drivers are loaded by `require`: in jest there is no `import()`.
      supported: { 'dynamic-import': false },
      define: { 'import.meta.url': '__filename' },
      logLevel: 'warning',
    },
  )
  const file = `${basename(name)}.js`
  const linked = code.replace(/require\("(\.{1,2}\/[^"]+)\.mjs"\)/g, 'require("$1.js")')
  writeFileSync(join(dist, `${name}.js`), `${linked}//# sourceMappingURL=${file}.map\n`)
  writeFileSync(join(dist, `${name}.js.map`), withinPackage(made))
}

/**
 * `dist` is the package's own root where it is installed, so that its sources seem to stand beside the
 * package. They are in the map itself, and are named as if they were inside.
 */
function withinPackage(map) {
  const content = JSON.parse(map)
  return JSON.stringify({
    ...content,
    sources: content.sources.map((source) => source.replace('../src/', 'src/')),
  })
}
