// What the demo relies on in the embedded broker: it delivers again as RabbitMQ does.
import type { ConsumeMessage } from 'amqplib'
import { connect } from '@onify/fake-amqplib'
import { expect, test } from 'vitest'

const URL = 'amqp://embedded-test'

test('what is unacked when its connection breaks is delivered again, marked as such', async () => {
  const first = await connect(URL)
  const second = await connect(URL)
  const sender = await second.createConfirmChannel()
  await sender.assertQueue('payments')
  const delivered = await new Promise<ConsumeMessage>((resolve) => {
    void first
      .createChannel()
      .then((channel) => channel.consume('payments', (message) => message && resolve(message)))
    sender.sendToQueue('payments', Buffer.from('once'), { messageId: 'm1' })
  })
  expect(delivered.fields.redelivered).toBeFalsy()
  await first.close()
  const again = await new Promise<ConsumeMessage>((resolve) => {
    void sender.consume('payments', (message) => message && resolve(message))
  })
  expect(again.fields.redelivered).toBe(true)
  expect(again.properties.messageId).toBe('m1')
  expect(again.content.toString()).toBe('once')
  await second.close()
})
