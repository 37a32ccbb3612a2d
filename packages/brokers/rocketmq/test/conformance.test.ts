// Takes two minutes, since a message that is not acked is hidden for ten seconds at least:
//   ONCEMQ_SOAK=1 npm run vitest -- packages/brokers/rocketmq/test/conformance.test.ts
import { testBroker } from '@oncemq/conformance'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'
import { openBench } from './bench.ts'

const SOAK = process.env['ONCEMQ_SOAK'] === '1'
const SERVERS = SOAK ? (['rocketmq-fast'] as const) : []
const WAIT_MS = 40_000

test('it takes minutes', ({ skip }) => {
  skip(!SOAK, 'set ONCEMQ_SOAK=1 to run it')
  expect(SERVERS).toHaveLength(1)
})

for (const name of SERVERS)
  describeService(name, ({ url }) => {
    testBroker('managed', { waitMs: WAIT_MS, open: ({ namespace }) => openBench(url, namespace) })
  })
