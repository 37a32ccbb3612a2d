import { createHash } from 'node:crypto'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Clock } from '../src/time/clock.ts'
import { OptionError } from '../src/errors.ts'
import { MemoryStore } from '../src/memory/memory-store.ts'
import type { ClaimRequest } from '../src/store/contract.ts'

const HOUR_MS = 3_600_000
const CLAIM_ID = 'c'.repeat(32)

afterEach(() => {
  vi.unstubAllEnvs()
})

describe('a full MemoryStore', () => {
  test('fails closed: it refuses the new key and forgets none', async () => {
    const { store } = filled(100)
    await store.claim(requests(0, 100))
    await expect(store.claim(requests(100, 1))).rejects.toMatchObject({
      name: 'StoreError',
      code: 'ONCEMQ_STORE_FULL',
      retryable: true,
      message:
        'MemoryStore: expected at most 100 unexpired keys (keysMax), received one more. ' +
        'Raise keysMax, shorten retentionMs, or use a store on disk or on a server.',
    })
    expect(store.size).toBe(100)
    const answers = await store.update(
      requests(0, 100).map(({ id, claimId }) => completion(id, claimId, HOUR_MS)),
    )
    expect(answers.every((answer) => answer === 'ok')).toBe(true)
  })

  test('still answers for the keys that it has', async () => {
    const { store } = filled(10)
    await store.claim(requests(0, 10))
    const again = await store.claim(requests(0, 10))
    expect(again.every(({ status }) => status === 'granted')).toBe(true)
    const [rival] = await store.claim([{ ...request(3), claimId: 'd'.repeat(32) }])
    expect(rival?.status).toBe('busy')
  })

  test('makes room of what has expired, be it a single key', async () => {
    const { store, clock } = filled(1000)
    await store.claim(requests(0, 1000))
    const { id, claimId } = request(500)
    await store.update([completion(id, claimId, 1000)])
    await expect(store.claim(requests(1000, 1))).rejects.toThrow('keysMax')
    clock.advance(1000)
    expect(await store.claim(requests(1000, 1))).toEqual([{ status: 'granted', epoch: 1, attempt: 1 }])
    expect(await store.inspect([id])).toEqual([undefined])
    await expect(store.claim(requests(1001, 1))).rejects.toThrow('keysMax')
    expect(store.size).toBe(1000)
  })

  test('grants a part of a batch at most once when it is repeated', async () => {
    const { store } = filled(10)
    await store.claim(requests(0, 8))
    await expect(store.claim(requests(8, 4))).rejects.toThrow('keysMax')
    await store.forget([request(0).id, request(1).id])
    const answers = await store.claim(requests(8, 4))
    expect(answers).toEqual(Array.from({ length: 4 }, () => ({ status: 'granted', epoch: 1, attempt: 1 })))
  })
})

describe('MemoryStore', () => {
  test('sweeps in steps of the given limit until nothing has expired', async () => {
    const { store, clock } = filled(5000)
    await store.claim(
      requests(0, 5000).map((each, at) => (at % 2 === 0 ? each : { ...each, retentionMs: 1 })),
    )
    clock.advance(HOUR_MS + 1)
    const counts = [await store.sweep(1000), await store.sweep(1000), await store.sweep(1000)]
    expect(counts).toEqual([1000, 1000, 500])
    expect(await store.sweep(1000)).toBe(0)
    expect(store.size).toBe(2500)
  })

  test('says at start that it forgets, in production only', async () => {
    const store = new MemoryStore()
    expect(await store.open()).toEqual([])
    vi.stubEnv('NODE_ENV', 'production')
    expect(await store.open()).toMatchObject([{ severity: 'warning', code: 'memory-in-production' }])
  })

  test.each([0, -1, 1.5, Infinity, NaN, 100_000_001, '1000', null])('refuses keysMax %s', (keysMax) => {
    expect(() => new MemoryStore({ keysMax: keysMax as number })).toThrow(OptionError)
    expect(() => new MemoryStore({ keysMax: keysMax as number })).toThrow('keysMax: expected an integer')
  })
})

/** Monotonic time that stands still; the wall clock fails the test, as it may jump. */
function stillClock(): Clock & { advance(ms: number): void } {
  let passedMs = 0
  return {
    nowMs: () => expect.unreachable('a store of one process needs no wall clock'),
    monotonicMs: () => passedMs,
    after: () => expect.unreachable('the store sets no timer'),
    advance: (ms) => void (passedMs += ms),
  }
}

function filled(keysMax: number) {
  const clock = stillClock()
  return { clock, store: new MemoryStore({ keysMax, clock }) }
}

function request(number: number): ClaimRequest {
  const id = createHash('sha256').update(`${number}`).digest('hex').slice(0, 32)
  const times = { leaseMs: HOUR_MS, retentionMs: HOUR_MS }
  return { id, claimId: CLAIM_ID, ...times, fingerprint: undefined, label: undefined }
}

function requests(from: number, count: number): ClaimRequest[] {
  return Array.from({ length: count }, (_, at) => request(from + at))
}

function completion(id: string, claimId: string, retentionMs: number) {
  return { op: 'complete', id, claimId, retentionMs, result: undefined } as const
}
