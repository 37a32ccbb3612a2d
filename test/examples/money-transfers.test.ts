// The money is there to the cent, on every store with transactions, whoever is killed meanwhile.
import { expect, test } from 'vitest'
import { describeService } from '../services/client/describe-service.ts'
import { EXAMPLES, ownDatabase, runExample } from './run-example.ts'

const TEST_MS = 120_000
/** What node prints of it, and once how to learn more. Such a transfer is rolled back, and done later. */
const LOST_LEASE =
  /^\(node:\d+\) OncemqWarning: bank: a lease of \d+ ms was lost .*\n(\(Use `node --trace-warn.*\n)?/gm

const STORES = [
  ['postgres', 'postgres-18', 'ONCEMQ_POSTGRES_URL', []],
  ['mysql', 'mysql-8.0', 'ONCEMQ_MYSQL_URL', []],
  // The server ends the transactions of killed workers after this, and not after a minute.
  ['mongodb', 'mongodb-6', 'ONCEMQ_MONGODB_URL', ['--setParameter', 'transactionLifetimeLimitSeconds=2']],
] as const

function transfersOn(store: string, placeOf: () => Promise<Record<string, string>>): void {
  test(store, { timeout: TEST_MS }, async () => {
    const options = { args: ['--store', store], env: await placeOf() }
    const { code, stdout, stderr } = await runExample('money-transfers', options)
    // All that it says there, but for what a busy machine does to a lease; a failure tells the seed by it.
    expect(stderr.replaceAll(LOST_LEASE, '')).toMatch(/^seed \d+: .*\n$/)
    await expect(stdout, stderr).toMatchFileSnapshot(`${EXAMPLES}/money-transfers/output.txt`)
    expect(code, stderr).toBe(0)
  })
}

describeService('rabbitmq-4.0', (rabbitmq) => {
  const env = { ONCEMQ_RABBITMQ_URL: rabbitmq.url }
  transfersOn('sqlite', async () => env)
  for (const [store, name, variable, args] of STORES) {
    describeService(name, { args }, (server) =>
      transfersOn(store, async () => ({ ...env, [variable]: await ownDatabase(server) })),
    )
  }
})
