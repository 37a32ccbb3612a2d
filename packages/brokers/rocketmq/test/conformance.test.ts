import { testBroker } from '@oncemq/conformance'
import { describeService } from '@oncemq/test-services/vitest'
import { openBench } from './bench.ts'

// A message that was not acked is hidden for ten seconds at least: its cases mostly wait, side by side.
const slow = { waitMs: 40_000, concurrent: true }
const simple = {
  'dead-lettering': 'a SimpleConsumer has no call that dead-letters a message',
  middlewares: 'a wrapped consumer has none',
  errors: 'changeInvisibleDuration does not say why',
  answers: 'what a program does with a message is nothing to a SimpleConsumer',
  'bounded close': "the shutdown of a SimpleConsumer does not wait for the user's code",
}
const push = {
  'handing back': 'the shutdown of a PushConsumer handles all that it was handed',
  middlewares: 'a wrapped listener has none',
  answers: 'a listener answers SUCCESS or FAILURE',
  'bounded close': 'the shutdown of a PushConsumer waits for its listener',
}

describeService('rocketmq-fast', ({ url }) => {
  testBroker('managed', { open: ({ namespace }) => openBench(url, namespace, 'managed'), ...slow })
  testBroker('drop-in, SimpleConsumer', {
    open: ({ namespace }) => openBench(url, namespace, 'simple'),
    lacks: simple,
    ...slow,
  })
  testBroker('drop-in, PushConsumer', {
    open: ({ namespace }) => openBench(url, namespace, 'push'),
    lacks: push,
    ...slow,
  })
})
