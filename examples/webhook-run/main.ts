// A webhook without a broker: its sender repeats calls that it believes lost, and the work happens once.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { createDeduplicator, jsonResult } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'

interface PaidEvent {
  readonly id: string
  readonly order: string
}

let parcels = 0

/** What must happen once for each event. */
function ship(order: string): { order: string; parcel: number } {
  parcels += 1
  console.log(`shipped ${order} as parcel ${parcels}`)
  return { order, parcel: parcels }
}

const folder = mkdtempSync(join(tmpdir(), 'oncemq-webhook-'))

// #region webhook
const store = new SqliteStore({ path: join(folder, 'oncemq.db') })
const dedup = createDeduplicator({ store, consumerGroup: 'shipping' })

async function onPaid(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const event = (await json(request)) as PaidEvent
  const outcome = await dedup.run(`shop:${event.id}`, () => ship(event.order), {
    result: jsonResult<{ order: string; parcel: number }>(),
  })
  if (outcome.status === 'busy') {
    // Another process holds the claim. The sender calls again, and gets what that process did.
    const retryAfterSeconds = Math.ceil(outcome.retryAfterMs / 1000)
    response.writeHead(503, { 'retry-after': `${retryAfterSeconds}` }).end()
    return
  }
  response.writeHead(200).end(JSON.stringify({ ...outcome.value, how: outcome.status }))
}
// #endregion

const server = createServer((request, response) => {
  onPaid(request, response).catch((error: unknown) => {
    // The work or the store failed: the key is free again, and the sender's next call is another attempt.
    console.error(error)
    response.writeHead(500).end()
  })
})

async function post(event: PaidEvent): Promise<void> {
  const { port } = server.address() as AddressInfo
  const response = await fetch(`http://127.0.0.1:${port}`, { method: 'POST', body: JSON.stringify(event) })
  console.log(`${event.id}: ${response.status} ${await response.text()}`)
}

try {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  await post({ id: 'evt_1', order: 'order-7' })
  await post({ id: 'evt_1', order: 'order-7' })
  await post({ id: 'evt_2', order: 'order-8' })
  console.log(`${parcels} parcels for 2 events in 3 calls`)
} finally {
  server.close()
  await dedup.close()
  rmSync(folder, { recursive: true })
}
