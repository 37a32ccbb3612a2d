import { expect, test } from 'vitest'
import { seal, unseal } from '../src/broker/index.ts'

// Written down once: copies that wait or are parked are read by workers of later versions, and of earlier
// ones while these are deployed side by side.
const secret = Buffer.alloc(32, 7)
const sealed = { body: Buffer.from('one'), id: 'order-1' }
const provenance = {
  kind: 'retry',
  source: 'orders',
  starts: 2,
  firstAtMs: 1000,
  original: { exchange: 'shop' },
} as const
const texts = {
  provenance: '{"kind":"retry","source":"orders","starts":2,"firstAtMs":1000,"original":{"exchange":"shop"}}',
  signature: '22ae2dd975410aa1fe730c35ace96ffec023b50f21b9676d1882bb829106319e',
}

test('what travels with a copy does not change from one version to the next', () => {
  expect(seal(secret, provenance, sealed)).toEqual(texts)
  expect(unseal(secret, texts, sealed)).toEqual(provenance)
})

test('a copy from before the workers had another secret is not believed', () => {
  expect(unseal(Buffer.alloc(32, 8), texts, sealed)).toBeUndefined()
})
