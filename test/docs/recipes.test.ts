// The programs of docs/recipes.md and docs/upgrading.md that need a server, each in a process of its own.
import { fileURLToPath } from 'node:url'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'
import { runProgram } from '../packaging/program.ts'

const FOLDER = fileURLToPath(new URL('recipes', import.meta.url))

async function printed(name: string, variable: string, url: string): Promise<string> {
  const args = [`${variable}=${url}`, process.execPath, '--conditions=@oncemq/source', `${name}.ts`]
  const { code, output } = await runProgram('env', args, FOLDER)
  expect(code, output).toBe(0)
  return output
}

describeService('rabbitmq-4.0', ({ url }) => {
  test.each(['rabbitmq-client', 'connection-manager', 'moving'])('%s', async (name) => {
    await expect(await printed(name, 'AMQP_URL', url)).toMatchFileSnapshot(`${FOLDER}/${name}.txt`)
  })
})

describeService('redis-8', ({ url }) => {
  test('bullmq', async () => {
    await expect(await printed('bullmq', 'REDIS_URL', url)).toMatchFileSnapshot(`${FOLDER}/bullmq.txt`)
  })
})
