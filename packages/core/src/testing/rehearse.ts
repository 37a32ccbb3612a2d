import type { HandlerContext } from '../delivery/context.ts'
import { OncemqError, OptionError, received } from '../errors.ts'
import { MemoryStore } from '../memory/memory-store.ts'
import { systemClock } from '../time/clock.ts'
import { VirtualClock } from '../time/virtual-clock.ts'
import { givenOptions, requireFunction } from '../validate.ts'
import type { EffectCall, Effects, Fault } from './rehearsal-worker.ts'
import { RehearsalWorker } from './rehearsal-worker.ts'

/** Options of {@link rehearse}. */
export interface RehearsalOptions<Message, Calls extends Effects> {
  /** Makes the message, anew for each delivery. */
  readonly message: () => Message
  /**
   * What the handler does outside, as fakes or against a test server: each call is counted, and is a place
   * where the process may end or the answer may be lost.
   */
  readonly effects: Calls
  /** The handler, which reaches the outside by the `effects` that it is given, and by nothing else. */
  readonly handler: (message: Message, context: HandlerContext, effects: Calls) => unknown
}

/** An effect that came more often than with one delivery and no fault. */
export interface RepeatedEffect {
  readonly scene: string
  readonly effect: string
  readonly times: number
  /**
   * Whether each repeated call had the context's `key`, or an id made by its `childId`, in its arguments: an
   * other side that takes idempotency keys does it once.
   */
  readonly carriesKey: boolean
}

/** What came of one scene, such as `sent twice`. */
export interface RehearsalScene {
  readonly name: string
  /** How often each effect came. */
  readonly effects: Readonly<Record<string, number>>
}

/** What {@link rehearse} saw: every scene, and the effects that came too often in one. */
export interface Rehearsal {
  readonly scenes: readonly RehearsalScene[]
  readonly twice: readonly RepeatedEffect[]
}

interface Plan {
  readonly name: string
  readonly deliveries: number
  readonly atOnce?: boolean
  readonly fault?: Fault
}

const KEY = 'rehearsal'
const HANDLER_MAX_MS = 10_000
const CALLS_MAX = 1000

/**
 * Runs a handler with what brokers and processes do to it, on a store in memory and with virtual time, and
 * tells which of its effects came twice: the message is sent twice; two workers get it at once; its process
 * ends right after each effect; and each effect is done while its answer is lost.
 *
 * Strategy `lease`: an effect outside of the store's database and the record of it cannot commit together.
 * Give the other side the context's `key`, and `carriesKey` is true.
 * @throws what the handler throws where nothing goes wrong; OncemqError `ONCEMQ_HANDLER_TIMEOUT` for one that
 *   has not ended after ten seconds.
 * @example
 * const { twice } = await rehearse({ message: () => order, effects: { charge }, handler: bill })
 * expect(twice.filter(({ carriesKey }) => !carriesKey)).toEqual([])
 */
export async function rehearse<Message, Calls extends Effects>(
  options: RehearsalOptions<Message, Calls>,
): Promise<Rehearsal> {
  givenOptions('rehearse', options, new Set(['message', 'effects', 'handler']))
  requireFunction('message', options.message, '() => message, which makes it anew')
  requireFunction('handler', options.handler, '(message, context, effects) => ...')
  requireEffects(options.effects)
  const once = await new Scene({ name: 'sent once', deliveries: 1 }, options).play()
  const names = once.map(({ name }) => name)
  const usual = countsOf(once)
  const scenes: RehearsalScene[] = [{ name: 'sent once', effects: usual }]
  const twice: RepeatedEffect[] = []
  for (const plan of plans(names)) {
    const calls = await new Scene(plan, options).play()
    scenes.push({ name: plan.name, effects: countsOf(calls) })
    for (const [effect, times] of Object.entries(countsOf(calls))) {
      if (times <= (usual[effect] ?? 0)) continue
      const carriesKey = calls.every((call) => call.name !== effect || call.carriesKey)
      twice.push({ scene: plan.name, effect, times, carriesKey })
    }
  }
  return { scenes, twice }
}

function requireEffects(effects: Effects): void {
  if (typeof effects !== 'object' || effects === null) {
    throw new OptionError(
      `effects: expected an object of functions, received ${received(effects)}; ` +
        `name what the handler does outside, such as { charge, mail }`,
    )
  }
  for (const [name, effect] of Object.entries(effects))
    requireFunction(`effects.${name}`, effect, 'a fake, or the call of a test server')
}

function plans(names: readonly string[]): Plan[] {
  return [
    { name: 'sent twice', deliveries: 2 },
    { name: 'two workers at once', deliveries: 2, atOnce: true },
    ...names.flatMap((name, index): Plan[] => {
      const call = index + 1
      const which = names.filter((each) => each === name).length === 1 ? name : `${name} (call ${call})`
      return [
        { name: `the process ends after ${which}`, deliveries: 1, fault: { call, kind: 'crash' } },
        { name: `${which} is done, its answer is lost`, deliveries: 1, fault: { call, kind: 'no-answer' } },
      ]
    }),
  ]
}

/** One scene: a broker that delivers until the message is done, and workers that may die. */
class Scene<Message, Calls extends Effects> {
  readonly calls: EffectCall[] = []
  readonly #clock = new VirtualClock()
  readonly #store = new MemoryStore({ clock: this.#clock })
  readonly #workers: RehearsalWorker<Calls>[] = []
  readonly #plan: Plan
  readonly #options: RehearsalOptions<Message, Calls>

  constructor(plan: Plan, options: RehearsalOptions<Message, Calls>) {
    this.#plan = plan
    this.#options = options
  }

  async play(): Promise<readonly EffectCall[]> {
    await driven(this.#deliverAll(), this.#clock, () => this.#workers.some(({ isHandling }) => isHandling))
    return this.calls
  }

  async #deliverAll(): Promise<void> {
    const { deliveries, atOnce, fault } = this.#plan
    const faults = Array.from({ length: deliveries }, (_, index) => (index === 0 ? fault : undefined))
    if (atOnce === true) await Promise.all(faults.map((each) => this.#deliver(each)))
    else for (const each of faults) await this.#deliver(each)
  }

  /** As a broker does: until it is done, to another worker when one has died. */
  async #deliver(fault: Fault | undefined): Promise<void> {
    const { handler, message } = this.#options
    let worker = this.#newWorker(fault)
    for (;;) {
      const outcome = await worker.process(KEY, (context, effects) => handler(message(), context, effects))
      if (outcome === 'dead') worker = this.#newWorker(undefined)
      else if (outcome.status === 'completed' || outcome.status === 'duplicate') return
      else if (outcome.status === 'failed' && fault?.kind !== 'no-answer') throw outcome.error
      else if (outcome.status === 'rejected') throw outcome.error
    }
  }

  #newWorker(fault: Fault | undefined): RehearsalWorker<Calls> {
    const { effects } = this.#options
    const tell = (call: EffectCall): void => this.#tell(call)
    const worker = new RehearsalWorker({ clock: this.#clock, store: this.#store, effects, fault, tell })
    this.#workers.push(worker)
    return worker
  }

  #tell(call: EffectCall): void {
    if (this.calls.push(call) <= CALLS_MAX) return
    throw new OptionError(
      `effects: expected at most ${CALLS_MAX} calls, received more; rehearse less at once`,
    )
  }
}

/** Moves virtual time on whenever nothing else happens: a handler may take real time, in which it stands. */
async function driven(scene: Promise<void>, clock: VirtualClock, isHandling: () => boolean): Promise<void> {
  let isOver = false
  const ended = scene.finally(() => (isOver = true))
  ended.catch(() => undefined)
  let sinceMs = systemClock.monotonicMs()
  while (!isOver) {
    await new Promise<void>((resolve) => void systemClock.after(0, resolve))
    if (!isHandling()) {
      sinceMs = systemClock.monotonicMs()
      clock.advance(clock.nextInMs ?? 0)
    } else if (systemClock.monotonicMs() - sinceMs > HANDLER_MAX_MS) {
      const message = `rehearse: expected the handler to end within ${HANDLER_MAX_MS} ms, received no end`
      throw new OncemqError('ONCEMQ_HANDLER_TIMEOUT', `${message}; give it effects that answer`)
    }
  }
  await ended
}

function countsOf(calls: readonly EffectCall[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { name } of calls) counts[name] = (counts[name] ?? 0) + 1
  return counts
}
