import { EventEmitter } from 'node:events'

import type { Clock, Timer } from '@oncemq/core/broker'
import { givenOptions, requireInteger, requireMethods, systemClock } from '@oncemq/core/broker'
import { isOncemqError, OncemqError } from '@oncemq/core'
import type { RocketmqClient } from './client.ts'
import { unpackBodies } from './packed-bodies.ts'

/** Options of {@link startClient} and {@link stopClient}. All times are milliseconds. */
export interface ClientTimeOptions {
  /**
   * How long to wait for the server's answer. 1 to 600000.
   * @default 20000
   */
  timeoutMs?: number
  /** Time, for tests. The system's by default. */
  clock?: Clock
}

/** The defaults of {@link ClientTimeOptions}. */
export const clientTimeDefaults = Object.freeze({ timeoutMs: 20_000 })

const TIMEOUT_MAX_MS = 600_000
/** gRPC's code for a server that cannot be reached: no reason to give up before the bound. */
const UNAVAILABLE = 14
const TOPIC_NOT_FOUND = 40_402
/** The server's code for what it has no answer to, such as a client whose settings it has forgotten. */
const INTERNAL_SERVER_ERROR = 50_001

interface Stream {
  once(event: 'error', listener: (error: { code?: number; message?: string }) => void): unknown
  on(event: 'error', listener: () => void): unknown
  removeAllListeners(): unknown
}

/** The parts of the client that tell why it does not come up, and that let it go when it is of no use. */
interface ClientParts {
  createTelemetryStream?(...args: unknown[]): Stream
  onSettingsCommand?(...args: unknown[]): void
  getRpcClientManager?(): { close(): void }
  getConsumeService?(): { readonly logger?: { close?(): void } } | undefined
  getConsumerGroup?(): string
  readonly topics?: ReadonlySet<string>
  receiveMessage?(...args: unknown[]): Promise<unknown>
  getTotalRouteEndpoints?(): readonly unknown[]
  settingsCommand?(): unknown
  telemetry?(endpoints: unknown, command: unknown): void
}

/**
 * Starts a client of RocketMQ, a consumer or a producer, or says why it cannot be started. By itself the
 * client waits for ever for a consumer group that does not exist, and goes on asking after it was shut down.
 *
 * @throws OncemqError `ONCEMQ_CONSUMER_UNSAFE` for a consumer group or topic that does not exist or is
 * refused, and for a group that reads its own dead letters; `ONCEMQ_BROKER_UNAVAILABLE` when the server does
 * not answer within `timeoutMs`.
 * @example await startClient(consumer)
 */
export async function startClient(client: RocketmqClient, options: ClientTimeOptions = {}): Promise<void> {
  const { timeoutMs, clock } = settingsOf('startClient', options)
  requireClient('startClient', client)
  refuseOwnDeadLetters('startClient', client)
  unpackBodies(client)
  const start = new ClientStart(client, clock)
  try {
    await start.attempt(timeoutMs)
  } catch (error) {
    start.giveUp()
    throw error
  }
}

/** The start of a client, which may be attempted again while the server is not there. */
export class ClientStart {
  readonly #client: RocketmqClient
  readonly #clock: Clock
  readonly #refusal: Promise<never>
  readonly #repeating: { stop(): void }
  /** An attempt that has not ended: whoever attempts again waits for this one. */
  #starting: Promise<unknown> | undefined

  constructor(client: RocketmqClient, clock: Clock) {
    const parts = client as unknown as ClientParts
    this.#client = client
    this.#clock = clock
    healSettings(client)
    this.#repeating = repeatSettings(parts, clock)
    this.#refusal = refusalOf(parts)
    this.#refusal.catch(() => undefined)
  }

  /** @throws OncemqError those of {@link startClient}. One that is retryable may pass. */
  async attempt(timeoutMs: number): Promise<void> {
    this.#starting ??= this.#client.startup().finally(() => (this.#starting = undefined))
    this.#starting.catch(() => undefined)
    const silence = (): OncemqError => noAnswer(`to start within ${timeoutMs} ms, received no answer`)
    try {
      await Promise.race([this.#starting, this.#refusal, rejectAfter(this.#clock, timeoutMs, silence)])
    } catch (error) {
      throw isOncemqError(error) ? error : translated(error)
    }
    this.#repeating.stop()
  }

  /** Lets go of the client: it cannot be started any more. */
  giveUp(): void {
    this.#repeating.stop()
    retire(this.#client as unknown as ClientParts)
    void this.#client.shutdown().catch(() => undefined)
  }
}

/**
 * Shuts a client down within a bound. By itself it waits for handlers without limit, and gives up half-way
 * when the server is down, which keeps the process alive.
 *
 * @throws OncemqError `ONCEMQ_BROKER_UNAVAILABLE` when it did not end in time or the server is down; its
 * connections are closed all the same.
 * @example await stopClient(consumer, { timeoutMs: 10_000 })
 */
export async function stopClient(client: RocketmqClient, options: ClientTimeOptions = {}): Promise<void> {
  const { timeoutMs, clock } = settingsOf('stopClient', options)
  requireClient('stopClient', client)
  try {
    await Promise.race([
      client.shutdown(),
      rejectAfter(clock, timeoutMs, () => noAnswer(`to shut down within ${timeoutMs} ms, and it did not`)),
    ])
  } catch (error) {
    await shutdownAnyway(client, clock)
    throw isOncemqError(error) ? error : translated(error)
  } finally {
    retire(client as unknown as ClientParts)
  }
}

const DEAD_LETTERS_OF = '%DLQ%'

/**
 * Refuses a consumer of the dead-letter queue of its own group: the broker puts what it does not ack there
 * again, as a further copy, without end.
 * @throws OncemqError `ONCEMQ_CONSUMER_UNSAFE`.
 */
export function refuseOwnDeadLetters(form: string, client: RocketmqClient): void {
  const parts = client as unknown as ClientParts
  const own = `${DEAD_LETTERS_OF}${parts.getConsumerGroup?.()}`
  if (parts.getConsumerGroup === undefined || parts.topics?.has(own) !== true) return
  throw new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `${form}: expected another consumer group for '${own}', received the one whose dead letters they are; ` +
      `read them with a group of their own, since the broker copies a group's own dead letters without end`,
  )
}

const HEAL_EVERY_MS = 1000
const healed = new WeakSet<object>()

/**
 * A server forgets the settings of a client that it has not heard of for a while, and then answers none of
 * its calls for messages until the client tells them again, each five minutes. Here it tells them at once.
 */
export function healSettings(client: RocketmqClient, clock: Clock = systemClock): void {
  const parts = client as unknown as ClientParts
  const receive = parts.receiveMessage?.bind(parts)
  if (receive === undefined || healed.has(client)) return
  healed.add(client)
  let toldMs = Number.NEGATIVE_INFINITY
  parts.receiveMessage = async (...args) => {
    try {
      return await receive(...args)
    } catch (error) {
      const nowMs = clock.monotonicMs()
      if (codeOf(error) === INTERNAL_SERVER_ERROR && nowMs - toldMs >= HEAL_EVERY_MS) {
        toldMs = nowMs
        tellSettings(parts)
      }
      throw error
    }
  }
}

function tellSettings(parts: ClientParts): void {
  const command = parts.settingsCommand?.()
  if (command === undefined) return
  for (const endpoints of parts.getTotalRouteEndpoints?.() ?? []) {
    try {
      parts.telemetry?.(endpoints, command)
    } catch {
      // A stream that is closed is opened again by the client, which tells them then.
    }
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
function retire(parts: ClientParts): void {
  if (typeof parts.createTelemetryStream !== 'function') return
  // Its timer that opens the stream again cannot be stopped; it gets one that does nothing.
  parts.createTelemetryStream = () =>
    Object.assign(new EventEmitter(), { write: () => true, end: () => undefined })
  parts.getRpcClientManager?.().close()
  // A PushConsumer's log in the home folder; in a FIFO topic the client keeps it to itself.
  parts.getConsumeService?.()?.logger?.close?.()
}

/**
 * Rejects when the server says that it will not have this client. The client's streams stay watched, as it
 * stops listening to one that it has done with, and an error that comes late would end the process.
 */
function refusalOf(parts: ClientParts): Promise<never> {
  return new Promise((_, reject) => {
    const open = parts.createTelemetryStream?.bind(parts)
    if (open === undefined) return
    parts.createTelemetryStream = function watched(...args) {
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
function repeatSettings(parts: ClientParts, clock: Clock): { stop(): void } {
  const tell = parts.onSettingsCommand?.bind(parts)
  if (tell === undefined) return { stop: () => undefined }
  let timer: Timer | undefined
  parts.onSettingsCommand = function told(...args) {
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
      delete parts.onSettingsCommand
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

function requireClient(form: string, client: unknown): void {
  requireMethods(
    form,
    client,
    ['startup', 'shutdown'],
    'pass a consumer or producer of rocketmq-client-nodejs',
  )
}

function settingsOf(form: string, options: ClientTimeOptions): { timeoutMs: number; clock: Clock } {
  const given = givenOptions(form, options, new Set(['timeoutMs', 'clock']))
  const settings = { ...clientTimeDefaults, clock: systemClock, ...given }
  requireInteger('timeoutMs', settings.timeoutMs, 1, TIMEOUT_MAX_MS)
  return settings
}
