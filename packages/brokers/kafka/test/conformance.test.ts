import { testBroker } from '@oncemq/conformance'
import { describeService } from '@oncemq/test-services/vitest'
import { openBench } from './bench.ts'

// Its cases mostly wait, side by side.
const slow = { waitMs: 30_000, concurrent: true }

const eachMessage = {
  'handing back': 'a consumer that is disconnected waits for its eachMessage',
  middlewares: 'eachMessage has none',
  'several at once': 'eachMessage gets the next record of a partition when it has done with the one before',
  'bounded close': 'a consumer that is disconnected waits for its eachMessage',
}

const eachBatch = {
  ...eachMessage,
  context: 'eachBatch is handed the batch alone',
  'dead-lettering': 'which record of the batch it was that threw is not known',
  errors: 'which record of the batch it was that threw is not known',
}

describeService('kafka-4.4', ({ url }) => {
  testBroker('managed', { open: ({ namespace }) => openBench(url, namespace, 'managed'), ...slow })
  testBroker('managed, platformatic', {
    open: ({ namespace }) => openBench(url, namespace, 'platformatic'),
    ...slow,
  })
  testBroker('drop-in, eachMessage', {
    open: ({ namespace }) => openBench(url, namespace, 'eachMessage'),
    lacks: eachMessage,
    ...slow,
  })
  testBroker('drop-in, eachBatch', {
    open: ({ namespace }) => openBench(url, namespace, 'eachBatch'),
    lacks: eachBatch,
    ...slow,
  })
})
