import { describe, expect, test } from 'vitest'

import { StoreError, isFreshLease } from '../src/store/index.ts'
import { VirtualClock } from '../src/testing/index.ts'
import type { RenewUpdate, UpdateAnswer } from '../src/store/index.ts'
import { Lease, LeaseKeeper } from '../src/claims/lease-keeper.ts'
import { elapse, settle } from './elapse.ts'
import { heldHandler, setUp } from './set-up.ts'

const LEASE_MS = 12_000
const TIMES = { leaseMs: LEASE_MS, retentionMs: 60_000 }

function leaseOf(claimId: string): Lease {
  return new Lease({ id: 'id', label: undefined, fingerprint: undefined }, claimId, TIMES)
}

/** A keeper with one lease; `renew` says what the store does. */
function keep(renew: (update: RenewUpdate) => Promise<UpdateAnswer>) {
  const clock = new VirtualClock()
  const renewedAtMs: number[] = []
  const lost: Lease[] = []
  const counted = (update: RenewUpdate): Promise<UpdateAnswer> => {
    renewedAtMs.push(clock.monotonicMs())
    return renew(update)
  }
  const keeper = new LeaseKeeper(TIMES, clock, counted, (lease) => lost.push(lease))
  const lease = leaseOf('claim')
  keeper.start(lease, 0)
  keeper.watch(lease)
  return { clock, keeper, lease, lost, renewedAtMs }
}

const ok = async (): Promise<UpdateAnswer> => 'ok'
const down = (): Promise<UpdateAnswer> => Promise.reject(new Error('down'))
const silent = (): Promise<UpdateAnswer> => new Promise(() => {})

test('a lease is fresh while a hundredth of it is over, and not if it is longer than asked for', () => {
  const of100Ms = [98, 99, 100, 101].map((remainingMs) => isFreshLease(100, remainingMs))
  expect(of100Ms).toEqual([false, true, true, false])
})

describe('renewing', () => {
  test('happens at each third of the lease, and nothing is lost', async () => {
    const { clock, lease, lost, renewedAtMs } = keep(ok)
    await elapse(clock, 60 * LEASE_MS)
    expect(renewedAtMs.slice(0, 4)).toEqual([4000, 8000, 12_000, 16_000])
    expect(renewedAtMs).toHaveLength(180)
    expect([lease.lost, lost.length]).toEqual([false, 0])
  })

  test('asks for the whole lease from now', async () => {
    const asked: RenewUpdate[] = []
    const { clock } = keep(async (update) => {
      asked.push(update)
      return 'ok'
    })
    await elapse(clock, LEASE_MS / 3)
    expect(asked).toEqual([
      { op: 'renew', id: 'id', claimId: 'claim', leaseMs: LEASE_MS, retentionMs: 60_000 },
    ])
  })

  test('is repeated each twelfth while it fails, never twice at a time', async () => {
    const { clock, renewedAtMs } = keep(down)
    await elapse(clock, LEASE_MS)
    expect(renewedAtMs).toEqual([4000, 5000, 6000, 7000, 8000, 9000, 10_000])
    const stuck = keep(silent)
    await elapse(stuck.clock, LEASE_MS)
    expect(stuck.renewedAtMs).toEqual([4000])
  })

  test('a renewal that succeeds after failures saves the lease', async () => {
    let failures = 5
    const { clock, lease } = keep(() => (failures-- > 0 ? down() : ok()))
    await elapse(clock, 3 * LEASE_MS)
    expect(lease.lost).toBe(false)
  })

  test('ends with the claim', async () => {
    const { clock, keeper, lease, lost, renewedAtMs } = keep(ok)
    await elapse(clock, LEASE_MS)
    keeper.drop(lease)
    await elapse(clock, 10 * LEASE_MS)
    expect([renewedAtMs.length, lost.length, clock.nextInMs]).toEqual([3, 0, undefined])
  })

  test('begins again with the next claim', async () => {
    const { clock, keeper, lease, renewedAtMs } = keep(ok)
    keeper.drop(lease)
    await elapse(clock, LEASE_MS)
    const next = leaseOf('next')
    keeper.start(next, clock.monotonicMs())
    keeper.watch(next)
    await elapse(clock, LEASE_MS / 2)
    expect(renewedAtMs).toEqual([16_000])
  })
})

describe('losing', () => {
  test.each([
    ['fails', down],
    ['is silent', silent],
  ])('a store that %s: the handler is told before the store ends the lease', async (_, renew) => {
    const { clock, lease, lost } = keep(renew)
    let toldAtMs: number | undefined
    lease.signal.addEventListener('abort', () => (toldAtMs = clock.monotonicMs()))
    await elapse(clock, LEASE_MS)
    expect(toldAtMs).toBeGreaterThanOrEqual(0.9 * LEASE_MS)
    expect(toldAtMs).toBeLessThan(LEASE_MS)
    expect(lost).toEqual([lease])
  })

  test('a renewal counts from its sending, not from its answer', async () => {
    const answer = Promise.withResolvers<UpdateAnswer>()
    let renewals = 0
    const { clock, lease } = keep(() => (renewals++ === 0 ? answer.promise : silent()))
    await elapse(clock, 4000 + 3000)
    answer.resolve('ok')
    await elapse(clock, LEASE_MS - 3000)
    expect([clock.monotonicMs(), lease.lost]).toEqual([4000 + LEASE_MS, true])
  })

  test('a store that says so: at once, and once', async () => {
    const { clock, lease, lost } = keep(async () => 'lost')
    await elapse(clock, LEASE_MS / 3)
    expect([lease.lost, lease.signal.aborted, lost.length]).toEqual([true, true, 1])
    await elapse(clock, LEASE_MS)
    expect(lost).toHaveLength(1)
  })

  test('an answer that comes after the deadline brings nothing back', async () => {
    const answer = Promise.withResolvers<UpdateAnswer>()
    const { clock, lease, lost } = keep(() => answer.promise)
    await elapse(clock, LEASE_MS)
    answer.resolve('ok')
    await elapse(clock, LEASE_MS)
    expect([lease.lost, lost.length]).toEqual([true, 1])
  })

  test('a claim that ended while its renewal was on the way is not lost', async () => {
    const answer = Promise.withResolvers<UpdateAnswer>()
    const { clock, keeper, lease, lost } = keep(() => answer.promise)
    await elapse(clock, LEASE_MS / 3)
    keeper.drop(lease)
    answer.resolve('lost')
    await settle()
    expect([lease.lost, lost.length]).toEqual([false, 0])
  })

  test('time that jumps over the whole lease, as after a pause, ends it', () => {
    const { clock, lease, renewedAtMs } = keep(ok)
    // One timer is due at a twelfth, and finds that all the time is over.
    Object.defineProperty(clock, 'monotonicMs', { value: () => 2 * LEASE_MS })
    clock.advance(LEASE_MS / 12)
    expect([lease.lost, renewedAtMs.length]).toEqual([true, 0])
  })

  test('a signal that is asked for afterwards has aborted', () => {
    const lease = leaseOf('claim')
    lease.lose()
    expect(lease.signal.aborted).toBe(true)
  })

  test('the end of the keeper tells the handlers that still run', async () => {
    const { clock, keeper, lease, lost } = keep(ok)
    keeper.close()
    expect([lease.signal.aborted, lost.length, clock.nextInMs]).toEqual([true, 1, undefined])
    await elapse(clock, LEASE_MS)
    expect(lost).toHaveLength(1)
  })
})

test("one entry's fault in the store does not keep its neighbours from being renewed", async () => {
  const { clock, store, dedup, id } = await setUp({ leaseMs: LEASE_MS })
  const { handler } = heldHandler()
  const lost: string[] = []
  for (const key of ['good', 'bad', 'also good']) {
    void dedup.process({ key }, async ({ signal }) => {
      signal.addEventListener('abort', () => lost.push(key))
      await handler(key)()
    })
  }
  await settle()
  store.around = (call, apply) => {
    const bad = call.batch.some((entry) => entry.id === id('bad'))
    return bad ? Promise.reject(new StoreError('ONCEMQ_STORE_REFUSED', 'no')) : apply()
  }
  await elapse(clock, 5 * LEASE_MS)
  expect(lost).toEqual(['bad'])
})
