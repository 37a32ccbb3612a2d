// What the page on tests shows: a handler is rehearsed, and a lease is moved on.
// #region rehearse
import assert from 'node:assert/strict'
import type { HandlerContext } from '@oncemq/core'
import { rehearse } from '@oncemq/core/testing'

interface Order {
  id: string
  cents: number
}

/** The handler gets what it does outside as an argument, so that a test can give it fakes. */
async function bill(order: Order, { key }: HandlerContext, { charge, mail }: typeof fakes): Promise<void> {
  await charge(order.cents, key) // the payment provider takes an idempotency key
  await mail(order.id) // the mail server does not
}

const fakes = {
  charge: async (_cents: number, _key: string | undefined) => 'ch_1',
  mail: async (_order: string) => undefined,
}

const { scenes, twice } = await rehearse({
  message: () => ({ id: 'order-7', cents: 995 }),
  effects: fakes,
  handler: bill,
})
// #endregion

console.table(scenes.map(({ name, effects }) => ({ scene: name, ...effects })))

// #region assert
const unsafe = twice.filter(({ carriesKey }) => !carriesKey)
assert.deepEqual(
  unsafe.map(({ scene, effect }) => `${effect}: ${scene}`),
  ['mail: the process ends after mail', 'mail: mail is done, its answer is lost'],
)
// #endregion
