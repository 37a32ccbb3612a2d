// Tells of each test of amqplib's own suite in a line of JSON.
import type { TestEvent } from 'node:test/reporters'
import type { UpstreamResult } from './config.ts'

export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of events) {
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue
    const { name, details } = event.data
    if (details.type === 'suite') continue
    const error = 'error' in details ? String(details.error.cause ?? details.error) : undefined
    const result: UpstreamResult = { name, passed: event.type === 'test:pass', error }
    yield `${JSON.stringify(result)}\n`
  }
}
