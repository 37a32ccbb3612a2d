// The order service prints the same on every store.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { describeService } from '../services/client/describe-service.ts'
import { EXAMPLES, ownDatabase, runExample } from './run-example.ts'

const STORES = [
  ['mongodb', 'mongodb-6', 'ONCEMQ_MONGODB_URL'],
  ['postgres', 'postgres-18', 'ONCEMQ_POSTGRES_URL'],
  ['mysql', 'mysql-8.0', 'ONCEMQ_MYSQL_URL'],
] as const

async function expectOutput(store: string, env: Record<string, string>): Promise<void> {
  const { code, stdout, stderr } = await runExample('order-service', { args: ['--store', store], env })
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  await expect(stdout).toMatchFileSnapshot(`${EXAMPLES}/order-service/output.txt`)
}

test('a store that it does not know is told', async () => {
  const { code, stderr } = await runExample('order-service', { args: ['--store', 'paper'] })
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: '--store: expected one of sqlite, mongodb, redis, postgres, mysql\n',
  })
})

describeService('rabbitmq-4.0', (rabbitmq) => {
  test('sqlite', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'oncemq-orders-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const ONCEMQ_SQLITE_PATH = join(folder, 'oncemq.db')
    await expectOutput('sqlite', { ONCEMQ_RABBITMQ_URL: rabbitmq.url, ONCEMQ_SQLITE_PATH })
  })

  // Otherwise a warning says that a crash of the server may forget what was done.
  describeService('redis-8', { args: ['--appendfsync', 'always'] }, ({ url }) => {
    test('redis', () => expectOutput('redis', { ONCEMQ_RABBITMQ_URL: rabbitmq.url, ONCEMQ_REDIS_URL: url }))
  })

  for (const [store, name, variable] of STORES) {
    describeService(name, (server) => {
      test(store, async () => {
        const place = { [variable]: await ownDatabase(server) }
        await expectOutput(store, { ONCEMQ_RABBITMQ_URL: rabbitmq.url, ...place })
      })
    })
  }
})
