// The programs whose parts the pages show, each in a process of its own.
import { readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { runProgram } from '../packaging/program.ts'

const FOLDER = fileURLToPath(new URL('programs', import.meta.url))

const names = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.ts'))
  .map((file) => basename(file, '.ts'))

test.each(names)('%s', async (name) => {
  const args = ['--conditions=@oncemq/source', `${name}.ts`]
  const { code, output } = await runProgram(process.execPath, args, FOLDER)
  expect(code, output).toBe(0)
  await expect(output).toMatchFileSnapshot(`${FOLDER}/${name}.txt`)
})
