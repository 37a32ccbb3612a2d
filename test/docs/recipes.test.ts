// The programs of docs/recipes.md that need a server, each in a process of its own.
import { fileURLToPath } from 'node:url'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'
import { runProgram } from '../packaging/program.ts'

const FOLDER = fileURLToPath(new URL('recipes', import.meta.url))

async function printed(name: string, variable: string, url: string): Promise<void> {
  const args = [`${variable}=${url}`, process.execPath, '--conditions=@oncemq/source', `${name}.ts`]
  const { code, output } = await runProgram('env', args, FOLDER)
  expect(code, output).toBe(0)
  await expect(output).toMatchFileSnapshot(`${FOLDER}/${name}.txt`)
}

describeService('rabbitmq-4.0', ({ url }) => {
  test.each(['rabbitmq-client', 'connection-manager'])('%s', (name) => printed(name, 'AMQP_URL', url))
})

describeService('redis-8', ({ url }) => {
  test('bullmq', () => printed('bullmq', 'REDIS_URL', url))
})
