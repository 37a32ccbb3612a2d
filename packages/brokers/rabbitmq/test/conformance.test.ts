import { testBroker } from '@oncemq/conformance'
import { describeService } from '@oncemq/test-services/vitest'
import { openBench } from './bench.ts'

for (const name of ['rabbitmq-4.0', 'rabbitmq-3.10'] as const) {
  describeService(name, ({ url }) => {
    testBroker('drop-in', { open: ({ namespace }) => openBench(url, namespace, 'drop-in') })
    testBroker('managed', { open: ({ namespace }) => openBench(url, namespace, 'managed') })
  })
}

describeService('rabbitmq-4.0', ({ url }) => {
  testBroker('managed, quorum', { open: ({ namespace }) => openBench(url, namespace, 'managed', 'quorum') })
})
