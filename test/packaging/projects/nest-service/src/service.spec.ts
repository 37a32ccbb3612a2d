import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { AmqpConnection } from '@golevelup/nestjs-rabbitmq'
import { INestApplication } from '@nestjs/common'
import { ClientProxy, ClientProxyFactory, RmqRecordBuilder, Transport } from '@nestjs/microservices'
import { Test } from '@nestjs/testing'
import { OncemqRmqServer } from '@oncemq/nestjs/rabbitmq'
import { connect } from 'amqplib'
import { firstValueFrom } from 'rxjs'
import { AppModule, deduplicator, path, queue, url } from './app.module'
import { Journal } from './orders.controller'
import { gate } from './webhooks.controller'

const queueOptions = { durable: true }
let app: INestApplication
let client: ClientProxy
let lines: string[]

beforeAll(async () => {
  const module = await Test.createTestingModule({ imports: [AppModule] }).compile()
  app = module.createNestApplication({ logger: false })
  const strategy = new OncemqRmqServer({
    connect: () => connect(url),
    queue,
    queueOptions,
    dedup: deduplicator,
    retry: { firstMs: 20 },
  })
  app.connectMicroservice({ strategy }, { inheritAppConfig: true })
  await app.startAllMicroservices()
  await app.listen(0, '127.0.0.1')
  lines = app.get(Journal).lines
  client = clientOf(queue)
})

afterAll(async () => {
  await client.close()
  await app.close()
  const connection = await connect(url)
  const channel = await connection.createChannel()
  for (const name of [queue, `${queue}.parked`, `${queue}.worker`]) await channel.deleteQueue(name)
  await connection.close()
})

function clientOf(to: string): ClientProxy {
  return ClientProxyFactory.create({
    transport: Transport.RMQ,
    options: { urls: [url], queue: to, queueOptions },
  })
}

const withId = (messageId: string, data: object = { id: 'a', cents: 5 }) =>
  new RmqRecordBuilder(data).setOptions({ messageId }).build()
const ask = (pattern: string, id: string, data?: object): Promise<unknown> =>
  firstValueFrom(client.send(pattern, withId(id, data)))
const publish = (name: string, messageId: string): Promise<boolean> =>
  app.get(AmqpConnection).publish(`${queue}.events`, name, { order: 'o7' }, { messageId })
const failure = (asked: Promise<unknown>): Promise<unknown> => asked.catch((error: unknown) => error)

async function until(look: () => boolean): Promise<void> {
  for (const endMs = Date.now() + 10_000; !look();) {
    if (Date.now() > endMs) throw new Error(`waited too long; seen: ${lines.join(', ')}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

describe('the microservice of a hybrid application', () => {
  test('handles an event once, with its pipes', async () => {
    for (let copy = 0; copy < 2; copy += 1) await firstValueFrom(client.emit('order.paid', withId('paid-1')))
    await until(() => deduplicator.counts().duplicate > 0)
    expect(lines.filter((line) => line.startsWith('paid'))).toEqual(['paid a true paid-1'])
  })

  test('replays replies, made by pipes and interceptors', async () => {
    expect([await ask('price', 'price-1'), await ask('price', 'price-1')]).toEqual([
      { price: 10 },
      { price: 10 },
    ])
    expect(lines.filter((line) => line.startsWith('priced'))).toHaveLength(1)
  })

  test('answers what ended in the end', async () => {
    expect(await ask('flaky', 'flaky-1')).toBe('a after 2')
    expect(await failure(ask('broken', 'broken-1'))).toEqual({ code: 'OUT_OF_STOCK' })
    expect(lines.filter((line) => line === 'broken')).toHaveLength(2)
    const refused = { status: 'error', message: 'Internal server error' }
    expect(await failure(ask('price', 'price-2', { id: 1 }))).toEqual(refused)
    expect(await failure(ask('guarded', 'guarded-1', { id: 'forbidden', cents: 1 }))).toMatchObject({
      message: 'Forbidden resource',
    })
    expect(await failure(ask('nothing', 'nothing-1'))).toContain('no handler')
    expect(await ask('guarded', 'guarded-2')).toBe('let in')
  })

  test('makes controllers of the request', async () => {
    expect([await ask('which', 'w1'), await ask('which', 'w2'), await ask('which', 'w1')]).toEqual([1, 2, 1])
  })
})

describe('webhooks', () => {
  const post = async (route: string, id: string, body: object = {}, signature = 'good') => {
    const response = await fetch(`${await app.getUrl()}/${route}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'event-id': id, signature },
      body: JSON.stringify(body),
    })
    return { status: response.status, body: (await response.json()) as object }
  }

  test('run once for each route, with guards, pipes and parameters', async () => {
    const first = { shop: 'number', id: 'e1', calls: 1, key: 'CardsController.onEvent:e1' }
    expect(await post('cards/7', 'e1')).toEqual({ status: 201, body: first })
    expect(await post('cards/7', 'e1')).toEqual({ status: 201, body: first })
    expect(await post('transfers/7', 'e1')).toMatchObject({ body: { calls: 1 } })
    expect(await post('cards/7', 'e1', {}, 'bad')).toMatchObject({ status: 403 })
    expect(await post('cards/seven', 'e1')).toMatchObject({ status: 400 })
  })

  test('are busy while another call runs', async () => {
    gate.opened = new Promise((resolve) => (gate.open = resolve))
    const first = post('cards/7', 'slow', { slow: true })
    await until(() => deduplicator.health().inFlight > 0)
    expect(await post('cards/7', 'slow')).toMatchObject({ status: 503 })
    gate.open()
    expect(await first).toMatchObject({ status: 201, body: { calls: 2 } })
  })
})

test('handlers of golevelup, with the decorator on either side, and a Nack', async () => {
  const duplicates = deduplicator.counts().duplicate
  for (const name of ['above', 'below', 'above', 'below']) await publish(name, 'm1')
  await until(() => deduplicator.counts().duplicate === duplicates + 2)
  await publish('nacked', 'm1')
  await until(() => lines.includes('nacked 2'))
  expect(lines.filter((line) => /^(above|below)/.test(line)).sort()).toEqual(['above o7 m1', 'below o7'])
})

test("golevelup's handler throws: by default the message comes again at once", async () => {
  const times = (line: string) => lines.filter((each) => each === line).length
  await publish('failing', 'f1')
  await until(() => times('failing f1') === 6)
  for (const name of ['failing-nack', 'failing-ack']) {
    // The second and the third come after the first one's end, and would come after its return.
    for (const id of ['f1', 'f2', 'f3']) {
      await publish(name, id)
      await until(() => times(`${name} ${id}`) > 0)
    }
    expect(times(`${name} f1`)).toBe(1)
  }
})

test('a microservice that is told to stop ends its handler first, and its transaction', async () => {
  const db = `${path}.worker`
  const env = { ...process.env, ONCEMQ_PATH: db, QUEUE: `${queue}.worker` }
  const worker = spawn(process.execPath, ['--no-warnings', join(__dirname, '../dist/worker.js')], { env })
  let output = ''
  worker.stdout.on('data', (text: Buffer) => (output += text.toString()))
  worker.stderr.on('data', (text: Buffer) => (output += text.toString()))
  await until(() => output.includes('listening'))
  const sender = clientOf(`${queue}.worker`)
  await firstValueFrom(sender.emit('slow', withId('slow-1')))
  await until(() => output.includes('started'))
  worker.kill('SIGTERM')
  await once(worker, 'exit')
  await sender.close()
  expect(output).toBe('listening\nstarted\nended\n')
  const effects = new DatabaseSync(db)
  expect(effects.prepare('SELECT count(*) AS many FROM effects').get()).toMatchObject({ many: 0 })
  effects.close()
})

test('terminus is told when the store is away, and when it is back', async () => {
  const health = async () => {
    const response = await fetch(`${await app.getUrl()}/health`)
    return { code: response.status, body: (await response.json()) as object }
  }
  expect(await health()).toMatchObject({
    code: 200,
    body: { details: { oncemq: { status: 'up', store: 'up' } } },
  })
  const other = new DatabaseSync(path)
  other.exec('BEGIN EXCLUSIVE')
  const waiting = deduplicator.run('while-away', () => 'done').catch(() => undefined)
  await until(() => deduplicator.health().store === 'down')
  const { code, body } = await health()
  expect(code).toBe(503)
  expect(body).toMatchObject({
    error: { oncemq: { status: 'down', store: 'down', lastError: { code: 'ONCEMQ_STORE_UNAVAILABLE' } } },
  })
  other.exec('ROLLBACK')
  other.close()
  await waiting
  await until(() => deduplicator.health().store === 'up')
  expect(await health()).toMatchObject({ code: 200 })
})
