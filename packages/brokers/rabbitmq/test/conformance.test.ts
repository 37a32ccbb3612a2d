import { testBroker } from '@oncemq/conformance'
import { describeService } from '@oncemq/test-services/vitest'
import { openBench } from './bench.ts'

const lacks = {
  counting: "a nack of a message without a key is the broker's to count",
  middlewares: 'a wrapped channel has none',
  errors: 'a nack does not say why',
  answers: 'what a callback answers is nothing to amqplib',
  'bounded close': "closing a channel does not wait for the user's code",
}

// Its cases mostly wait, so they do so side by side; what must not come is given longer for that.
const options = { concurrent: true, quietMs: 500 }

for (const name of ['rabbitmq-4.0', 'rabbitmq-3.10'] as const) {
  describeService(name, ({ url }) => {
    testBroker('drop-in', {
      ...options,
      lacks,
      open: ({ namespace }) => openBench(url, namespace, 'drop-in'),
    })
    testBroker('managed', { ...options, open: ({ namespace }) => openBench(url, namespace, 'managed') })
  })
}

describeService('rabbitmq-4.0', ({ url }) => {
  testBroker('managed, quorum', {
    ...options,
    open: ({ namespace }) => openBench(url, namespace, 'managed', 'quorum'),
  })
})
