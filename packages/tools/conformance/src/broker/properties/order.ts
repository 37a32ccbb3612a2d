import assert from 'node:assert/strict'
import type { BrokerProperty } from '../property.ts'

export const order: BrokerProperty = {
  name: 'order',
  cases: [
    {
      name: 'handlers of granted messages start in the order in which the messages were sent',
      async run({ seen, send, consume, until }) {
        const keys = Array.from({ length: 40 }, (_, position) => `k${position}`)
        await send(
          ...keys.flatMap((key, position) => (position % 3 === 2 ? [key, keys[position - 2] ?? key] : [key])),
        )
        await consume({ concurrency: 50 })
        await until('all are handled', () => seen.length === keys.length)
        assert.deepEqual(
          seen.map(({ key }) => key),
          keys,
        )
      },
    },
  ],
}
