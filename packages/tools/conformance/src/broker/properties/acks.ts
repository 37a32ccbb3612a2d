import type { BrokerProperty } from '../property.ts'

export const acks: BrokerProperty = {
  name: 'acks',
  cases: [
    {
      name: 'a message is acked only after its key is done',
      async run({ bench, store, seen, send, consume, deduplicator, until, quiet }) {
        const dedup = deduplicator()
        await dedup.open()
        // It is a record too, and has to be there before completions are kept waiting.
        await dedup.secret()
        store.hold()
        const consumer = await consume({ dedup })
        await send('a')
        await until('a is handled', () => seen.length === 1)
        await quiet()
        await consumer.cut()
        await until('the broker has it again', async () => (await bench.remaining()) === 1)
        store.letGo()
      },
    },
    {
      name: 'a message whose handler runs is not acked yet',
      async run({ bench, send, consume, until, quiet, latch }) {
        const finish = latch()
        let starts = 0
        const consumer = await consume({
          async handler() {
            starts += 1
            await finish.opened
          },
        })
        await send('a')
        await until('the handler runs', () => starts === 1)
        await quiet()
        await consumer.cut()
        await until('the broker has it again', async () => (await bench.remaining()) === 1)
        finish.open()
      },
    },
  ],
}
