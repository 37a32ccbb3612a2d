import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import type { Charge, Order } from './order.ts'

/**
 * Somebody else's service, reached by HTTP. It takes an idempotency key, as payment providers do: two calls
 * with one key are one charge.
 */
export class PaymentProvider {
  readonly #server: Server
  readonly #charges = new Map<string, Charge>()

  private constructor() {
    this.#server = createServer((request, response) => {
      void this.#take(request).then(() => response.writeHead(200).end())
    })
  }

  static async open(): Promise<PaymentProvider> {
    const provider = new PaymentProvider()
    provider.#server.listen(0, '127.0.0.1')
    await once(provider.#server, 'listening')
    return provider
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get charges(): readonly Charge[] {
    return [...this.#charges.values()]
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #take(request: IncomingMessage): Promise<void> {
    const { id, cents } = (await json(request)) as Order
    const key = String(request.headers['idempotency-key'])
    if (!this.#charges.has(key)) this.#charges.set(key, { order: id, cents })
  }
}

/** What a worker does to charge there. */
export async function chargeAt(url: string, order: Order, idempotencyKey: string): Promise<void> {
  const headers = { 'idempotency-key': idempotencyKey }
  const { ok, status } = await fetch(url, { method: 'POST', headers, body: JSON.stringify(order) })
  if (!ok) throw new Error(`the payment provider answered ${status}`)
}
