import { testBroker } from '@oncemq/conformance'
import { describeService } from '@oncemq/test-services/vitest'
import { openBench } from './bench.ts'

// Its cases mostly wait, side by side.
const slow = { waitMs: 30_000, concurrent: true }

describeService('kafka-4.4', ({ url }) => {
  testBroker('managed', { open: ({ namespace }) => openBench(url, namespace), ...slow })
})
