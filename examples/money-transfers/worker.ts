// One consumer process. It runs until it is told to stop, its parent is gone, or it is killed.
import { connect } from 'amqplib'
import { createDeduplicator } from '@oncemq/core'
import { consume } from '@oncemq/rabbitmq'
import { RETRY_MS } from './assignment.ts'
import type { Assignment } from './assignment.ts'
import { openBank } from './banks/index.ts'
import type { Transfer } from './transfers.ts'
import { postingsOf } from './transfers.ts'

/** Says it, and goes on when it is said: time to be killed in the middle. */
function tell(what: 'ready' | 'halfway'): Promise<void> {
  return new Promise((resolve) => process.send?.(what, () => resolve()))
}

async function run({ bank: name, run, url, queue }: Assignment): Promise<void> {
  const bank = await openBank(name, run)
  const connection = await connect(url)
  // #region worker
  const dedup = createDeduplicator({
    store: bank.store,
    consumerGroup: 'bank',
    strategy: 'transactional',
    leaseMs: 3000, // how long the transfers of a killed worker wait
    attemptsMax: 100, // to be killed is no fault of the transfer's
  })
  const consumer = await consume({
    connection,
    queue,
    dedup,
    prefetch: 4,
    retry: { firstMs: RETRY_MS, maxMs: RETRY_MS },
    handler: async (message, { tx }) => {
      const transfer = JSON.parse(message.content.toString()) as Transfer
      const [first, second] = postingsOf(transfer)
      await bank.post(tx, first)
      await tell('halfway')
      await bank.post(tx, second)
      await bank.enter(tx, transfer.id)
    },
  })
  // #endregion
  await tell('ready')
  await new Promise((resolve) => process.once('message', resolve))
  await consumer.close()
  await dedup.close()
  await connection.close()
  await bank.close()
  process.disconnect()
}

process.once('disconnect', () => process.exit())
await run(JSON.parse(process.argv[2] ?? '') as Assignment)
