import assert from 'node:assert/strict'
import type { ClaimAnswer, StoredRecord } from '@oncemq/core/store'

/** The answer to a batch of one. */
export function only<T>(answers: readonly T[]): T {
  assert.equal(answers.length, 1, `a batch of one entry has one answer, not ${answers.length}`)
  return answers[0] as T
}

export function assertGranted(answer: ClaimAnswer | undefined, epoch: number, attempt: number): void {
  const { status } = defined(answer)
  assert.equal(status, 'granted', `expected granted, received ${status}`)
  assert.deepEqual({ ...answer }, { status: 'granted', epoch, attempt })
}

export function assertBusy(answer: ClaimAnswer | undefined, epoch: number, leaseMaxMs: number): void {
  const found = defined(answer)
  assert.ok(found.status === 'busy', `expected busy, received ${found.status}`)
  assert.equal(found.epoch, epoch, 'busy tells the epoch of the running claim')
  const { leaseRemainingMs } = found
  assert.ok(
    leaseRemainingMs > 0 && leaseRemainingMs <= leaseMaxMs,
    `busy tells what is left of the lease: expected up to ${leaseMaxMs} ms, received ${leaseRemainingMs}`,
  )
}

export function assertConflict(answer: ClaimAnswer | undefined): void {
  const { status } = defined(answer)
  assert.equal(status, 'conflict', `expected conflict, received ${status}`)
}

export function assertDone(
  answer: ClaimAnswer | undefined,
  { fingerprint, result }: { fingerprint?: string | undefined; result?: Uint8Array | undefined } = {},
): void {
  const found = defined(answer)
  assert.ok(found.status === 'done', `expected done, received ${found.status}`)
  assert.equal(found.fingerprint, fingerprint, 'done tells the fingerprint of the claim that completed')
  assertBytes(found.result, result)
}

/** The same bytes, or none; an empty result is not none. */
export function assertBytes(actual: Uint8Array | undefined, expected: Uint8Array | undefined): void {
  if (expected === undefined) {
    assert.ok(actual === undefined, `expected no result, received ${actual?.length} bytes`)
    return
  }
  assert.ok(actual instanceof Uint8Array, `expected ${expected.length} bytes, received ${typeof actual}`)
  assert.ok(
    Buffer.compare(actual, expected) === 0,
    `the ${expected.length} bytes of a result come back as they were`,
  )
}

/** Compares a record with what is expected of it; times are compared only as far as they are given. */
export function assertRecord(record: StoredRecord | undefined, expected: Partial<StoredRecord>): void {
  assert.ok(record !== undefined, 'expected a record, found none')
  for (const [field, value] of Object.entries(expected)) {
    if (field === 'result') assertBytes(record.result, expected.result)
    else assert.equal(record[field as keyof StoredRecord], value, `the record's ${field}`)
  }
}

/** Everything of a record but the times that run on by themselves. */
export function lasting(record: StoredRecord | undefined): object | undefined {
  if (record === undefined) return undefined
  const { state, epoch, attempts, fingerprint, label, result } = record
  return { state, epoch, attempts, fingerprint, label, result: result && Buffer.from(result).toString('hex') }
}

function defined<T>(answer: T | undefined): T {
  assert.ok(answer !== undefined, 'an entry has no answer')
  return answer
}
