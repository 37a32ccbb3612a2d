import { testBroker } from '@oncemq/conformance'
import { watermark } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { openBench } from './bench.ts'
import { SuiteLogStore } from './suite-log-store.ts'

const lacks = {
  'several at once': "a stream's messages are handled one after the other",
  redelivery: 'the log says where to go on, and what outlives its connection is rolled back',
}

describeService('rabbitmq-4.0', ({ url }) => {
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
