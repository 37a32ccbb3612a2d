import { testBroker } from '@oncemq/conformance'
import { watermark } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { openBench } from './bench.ts'
import { SuiteLogStore } from './suite-log-store.ts'

const lacks = {
  'several at once': "a stream's messages are handled one after the other",
}

for (const name of ['rabbitmq-4.0', 'rabbitmq-3.10'] as const) {
  describeService(name, ({ url }) => {
    testBroker('managed, stream', {
      open: ({ namespace }) => openBench(url, namespace, 'managed', 'stream'),
      openStore: () => new SuiteLogStore(),
      // With records, so that the properties of keys are kept too.
      dedup: { strategy: watermark({ record: true }), storeReadableKey: true },
      lacks,
      concurrent: true,
      quietMs: 500,
    })
  })
}
