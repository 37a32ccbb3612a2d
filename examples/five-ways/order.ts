/** A business event: this order is to be paid, once. */
export interface Order {
  readonly id: string
  readonly cents: number
}

/** Money that was taken. */
export interface Charge {
  readonly order: string
  readonly cents: number
}

/** The same orders in each run, but for their ids. */
export function makeOrders(run: string, count: number): Order[] {
  return Array.from({ length: count }, (_, index) => ({
    id: `${run}-${index + 1}`,
    cents: 500 + 125 * index,
  }))
}

export function bodyOf(order: Order): Buffer {
  return Buffer.from(JSON.stringify(order))
}

/** Reads the body of a message. */
export function orderOf(body: Buffer): Order {
  return JSON.parse(body.toString()) as Order
}
