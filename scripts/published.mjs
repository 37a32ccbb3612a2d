// What a package is published as, beside its code: the package.json and the pages that npm shows. Where the
// project is comes from the root's package.json, and how a package is loaded from its own exports.
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, posix } from 'node:path'

const BRANCH = 'main'

/** `./dist/store/index.js` -> `{ name: 'store/index', source: 'src/store/index.ts' }`. */
export function entriesOf({ exports = {}, bin = {} }) {
  const targets = [...Object.values(exports).map((entry) => entry.default), ...Object.values(bin)]
  return [...new Set(targets.map(nameOf))].map((name) => ({ name, source: `src/${name}.ts` }))
}

function nameOf(target) {
  const name = /^\.\/dist\/(.+)\.js$/.exec(target ?? '')?.[1]
  if (name !== undefined) return name
  throw new Error(`expected an export or bin like ./dist/index.js, received ${target}`)
}

/** Writes into `dist` all that is not code. */
export function writePublished(root, { folder, manifest }, rootManifest) {
  const dist = join(root, folder, 'dist')
  const published = publishedManifest({ folder, manifest }, rootManifest)
  writeFileSync(join(dist, 'package.json'), `${JSON.stringify(published, undefined, 2)}\n`)
  const readme = readFileSync(join(root, folder, 'README.md'), 'utf8')
  writeFileSync(join(dist, 'README.md'), absoluteLinks(readme, folder, pageOf(rootManifest)))
  copyFileSync(join(root, 'LICENSE'), join(dist, 'LICENSE'))
  // Changesets writes it at the first release.
  const changes = join(root, folder, 'CHANGELOG.md')
  if (existsSync(changes)) copyFileSync(changes, join(dist, 'CHANGELOG.md'))
}

/** But for `workspace:` ranges, which pnpm replaces when it packs. */
function publishedManifest({ folder, manifest }, root) {
  const { exports, bin, devDependencies: _, publishConfig, ...own } = manifest
  const { directory: _directory, linkDirectory: _linked, ...publish } = publishConfig
  return {
    ...own,
    repository: { ...root.repository, directory: folder },
    homepage: `${pageOf(root)}/tree/${BRANCH}/${folder}#readme`,
    bugs: root.bugs,
    // For tools that do not read `exports`. Further entries they find by their folders.
    type: 'commonjs',
    main: './index.js',
    types: './index.d.ts',
    exports: {
      ...mapped(exports, conditionsOf),
      './package.json': './package.json',
    },
    ...(bin === undefined ? {} : { bin: mapped(bin, (target) => `./${nameOf(target)}.js`) }),
    publishConfig: publish,
  }
}

function conditionsOf(entry) {
  const path = `./${nameOf(entry.default)}`
  return {
    import: { types: `${path}.d.mts`, default: `${path}.mjs` },
    default: { types: `${path}.d.ts`, default: `${path}.js` },
  }
}

function mapped(object, change) {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]))
}

/** The repository's page: `git+https://host/owner/name.git` without what makes it an address for git. */
function pageOf({ repository }) {
  return repository.url.replace(/^git\+/, '').replace(/\.git$/, '')
}

/** npm shows a README far from the files that it links to. */
function absoluteLinks(text, folder, page) {
  return text.replaceAll(/\]\((?![a-z][a-z0-9+.-]*:|#)([^)\s]+)\)/g, (_, target) => {
    return `](${page}/blob/${BRANCH}/${posix.join(folder, target)})`
  })
}
