import type { RunningClaim } from '../claims/claim.ts'
import type { ClaimManager } from '../claims/claim-manager.ts'
import { CountedStart } from '../claims/counted-start.ts'
import type { EventHub } from '../observe/event-hub.ts'
import type { Settings } from '../options.ts'
import { suspected, unkeyed } from './identify.ts'
import type { Identity } from './identity.ts'
import type { Asked, ClaimOutcome, Delivery, NotGranted, Unprotected } from './outcome.ts'
import { passedOver } from './position.ts'
import { rejectedForAttempts, startsMax } from './refusals.ts'

export interface UnrecordedServices {
  readonly settings: Settings<unknown>
  readonly events: EventHub
  readonly claims: Pick<ClaimManager<unknown>, 'unclaimed'>
  /** Asks the store, which is opened before. */
  readonly ask: (identity: Identity, delivery: Delivery) => Promise<Asked>
}

/** Lets in what has no record of its own: its starts are what the broker and our copies tell. */
export class Unrecorded {
  readonly #services: UnrecordedServices

  constructor(services: UnrecordedServices) {
    this.#services = services
  }

  /** What may run without protection, or with a record that nobody else has, as the strategy wants it. */
  async admit(outcome: Unprotected, delivery: Delivery): Promise<ClaimOutcome<RunningClaim>> {
    const { ask, events, settings } = this.#services
    const key = typeof delivery.key === 'string' ? delivery.key : undefined
    const tell = (): void => events.emit('unprotected', () => ({ key, reason: outcome.reason }))
    if (!settings.strategy.runsWithoutClaim) {
      const exhausted = this.#exhausted(outcome.attempt, key, delivery)
      if (exhausted !== undefined) return exhausted
      tell()
      const asked = await ask(unkeyed(settings, outcome.attempt - 1), delivery)
      // A key that nobody else has is in no conflict.
      return asked as ClaimOutcome<RunningClaim>
    }
    const claim = (await this.#suspect(outcome, delivery)) ?? (await this.start(outcome.attempt, delivery))
    if ('status' in claim) return claim
    tell()
    return { ...outcome, claim }
  }

  /**
   * A start that is counted by nobody else. It is given up when there were too many, whoever runs its
   * handler: nothing else may end its loop.
   */
  async start(attempt: number, delivery: Delivery, identity?: Identity): Promise<RunningClaim | NotGranted> {
    const key = identity?.key ?? (typeof delivery.key === 'string' ? delivery.key : undefined)
    return (
      this.#exhausted(attempt, key, delivery) ?? this.#services.claims.unclaimed(attempt, identity, delivery)
    )
  }

  /**
   * A suspect that waits for its turn is returned each time that the one before it ends the process. So its
   * last starts are counted by a record of its own, and its returns are not, while the store is up. Where
   * nobody counts returns, all starts but the first are.
   */
  async #suspect(
    { attempt }: Unprotected,
    delivery: Delivery,
  ): Promise<RunningClaim | NotGranted | undefined> {
    const { ask, settings } = this.#services
    const isCounted = attempt <= settings.attemptsMax && delivery.isUncounted !== true
    const identity = isCounted ? undefined : suspected(settings, delivery)
    if (identity === undefined) return undefined
    const asked = await ask(identity, delivery)
    if (asked.status === 'granted') return new CountedStart(asked.claim)
    const isPassed = asked.status === 'store-down' && settings.onStoreDown === 'process'
    return asked.status === 'unprotected' || isPassed ? undefined : asked
  }

  #exhausted(attempt: number, key: string | undefined, { position }: Delivery): NotGranted | undefined {
    const { events, settings } = this.#services
    // The row of a log counts starts alone, and no returns.
    if (attempt <= startsMax(settings.attemptsMax, position !== undefined)) return undefined
    events.emit('rejected', () => ({ key, reason: 'attempts' }))
    const forgive = position && (() => passedOver(position))
    return rejectedForAttempts(attempt - 1, settings.attemptsMax, forgive)
  }
}
