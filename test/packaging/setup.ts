import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RUN_FOLDER } from './tarballs.ts'

/** Runs once around all tests: the files that ask for the packages share one build. */
export default function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'oncemq-run-'))
  process.env[RUN_FOLDER] = folder
  return () => rmSync(folder, { recursive: true, force: true })
}
