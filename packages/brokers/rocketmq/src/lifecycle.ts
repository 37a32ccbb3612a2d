import { EventEmitter } from 'node:events'

import type { Clock, Timer } from '@oncemq/core/broker'
import { givenOptions, requireInteger, systemClock } from '@oncemq/core/broker'
import { OncemqError } from '@oncemq/core'
import type { RocketmqClient } from './client.ts'

export interface CheckedOptions {
  /**
   * How long to wait for the server's answer. 1 to 600000.
   * @default 20000
   */
  timeoutMs?: number
  /** Time, for tests. The system's by default. */
  clock?: Clock
}

/** The defaults of {@link CheckedOptions}. */
export const checkedDefaults = Object.freeze({ timeoutMs: 20_000 })

const TIMEOUT_MAX_MS = 600_000
/** gRPC's code for a server that cannot be reached: no reason to give up before the bound. */
const UNAVAILABLE = 14
const TOPIC_NOT_FOUND = 40_402

interface Stream {
  once(event: 'error', listener: (error: { code?: number; message?: string }) => void): unknown
  on(event: 'error', listener: () => void): unknown
  removeAllListeners(): unknown
}

/** The parts of the client that tell why it does not come up, and that let it go when it is of no use. */
interface Insides {
  createTelemetryStream?(...args: unknown[]): Stream
  onSettingsCommand?(...args: unknown[]): void
  getRpcClientManager?(): { close(): void }
  getConsumeService?(): { readonly logger?: { close?(): void } } | undefined
}

/**
 * Starts a client of RocketMQ, a consumer or a producer, or says why it cannot be started. By itself the
 * client waits for ever for a consumer group that does not exist, and goes on asking after it was shut down.
 *
 * @throws OncemqError `ONCEMQ_CONSUMER_UNSAFE` for a consumer group or topic that does not exist or is
 * refused, `ONCEMQ_BROKER_UNAVAILABLE` when the server does not answer within `timeoutMs`.
 * @example await checkedStartup(consumer)
 */
export async function checkedStartup(client: RocketmqClient, options: CheckedOptions = {}): Promise<void> {
  const { timeoutMs, clock } = settingsOf('checkedStartup', options)
  const insides = client as unknown as Insides
  const repeating = repeatSettings(insides, clock)
  try {
    await Promise.race([
      client.startup(),
      refusalOf(insides),
      rejectAfter(clock, timeoutMs, () => noAnswer(`to start within ${timeoutMs} ms, received no answer`)),
    ])
  } catch (error) {
    retire(insides)
    void client.shutdown().catch(() => undefined)
    throw error instanceof OncemqError ? error : translated(error)
  } finally {
    repeating.stop()
  }
}

/**
 * Shuts a client down within a bound. By itself it waits for handlers without limit, and gives up half-way
 * when the server is down, which keeps the process alive.
 *
 * @throws OncemqError `ONCEMQ_BROKER_UNAVAILABLE` when it did not end in time or the server is down; its
 * connections are closed all the same.
 * @example await checkedShutdown(consumer, { timeoutMs: 10_000 })
 */
export async function checkedShutdown(client: RocketmqClient, options: CheckedOptions = {}): Promise<void> {
  const { timeoutMs, clock } = settingsOf('checkedShutdown', options)
  try {
    await Promise.race([
      client.shutdown(),
      rejectAfter(clock, timeoutMs, () => noAnswer(`to shut down within ${timeoutMs} ms, and it did not`)),
    ])
  } catch (error) {
    await shutdownAnyway(client, clock)
    throw error instanceof OncemqError ? error : translated(error)
  } finally {
    retire(client as unknown as Insides)
  }
}

const SHUTDOWN_ANYWAY_MS = 3000

/**
 * A PushConsumer does nothing of a shutdown before its last handler has ended: it goes on telling the server
 * that it is there, which keeps its messages for it. This is the part that each client has: its timers end,
 * the server is told, and what it had is handed to others.
 */
async function shutdownAnyway(client: RocketmqClient, clock: Clock): Promise<void> {
  // Whoever waits for the handlers looks again after each sleep.
  Object.assign(client, { sleep: () => new Promise(() => undefined) })
  let base: RocketmqClient = client
  for (let each: unknown = client; each !== null; each = Object.getPrototypeOf(each)) {
    if (Object.hasOwn(each as object, 'shutdown')) base = each as RocketmqClient
  }
  const ended = base.shutdown.call(client).catch(() => undefined)
  await Promise.race([ended, after(clock, SHUTDOWN_ANYWAY_MS)])
}

/** Lets go of all connections of a client that is not to be used any more. */
function retire(insides: Insides): void {
  if (typeof insides.createTelemetryStream !== 'function') return
  // Its timer that opens the stream again cannot be stopped; it gets one that does nothing.
  insides.createTelemetryStream = () =>
    Object.assign(new EventEmitter(), { write: () => true, end: () => undefined })
  insides.getRpcClientManager?.().close()
  // A PushConsumer's log in the home folder; in a FIFO topic the client keeps it to itself.
  insides.getConsumeService?.()?.logger?.close?.()
}

/**
 * Rejects when the server says that it will not have this client. The client's streams stay watched, as it
 * stops listening to one that it has done with, and an error that comes late would end the process.
 */
function refusalOf(insides: Insides): Promise<never> {
  return new Promise((_, reject) => {
    const open = insides.createTelemetryStream?.bind(insides)
    if (open === undefined) return
    insides.createTelemetryStream = function watched(...args) {
      const stream = open(...args)
      stream.once('error', (error) => {
        if (error.code !== UNAVAILABLE) reject(translated(error))
      })
      const removeAllListeners = stream.removeAllListeners.bind(stream)
      stream.removeAllListeners = () => {
        removeAllListeners()
        return stream.on('error', () => undefined)
      }
      return stream
    }
  })
}

const REPEAT_MS = 50

/**
 * The client waits for the server's settings when it has the routes of all its topics. With two topics or
 * more they may have come before, and it would wait for ever: so they are told again until it has started.
 */
function repeatSettings(insides: Insides, clock: Clock): { stop(): void } {
  const tell = insides.onSettingsCommand?.bind(insides)
  if (tell === undefined) return { stop: () => undefined }
  let timer: Timer | undefined
  insides.onSettingsCommand = function told(...args) {
    timer?.cancel()
    const again = (): void => {
      timer = clock.after(REPEAT_MS, () => {
        tell(...args)
        again()
      })
    }
    tell(...args)
    again()
  }
  return {
    stop() {
      timer?.cancel()
      delete insides.onSettingsCommand
    },
  }
}

function after(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve, 'background')
  })
}

function rejectAfter(clock: Clock, delayMs: number, error: () => OncemqError): Promise<never> {
  return new Promise((_, reject) => {
    clock.after(delayMs, () => reject(error()), 'background')
  })
}

function translated(cause: unknown): OncemqError {
  const code = codeOf(cause)
  const text = deepest(cause)
  if (code === TOPIC_NOT_FOUND) {
    return refused('topics that exist', `the answer '${text}'`, 'create the topic', cause)
  }
  if (/group not found/i.test(text)) {
    return refused('a consumer group that exists', `the answer '${text}'`, 'create the group', cause)
  }
  if (code !== undefined && code !== UNAVAILABLE) {
    return refused('a client that the server takes', `the answer '${text}'`, 'see its cause', cause)
  }
  return noAnswer(`an answer of the server, received '${text}'`, cause)
}

function refused(expected: string, what: string, remedy: string, cause: unknown): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `rocketmq: expected ${expected}, received ${what}; ${remedy}`,
    { cause },
  )
}

function noAnswer(what: string, cause?: unknown): OncemqError {
  return new OncemqError(
    'ONCEMQ_BROKER_UNAVAILABLE',
    `rocketmq: expected the client ${what}; see that the endpoints are those of a gRPC proxy that runs`,
    { cause },
  )
}

function codeOf(error: unknown): number | undefined {
  for (let each = error; each instanceof Error; each = each.cause) {
    const { code } = each as { code?: unknown }
    if (typeof code === 'number') return code
  }
  return undefined
}

const TEXT_MAX = 200

function deepest(error: unknown): string {
  let each = error
  while (each instanceof Error && each.cause instanceof Error) each = each.cause
  const text = each instanceof Error ? each.message : String(each)
  return text.split('\n', 1)[0]?.slice(0, TEXT_MAX) ?? ''
}

function settingsOf(form: string, options: CheckedOptions): { timeoutMs: number; clock: Clock } {
  const given = givenOptions(form, options, new Set(['timeoutMs', 'clock']))
  const settings = { ...checkedDefaults, clock: systemClock, ...given }
  requireInteger('timeoutMs', settings.timeoutMs, 1, TIMEOUT_MAX_MS)
  return settings
}
