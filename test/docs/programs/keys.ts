// How a key is scoped by its sender, so that no sender uses up the keys of another one.
import { createDeduplicator, MemoryStore } from '@oncemq/core'

interface Message {
  readonly properties: { readonly userId?: string | undefined; readonly messageId?: string | undefined }
}

// #region scoped
/** RabbitMQ checks `userId` against the sender's connection; a message without one has no key. */
const key = ({ properties: { userId, messageId } }: Message) =>
  userId === undefined || messageId === undefined ? undefined : [userId, messageId]
// #endregion

const dedup = createDeduplicator({
  store: new MemoryStore(),
  consumerGroup: 'billing',
  onMissingKey: 'reject',
})
for (const userId of ['shop-a', 'shop-b', 'shop-a', undefined]) {
  const message = { properties: { userId, messageId: 'order-1' } }
  const { status } = await dedup.process({ key: key(message), source: 'orders' }, () => {})
  console.log(`order-1 of ${userId ?? 'nobody'}: ${status}`)
}
await dedup.close()
