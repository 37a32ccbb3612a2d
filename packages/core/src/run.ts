import { OncemqError } from './errors.ts'
import type { HandlerContext } from './delivery/context.ts'
import type { Handler } from './strategies/strategy.ts'
import type { ProcessOutcome } from './delivery/outcome.ts'
import { givenOptions, requireFunction, requireMethods, requireSignal } from './validate.ts'

/** How a value is kept with its key, so that a duplicate gets it too. */
export interface ResultCodec<Value> {
  encode(value: Value): Uint8Array
  decode(bytes: Uint8Array): Value
}

/** Keeps a value as JSON. */
export function jsonResult<Value>(): ResultCodec<Value> {
  return {
    // `undefined` has no JSON; no bytes at all stand for it.
    encode: (value) => Buffer.from(JSON.stringify(value) ?? ''),
    decode: (bytes) =>
      (bytes.byteLength === 0 ? undefined : JSON.parse(Buffer.from(bytes).toString())) as Value,
  }
}

/** Options of one `run`. */
export interface RunOptions<Value> {
  /** Keeps the value for duplicates. By default it is not kept. */
  readonly result?: ResultCodec<Value>
  /**
   * Hashed, to notice the same key with another payload: with the option `fingerprint`, and whenever a result
   * is kept, which is given only to those who sent the same payload.
   */
  readonly body?: Uint8Array
  /** What a strategy reads that reads the message (`stateMachine`). */
  readonly message?: unknown
  /** Stops waiting for a busy key. */
  readonly signal?: AbortSignal
}

/** How `run` ended without an error. */
export type RunOutcome<Value> =
  /** The work ran now. */
  | { readonly status: 'completed'; readonly value: Value }
  /** The work ran before; its value, if it was kept. */
  | { readonly status: 'duplicate'; readonly value: Value | undefined }
  /** Another run of the work holds the key for longer than the waiting bound. */
  | { readonly status: 'busy'; readonly retryAfterMs: number }
  /** The work ran now, but took longer than its lease, and another run's outcome counts. */
  | { readonly status: 'lost'; readonly value: Value }
  /** The work ran now, but the store did not answer within the lease; it is asked on in the background. */
  | { readonly status: 'unconfirmed'; readonly value: Value }

/** What `run` does once per key. What it returns is the outcome's value; what it throws, `run` throws. */
export type Work<Value, Tx> = (context: HandlerContext<Tx>) => Promise<Value> | Value

const known = new Set(['result', 'body', 'message', 'signal'])

/** @throws OptionError for a call without work, before its key counts a start. */
export function requireRun<Value>(work: unknown, options: RunOptions<Value>): RunOptions<Value> {
  requireFunction('run', work, 'the work: run(key, async ({ signal }) => { ... })')
  const given = givenOptions('run', options, known)
  const { result, signal } = given as { readonly result?: unknown; readonly signal?: unknown }
  if (result !== undefined) requireMethods('result', result, ['encode', 'decode'], 'give jsonResult()')
  requireSignal(signal)
  return given
}

/**
 * Turns the outcome of a processing into that of a call.
 * @throws what `work` threw; OncemqError for a key that cannot be used, a conflict, used-up attempts, a store
 *   that is down.
 */
export async function runWork<Value, Tx>(
  work: Work<Value, Tx>,
  options: RunOptions<Value>,
  process: (handler: Handler<Tx>) => Promise<ProcessOutcome>,
  onNotKept: (error: unknown) => void,
): Promise<RunOutcome<Value>> {
  let value: Value | undefined
  const outcome = await process(async (context) => {
    value = await work(context)
    return encoded(value, options, onNotKept)
  })
  switch (outcome.status) {
    case 'completed':
    case 'unconfirmed':
    case 'lost':
      return { status: outcome.status, value: value as Value }
    case 'duplicate':
      return { status: 'duplicate', value: decoded(outcome.result, options) }
    case 'busy':
      return outcome
    case 'failed':
    case 'rejected':
      // The caller gets the error: there is no broker to dead-letter it, and the next call may run it again.
      if ('forgive' in outcome) await outcome.forgive?.()
      throw outcome.error
    case 'transaction-conflict':
    case 'early':
    case 'store-down':
    case 'store-refused':
    case 'closed':
      throw outcome.error
  }
}

/** The work is done: that its value cannot be kept is no reason to do it again. */
function encoded<Value>(
  value: Value,
  { result: codec }: RunOptions<Value>,
  onNotKept: (error: unknown) => void,
): Uint8Array | undefined {
  try {
    return codec?.encode(value)
  } catch (error) {
    onNotKept(error)
    return undefined
  }
}

function decoded<Value>(
  result: Uint8Array | undefined,
  { result: codec }: RunOptions<Value>,
): Value | undefined {
  if (result === undefined || codec === undefined) return undefined
  try {
    return codec.decode(result)
  } catch (cause) {
    throw new OncemqError(
      'ONCEMQ_STORE_CORRUPT',
      'expected a stored result that the codec can read, received another; keep one codec per key space',
      { cause },
    )
  }
}
