import { PermanentError } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'
import { connected, deduplicator, newQueue, quiet, readyIn, until, consuming } from './set-up.ts'

for (const server of ['rabbitmq-4.0', 'rabbitmq-3.10'] as const) {
  describeService(server, ({ url }) => {
    test('a message is handled once, with its context', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection)
      const seen: unknown[] = []
      const consumer = await consuming({
        connection,
        queue,
        dedup: deduplicator(),
        handler: (message, { key, epoch, attempt }) => {
          seen.push([message.content.toString(), key, epoch, attempt])
        },
      })
      for (const id of ['a', 'b', 'a', 'c', 'b']) await send(id)
      await until('three messages', () => seen.length === 3)
      await quiet()
      expect(seen).toEqual(['a', 'b', 'c'].map((id) => [id, id, 1, 1]))
      await consumer.close()
      expect(await readyIn(connection, queue)).toBe(0)
    })

    test.each(['classic', 'quorum'] as const)(
      'a handler that throws is tried again later, and waits where it is (%s)',
      async (type) => {
        const connection = await connected(url)
        const { queue, send } = await newQueue(connection, type)
        const attempts: number[] = []
        const consumer = await consuming({
          connection,
          queue,
          dedup: deduplicator(),
          retry: { firstMs: 200 },
          handler: (_message, { attempt }) => {
            attempts.push(attempt)
            if (attempt < 3) throw new Error('not yet')
          },
        })
        await send('a', 'body', { headers: { mine: 'x' } })
        await until('three attempts', () => attempts.length === 3)
        expect(attempts).toEqual([1, 2, 3])
        await consumer.close()
        expect(await readyIn(connection, queue)).toBe(0)
        expect(await readyIn(connection, `${queue}.retry.200`)).toBeUndefined()
      },
    )

    test('a PermanentError parks the message at once', async () => {
      let runs = 0
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection)
      await consuming({
        connection,
        queue,
        dedup: deduplicator(),
        handler: () => {
          runs += 1
          throw new PermanentError('never')
        },
      })
      await send('a')
      await until('a parked message', async () => (await readyIn(connection, `${queue}.parked`)) === 1)
      expect(runs).toBe(1)
    })
  })
}
