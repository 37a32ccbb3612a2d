// Builds the site into `site/dist`, from the pages and the docstrings as they are now; `--serve` shows it.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { build, serve } from 'vitepress'
import { withLock } from '../scripts/lock.mjs'
import { deadLinks } from './dead-links.ts'
import { readPages, ROOT } from './pages.ts'
import { writeReference } from './reference.ts'

const SITE = join(ROOT, 'site')
const STAGED = join(SITE, '.cache/pages')

async function stage(): Promise<void> {
  rmSync(STAGED, { recursive: true, force: true })
  for (const { path, text } of readPages()) {
    const file = join(STAGED, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  await writeReference(join(STAGED, 'api'))
}

async function make(): Promise<void> {
  await stage()
  await build(SITE)
  const dead = deadLinks(join(SITE, 'dist'), process.env['ONCEMQ_SITE_BASE'] ?? '/')
  if (dead.length > 0) throw new Error(`links lead nowhere:\n${dead.join('\n')}`)
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { serve: { type: 'boolean' } } })
  const announceWait = (): void => console.log('docs: waiting for another build of the site')
  await withLock(join(SITE, '.cache/build.lock'), announceWait, make)
  if (values.serve === true) await serve({ root: SITE })
}

try {
  await main()
} catch (error) {
  console.error(error instanceof Error ? `docs: ${error.message}` : error)
  process.exitCode = 1
}
