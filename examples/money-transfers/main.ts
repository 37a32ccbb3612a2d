// Money moves between two accounts while workers are killed with -9 at random, and is right to the cent.
import { randomBytes, randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { ChannelModel } from 'amqplib'
import { connect } from 'amqplib'
import { RETRY_MS } from './assignment.ts'
import { banks, isBankName, openBank } from './banks/index.ts'
import { Crew } from './crew.ts'
import { randomOf, shuffled } from './random.ts'
import { expectedBalances, makeTransfers, OPENING } from './transfers.ts'
import type { Transfer } from './transfers.ts'

const TRANSFERS = 150
const WORKERS = 3
const KILLS = 2 * WORKERS
const WAVE = TRANSFERS / KILLS
/** On MongoDB the transactions of a killed worker stay open for a minute by default. */
const BOUND_MS = 600_000
const LOOK_EVERY_MS = 50

const { store: name, seed = `${randomInt(2 ** 31)}` } = parseArgs({
  options: { store: { type: 'string' }, seed: { type: 'string' } },
}).values
if (!isBankName(name)) {
  console.error(`--store: expected one of ${Object.keys(banks).join(', ')}`)
  process.exit(2)
}
console.error(`seed ${seed}: --seed ${seed} kills in the same order again`)
const bound = setTimeout(() => {
  console.error(`not at an end after ${BOUND_MS} ms`)
  process.exit(1)
}, BOUND_MS)

const url = process.env['ONCEMQ_RABBITMQ_URL'] ?? process.env['AMQP_URL'] ?? 'amqp://127.0.0.1:5672'
const random = randomOf(Number(seed))
const run = randomBytes(6).toString('hex')
const queue = `transfers-${run}`
const retryQueue = `${queue}.retry.${RETRY_MS}`
const transfers = makeTransfers(run, TRANSFERS)
const bank = await openBank(name, run)
await bank.prepare(OPENING)
const connection = await connect(url)
const sender = await connection.createConfirmChannel()
await sender.assertQueue(queue, { durable: true, expires: BOUND_MS })

/** Each twice, in any order. The id is the transfer's own, so both copies have the same. */
async function send(wave: readonly Transfer[]): Promise<void> {
  for (const transfer of shuffled([...wave, ...wave], random)) {
    const content = Buffer.from(JSON.stringify(transfer))
    sender.sendToQueue(queue, content, { messageId: transfer.id, persistent: true })
  }
  await sender.waitForConfirms()
}

/** How many messages stand in a queue; undefined where there is none of that name. */
async function countIn(model: ChannelModel, name: string): Promise<number | undefined> {
  const channel = await model.createChannel()
  channel.on('error', () => undefined)
  try {
    const { messageCount } = await channel.checkQueue(name)
    await channel.close()
    return messageCount
  } catch {
    return undefined
  }
}

async function left(): Promise<number> {
  return ((await countIn(connection, queue)) ?? 0) + ((await countIn(connection, retryQueue)) ?? 0)
}

const crew = new Crew({ bank: name, run, url, queue }, WORKERS)
// Each in its turn, so that the one to be killed is at work while those before are replaced.
const order = shuffled([...Array(WORKERS).keys()], random)
const places = Array.from({ length: KILLS }, (_, index) => order[index % WORKERS] ?? 0)
for (const [wave, place] of places.entries()) {
  await crew.ready(place)
  const killed = crew.killAfter(1 + random(WAVE), place)
  await send(transfers.slice(wave * WAVE, (wave + 1) * WAVE))
  await killed
}
// What a worker holds counts as in no queue, so they have to end before the count is to be believed.
for (let isOver = false; !isOver;) {
  while ((await left()) > 0 || new Set(await bank.ledger()).size < TRANSFERS) await delay(LOOK_EVERY_MS)
  await crew.stop()
  isOver = (await left()) === 0
  if (!isOver) crew.start()
}

const ledger = await bank.ledger()
const balances = await bank.balances()
const expected = expectedBalances(transfers)
const parked = (await countIn(connection, `${queue}.parked`)) ?? 0
const lost = transfers.filter(({ id }) => !ledger.includes(id)).length
const twice = ledger.length - new Set(ledger).size

console.log(`${TRANSFERS} transfers, each sent twice; ${KILLS} workers killed with -9 meanwhile`)
console.log(`${ledger.length} applied: ${lost} lost, ${twice} applied again; ${parked} parked`)
for (const [account, cents] of Object.entries(expected)) {
  console.log(`${account}: expected ${euros(cents)}, found ${euros(balances[account] ?? 0)}`)
}
const isRight = Object.entries(expected).every(([account, cents]) => balances[account] === cents)
process.exitCode = isRight && lost + twice + parked === 0 ? 0 : 1

function euros(cents: number): string {
  return `${(cents / 100).toFixed(2)} EUR`
}

clearTimeout(bound)
await sender.deleteQueue(queue)
await sender.deleteQueue(retryQueue)
await connection.close()
await bank.remove()
await bank.close()
