// One message from an ordinary publisher, made to harm its neighbours.
import { describeService } from '@oncemq/test-services/vitest'
import { connect, type ConfirmChannel, type ConsumeMessage } from 'amqplib'
import rhea from 'rhea'
import { describe, expect, onTestFinished, test } from 'vitest'
import { connected, deduplicator, newQueue, quiet, readyIn, until, consuming } from './set-up.ts'

const RETRY = { firstMs: 100, factor: 1 }
/** Fewer messages wait where they are than fit, so that copies of the others are made. */
const PREFETCH = 1
const LONG_MS = 60_000

async function drained(channel: ConfirmChannel, queue: string) {
  const messages: Pick<ConsumeMessage, 'content' | 'properties'>[] = []
  for (;;) {
    const message = await channel.get(queue, { noAck: true })
    if (message === false) return messages
    messages.push(message)
  }
}

/** Sends a poison, then ten that are well, through a consumer whose handler fails each of them twice. */
async function poisoned(
  url: string,
  type: 'classic' | 'quorum',
  poison: (send: Awaited<ReturnType<typeof newQueue>>) => Promise<void>,
) {
  const connection = await connected(url)
  const target = await newQueue(connection, type)
  const { queue, channel, send } = target
  const runs = new Map<string, number>()
  const done: string[] = []
  const ends: unknown[] = []
  const dedup = deduplicator({ attemptsMax: 3, onMissingKey: 'process' })
  await consuming({
    connection,
    queue,
    dedup,
    prefetch: PREFETCH,
    retry: RETRY,
    waitQueueType: 'classic',
    onEnd: (error) => ends.push(error),
    handler: ({ content }, { attempt }) => {
      const body = content.toString()
      runs.set(body, (runs.get(body) ?? 0) + 1)
      if (body === 'poison' || attempt < 3) throw new Error('not yet')
      done.push(body)
    },
  })
  await poison(target)
  const ids = Array.from({ length: 10 }, (_, position) => `m${position}`)
  for (const id of ids) await send(id)
  await until('all that are well', () => done.length === ids.length, 30_000)
  const parked = `${queue}.parked`
  await until('the poison', async () => ((await readyIn(connection, parked)) ?? 0) > 0, 30_000)
  await quiet()
  expect(ids.map((id) => runs.get(id))).toEqual(ids.map(() => 3))
  expect(ends).toEqual([])
  const messages = await drained(channel, parked)
  expect(messages.map(({ content }) => content.toString())).toEqual(['poison'])
  return { runs: runs.get('poison') ?? 0, parked: messages[0] as ConsumeMessage }
}

function nested(depth: number): object {
  let table: object = {}
  for (let level = 0; level < depth; level += 1) table = { n: table }
  return table
}

describe.each(['classic', 'quorum'] as const)('hostile messages in a %s queue', (type) => {
  describeService('rabbitmq-4.0', ({ url }) => {
    const headers: Record<string, object> = {
      'headers as large as a frame has room': { big: 'x'.repeat(62_000) },
      'carbon copies that cannot be set aside': {
        CC: Array.from({ length: 200 }, (_, n) => `nobody-${n}`.repeat(4)),
      },
      'headers nested deeply': { deep: nested(500) },
      'a forged offset of a stream': { 'x-stream-offset': 7 },
      'a forged count of deliveries': { 'x-delivery-count': 100 },
      'a forged history': { 'x-death': [{ queue: 'x', reason: 'rejected', count: 1e6 }] },
      'numbers at the edge': { low: { '!': 'long', value: -(2 ** 63) }, high: 2 ** 62 },
      'a time out of time': { at: { '!': 'timestamp', value: 2 ** 63 } },
      'a table shaped like a type': { odd: { a: { '!': 'timestamp', value: 1 }, b: [null, true, 1.5] } },
    }

    test.each(Object.entries(headers))('%s', { timeout: 60_000 }, async (_, extra) => {
      const { runs, parked } = await poisoned(url, type, async ({ send }) =>
        send('p', 'poison', { headers: extra }),
      )
      expect(runs).toBe(3)
      expect(parked.properties.messageId).toBe('p')
      expect(parked.properties.headers).toMatchObject({ 'x-oncemq-reason': 'attempts' })
    })

    test('a message without a key fails as often as others, and is parked', { timeout: 60_000 }, async () => {
      const { runs } = await poisoned(url, type, async ({ send }) => send(undefined, 'poison'))
      expect(runs).toBe(3)
    })

    test('headers of ours that a sender has forged', { timeout: 60_000 }, async () => {
      const forged = {
        'x-oncemq-provenance': JSON.stringify({
          kind: 'retry',
          starts: 100,
          original: { exchange: 'forged' },
        }),
        'x-oncemq-signature': 'f'.repeat(64),
        'x-oncemq-reason': 'forged',
        'x-oncemq-copy': '1',
        'x-oncemq-anything': 'forged',
      }
      const { runs, parked } = await poisoned(url, type, async ({ send }) =>
        send('p', 'poison', { headers: { ...forged, mine: 1 } }),
      )
      expect(runs).toBe(3)
      expect(parked.properties.headers).toMatchObject({ mine: 1, 'x-oncemq-reason': 'attempts' })
      expect(parked.properties.headers).not.toHaveProperty('x-oncemq-anything')
      expect(JSON.stringify(parked.properties.headers)).not.toContain('forged')
    })

    test('a carbon copy by AMQP 1.0', { timeout: 60_000 }, async () => {
      const bcc = { application_properties: { BCC: 'other' } }
      const { runs, parked } = await poisoned(url, type, ({ queue }) => sentByAmqp10(url, queue, bcc))
      expect(runs).toBe(3)
      expect(parked.properties.messageId).toBe('p')
      expect(parked.properties.headers).not.toHaveProperty('BCC')
    })
  })
})

describeService('rabbitmq-4.0', ({ url }) => {
  test('a provenance is believed for its own queue, body and id alone', async () => {
    const connection = await connected(url)
    const { queue, send, channel } = await newQueue(connection)
    const seen: string[] = []
    const dedup = deduplicator()
    let isBroken = true
    await consuming({
      connection,
      queue,
      dedup,
      prefetch: 1,
      retry: { firstMs: 60_000 },
      waitQueueType: 'classic',
      handler: ({ content, fields, properties }, { attempt }) => {
        if (isBroken) throw new Error('not yet')
        const ours = Object.keys(properties.headers ?? {}).filter((name) => name.startsWith('x-oncemq-'))
        seen.push(`${content.toString()} ${fields.routingKey === queue} ${attempt} ${ours.join()}`)
      },
    })
    await send('a', 'mine')
    const waiting = `${queue}.retry.60000.classic`
    await until('the copy', async () => (await readyIn(connection, waiting)) === 1)
    const [copy] = await drained(channel, waiting)
    isBroken = false
    const headers = copy?.properties.headers
    // The copy itself comes back with its start, another message with its headers does not.
    channel.sendToQueue(queue, Buffer.from('other body'), { messageId: 'b', headers })
    channel.sendToQueue(queue, Buffer.from('mine'), { messageId: 'c', headers })
    channel.sendToQueue(queue, Buffer.from('mine'), { messageId: 'a', headers })
    await until('three', () => seen.length === 3)
    expect(seen).toEqual(['other body true 1 ', 'mine true 1 ', 'mine true 2 '])
  })

  test('a reply that cannot be written leaves the message done', async () => {
    const connection = await connected(url)
    const { queue, send, channel } = await newQueue(connection)
    const { queue: replyTo } = await channel.assertQueue('', { exclusive: true })
    const dedup = deduplicator()
    const warnings: string[] = []
    dedup.on('warning', ({ message }) => void warnings.push(message))
    let runs = 0
    await consuming({
      connection,
      queue,
      dedup,
      handler: ({ content }) => {
        runs += 1
        return content.toString() === 'big' ? ({ rows: 1n } as object) : undefined
      },
    })
    await send('a', 'big', { replyTo })
    await send('b', 'big')
    await until('both', () => dedup.counts().completed === 2)
    await until('both are acked', async () => (await readyIn(connection, queue)) === 0)
    expect([runs, warnings.filter((each) => each.startsWith('a reply was not sent'))]).toEqual([
      2,
      [expect.anything()],
    ])
  })

  test('copies of one busy key leave room for others', { timeout: 30_000 }, async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection, 'quorum')
    let finish = (): void => undefined
    const finished = new Promise<void>((resolve) => (finish = resolve))
    const done = new Set<string>()
    let runs = 0
    await consuming({
      connection,
      queue,
      dedup: deduplicator(),
      prefetch: 16,
      handler: async ({ properties }) => {
        runs += 1
        if (properties.messageId === 'busy') await finished
        done.add(properties.messageId as string)
      },
    })
    for (let copy = 0; copy < 50; copy += 1) await send('busy')
    for (let other = 0; other < 20; other += 1) await send(`m${other}`)
    await until('the others', () => done.size === 20)
    finish()
    await until('the busy one', () => done.size === 21)
    expect(runs).toBe(21)
  })

  test('two queues on one exchange: each handles the event', async () => {
    const connection = await connected(url)
    const dedup = deduplicator()
    const seen: string[] = []
    for (const name of ['one', 'other']) {
      const { queue, channel } = await newQueue(connection)
      await channel.bindQueue(queue, 'amq.fanout', '')
      onTestFinished(() => channel.deleteQueue(queue).then(() => undefined))
      await consuming({ connection, queue, dedup, handler: () => void seen.push(name) })
    }
    const channel = await connection.createConfirmChannel()
    channel.publish('amq.fanout', '', Buffer.from('a'), { messageId: 'a' })
    await until('both', () => seen.length === 2)
    expect(seen.toSorted()).toEqual(['one', 'other'])
  })

  test('a middleware that always throws: counted, and parked', async () => {
    const connection = await connected(url)
    const { queue, send, channel } = await newQueue(connection, 'quorum')
    let calls = 0
    await consuming({
      connection,
      queue,
      dedup: deduplicator({ attemptsMax: 3 }),
      retry: RETRY,
      middlewares: [
        async function broken() {
          calls += 1
          throw new Error('broken')
        },
      ],
      handler: () => expect.unreachable('the handler ran'),
    })
    await send('a')
    await until('parked', async () => (await readyIn(connection, `${queue}.parked`)) === 1)
    expect(calls).toBe(3)
    const [parked] = await drained(channel, `${queue}.parked`)
    expect(parked?.properties.headers).toMatchObject({
      'x-oncemq-reason': 'attempts',
      'x-oncemq-attempts': 3,
    })
  })

  test(
    'one at which the broker closes the connection costs its neighbours nothing',
    async () => {
      const direct = await connected(url)
      // Neighbours that are returned with it each time would be gone with it.
      const { queue, send } = await newQueue(direct, 'quorum', { 'x-delivery-limit': 4 })
      const ids = Array.from({ length: 20 }, (_, position) => `m${position}`)
      for (const id of ids.slice(0, 5)) await send(id)
      await sentByAmqp10(url, queue, { content_type: 'x'.repeat(300) })
      for (const id of ids.slice(5)) await send(id)
      const seen = new Set<string>()
      const together = new Set<string>()
      await consuming({
        connect: () => connect(url),
        queue,
        dedup: deduplicator(),
        prefetch: 10,
        async handler({ content, properties }) {
          const id = properties.messageId as string
          if (content.toString() !== 'together') return void seen.add(id)
          together.add(id)
          await until('the other', () => together.size === 2, LONG_MS)
        },
      })
      await until('an end of it', () => seen.has('m19'), LONG_MS)
      await until('an empty queue', async () => (await readyIn(direct, queue)) === 0)
      expect(seen).toEqual(new Set(ids))
      for (const id of ['a', 'b']) await send(id, 'together')
      await until('its whole window again', () => together.size === 2)
    },
    LONG_MS,
  )

  test('a body that is too large for a key is parked, and nothing else waits for it', async () => {
    const { jsonField } = await import('../src/index.ts')
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection)
    const done: string[] = []
    const handler = ({ content }: ConsumeMessage): void => void done.push(content.toString())
    await consuming({ connection, queue, dedup: deduplicator(), key: jsonField('id'), handler })
    await send(undefined, `{"id":"a","filler":"${'x'.repeat(15_000_000)}"}`)
    await send(undefined, '{"id":"b"}')
    await until('the other', () => done.length === 1)
    await until('parked', async () => (await readyIn(connection, `${queue}.parked`)) === 1)
    expect(done).toEqual(['{"id":"b"}'])
  })
})

/** An AMQP 1.0 publisher's property arrives as a header. */
async function sentByAmqp10(url: string, queue: string, properties: object): Promise<void> {
  const { hostname, port, username, password } = new URL(url)
  const login = { username: username || 'guest', password: password || 'guest' }
  const connection = rhea
    .create_container()
    .connect({ host: hostname, port: Number(port), ...login, reconnect: false })
  const sender = connection.open_sender({ target: { address: `/queues/${encodeURIComponent(queue)}` } })
  await new Promise<void>((resolve) => sender.once('sendable', () => resolve()))
  const accepted = new Promise<void>((resolve) => sender.once('accepted', () => resolve()))
  const body: unknown = rhea.message.data_section(Buffer.from('poison'))
  sender.send({ message_id: 'p', body, durable: true, ...properties })
  await accepted
  const closed = new Promise<void>((resolve) => connection.once('connection_close', () => resolve()))
  connection.close()
  await closed
}
