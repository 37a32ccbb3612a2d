import { connect } from 'amqplib'
import { expect, test } from 'vitest'
import { describeService } from './client/describe-service.ts'

describeService('rabbitmq-4.0', (server) => {
  test('serves', async () => {
    const connection = await connect(server.url)
    const channel = await connection.createConfirmChannel()
    const { queue } = await channel.assertQueue('x', {
      durable: true,
      arguments: { 'x-queue-type': 'quorum' },
    })
    channel.sendToQueue(queue, Buffer.from('1'))
    await channel.waitForConfirms()
    expect((await channel.checkQueue(queue)).messageCount).toBe(1)
    await connection.close()
  })
})
describeService('rabbitmq-3.10', { own: true }, (server) => {
  test('serves', async () => {
    const connection = await connect(server.url)
    expect(connection.connection?.serverProperties?.version).toBe('3.10.8')
    await connection.close()
    await server.kill9()
    expect(server.pid).toBeUndefined()
    await server.start()
    await (await connect(server.url)).close()
  })
})
