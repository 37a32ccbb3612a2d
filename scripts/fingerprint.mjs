// Says whether the set-up is done already: a hash over everything that decides what is installed. A fresh
// clone has no stamp; a changed dependency gives another hash; anything else costs a few milliseconds.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const STAMP = join('node_modules', '.oncemq-setup')
const INPUTS = ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml']
const ROOTS = ['packages', 'examples', 'test', 'site']
const DEPTH_MAX = 2

/** @returns {string[]} the folders, relative to the root, that hold a package.json. */
export function packageFolders(root) {
  const found = []
  const visit = (folder, depth) => {
    if (existsSync(join(root, folder, 'package.json'))) found.push(folder)
    else if (depth < DEPTH_MAX) for (const child of subfolders(root, folder)) visit(child, depth + 1)
  }
  for (const folder of ROOTS) visit(folder, 0)
  return found.sort()
}

function subfolders(root, folder) {
  const path = join(root, folder)
  if (!existsSync(path)) return []
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'node_modules')
    .map((entry) => `${folder}/${entry.name}`)
}

export function fingerprint(root) {
  // The platform counts: a working tree mounted into a container of another kind needs another Node binary.
  const hash = createHash('sha256').update(`${process.platform}-${process.arch}\n`)
  for (const path of [...INPUTS, ...packageFolders(root).map((folder) => `${folder}/package.json`)]) {
    const file = join(root, path)
    hash.update(`${path}\n`)
    if (existsSync(file)) hash.update(readFileSync(file))
  }
  return hash.digest('hex')
}

export function isStamped(root, value) {
  const file = join(root, STAMP)
  return existsSync(file) && readFileSync(file, 'utf8') === value
}

export function stamp(root, value) {
  const file = join(root, STAMP)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, value)
}
