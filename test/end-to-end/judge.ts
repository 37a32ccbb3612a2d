import type { Event } from './history.ts'
import { storyOf } from './history.ts'

type Run = Extract<Event, { type: 'run' }>

/** What is known of a key at one moment of the history. */
interface KeyState {
  /** `atEvent`: the number of the event at which it began, which is its grant where that was noted. */
  lastRun: (Run & { readonly atEvent: number }) | undefined
  hasRun: boolean
  isDone: boolean
  isKnown: boolean
  /** The numbers of the events at which it was granted, by epoch. */
  readonly grantedAtEvent: Map<number, number>
  /** Copies that were confirmed and whose originals are not acked yet, by process. */
  readonly copies: Map<number, number>
}

/**
 * What a history must not show: keys that never ran to an end, acks of what is neither done nor copied, runs
 * after a key was done, runs that no kill, no freeze and no outage explains, epochs that do not rise. The
 * first of each key is followed by its story.
 */
export function wrongsIn(events: readonly Event[], keys: readonly string[]): string[] {
  const judge = new Judge()
  for (const event of events) judge.see(event)
  const lost = keys.filter((key) => !judge.isOver(key)).map((key) => ({ key, what: 'lost' }))
  const told = new Set<string>()
  return [...judge.wrongs, ...lost].map(({ key, what }) => {
    const story = told.has(key) ? '' : storyOf(key, events)
    told.add(key)
    return `${key}: ${what}${story}`
  })
}

class Judge {
  readonly wrongs: { readonly key: string; readonly what: string }[] = []
  readonly #keys = new Map<string, KeyState>()
  readonly #killed = new Set<number>()
  readonly #frozen = new Set<number>()
  /** The number of the event at which a process that was frozen was let go on last. */
  readonly #thawedAtEvent = new Map<number, number>()
  #isDown = false
  /** The number of the event at which the last outage ended. */
  #upAtEvent = -1
  #count = 0

  isOver(key: string): boolean {
    const { hasRun, isDone, isKnown } = this.#state(key)
    return hasRun && (isDone || isKnown)
  }

  see(event: Event): void {
    this.#count += 1
    switch (event.type) {
      case 'kill':
        this.#killed.add(event.pid)
        break
      case 'freeze':
        this.#frozen.add(event.pid)
        break
      case 'thaw':
        this.#frozen.delete(event.pid)
        this.#thawedAtEvent.set(event.pid, this.#count)
        break
      case 'down':
      case 'up':
        this.#isDown = event.type === 'down'
        this.#upAtEvent = this.#count
        break
      // An outage of which nobody knew before it was over.
      case 'kept':
        this.#upAtEvent = this.#count
        break
      case 'granted':
        this.#state(event.key).grantedAtEvent.set(event.epoch, this.#count)
        break
      case 'run':
        this.#run(event)
        break
      case 'ran':
      case 'done':
      case 'known':
      case 'copy':
      case 'ack':
        this.#step(event, this.#state(event.key))
        break
      case 'unconfirmed':
      case 'lost':
      case 'outage':
      case 'recovered':
    }
  }

  #step({ type, pid, key }: Extract<Event, { key: string }>, state: KeyState): void {
    if (type === 'ran') state.hasRun = true
    if (type === 'done') state.isDone = true
    if (type === 'known') state.isKnown = true
    if (type === 'copy') state.copies.set(pid, (state.copies.get(pid) ?? 0) + 1)
    if ((type === 'done' || type === 'known') && !state.hasRun) {
      this.#wrong(key, `${type} in ${pid} before a handler came to its end`)
    }
    if (type === 'ack') this.#ack(pid, key, state)
  }

  #ack(pid: number, key: string, state: KeyState): void {
    if (state.isDone || state.isKnown) return
    const copies = state.copies.get(pid) ?? 0
    if (copies === 0) this.#wrong(key, `acked by ${pid} before it was done`)
    else state.copies.set(pid, copies - 1)
  }

  #run(run: Run): void {
    const { key, pid, epoch } = run
    const state = this.#state(key)
    const before = state.lastRun
    const atEvent = state.grantedAtEvent.get(epoch) ?? this.#count
    // Its process was frozen on the way from the grant to its first line, and others have had the key since.
    if (before !== undefined && epoch < before.epoch && this.#wasFrozenAfter(atEvent, pid)) return
    if (state.isDone || state.isKnown) this.#wrong(key, `ran in ${pid} after it was done`)
    if (before !== undefined) {
      const overlapsOutage = this.#isDown || this.#upAtEvent > before.atEvent
      const wasFrozen = this.#wasFrozenAfter(before.atEvent, before.pid)
      if (!this.#killed.has(before.pid) && !wasFrozen && !overlapsOutage) {
        this.#wrong(key, `ran in ${pid} though ${before.pid} was not killed and the store was up`)
      }
      if (epoch <= before.epoch) this.#wrong(key, `epoch ${epoch} after ${before.epoch}`)
    }
    state.lastRun = { ...run, atEvent }
  }

  /** What is noted by one that is frozen, it began before, though the note of the freeze may be first. */
  #wasFrozenAfter(atEvent: number, pid: number): boolean {
    return this.#frozen.has(pid) || (this.#thawedAtEvent.get(pid) ?? 0) > atEvent
  }

  #wrong(key: string, what: string): void {
    this.wrongs.push({ key, what })
  }

  #state(key: string): KeyState {
    let state = this.#keys.get(key)
    if (state === undefined) {
      state = {
        lastRun: undefined,
        hasRun: false,
        isDone: false,
        isKnown: false,
        grantedAtEvent: new Map(),
        copies: new Map(),
      }
      this.#keys.set(key, state)
    }
    return state
  }
}
