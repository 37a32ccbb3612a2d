import { OptionError, received } from '../../errors.ts'

/** A transition in the user's words: it leads from one state, or any of several, to one. */
export interface Transition {
  readonly from: string | readonly string[]
  readonly to: string
}

/** The states of a row and what leads from one to another. */
export interface MachineOptions {
  /** In which state rows are created: one, or several. */
  initial: string | readonly string[]
  /** The states from which nothing leads on. Any other state without a way out is refused. */
  final: readonly string[]
  /** The transitions by name, such as `{ pay: { from: 'pending', to: 'paid' } }`. */
  transitions: Readonly<Record<string, Transition>>
  /**
   * What a message means whose transition may have happened before, or never: the row is in a state that can
   * be reached with it and without it, such as `cancelled` for `pay` where both `pending` and `paid` can be
   * cancelled. `duplicate` acks it, `dead-letter` puts it aside. To be said where there are such states,
   * unless `record` is true, which tells the two apart.
   */
  onAmbiguous?: 'duplicate' | 'dead-letter'
}

/** Where a row stands, seen from a transition. */
export type Place =
  /** The transition leads from here. */
  | 'here'
  /** It has happened already. */
  | 'past'
  /** It may still come to where the transition leads from. */
  | 'behind'
  /** It cannot have happened, and never will. */
  | 'impossible'

const STATE_MAX = 200
const STATES_MAX = 1000

type Edge = readonly [from: string, to: string, name: string]

/**
 * A state machine, checked once. Where a row stands is decided by which states can be reached from which:
 *
 *   initial ──▶ ... ──▶ from ──transition──▶ to ──▶ ... ──▶ final
 *     └────behind────┘   here                 └────past────┘      anything else: impossible, or ambiguous
 */
export class Machine {
  readonly states: readonly string[]
  readonly #edges: readonly Edge[]
  readonly #initial: readonly string[]
  readonly #places = new Map<string, ReadonlyMap<string, Place>>()
  readonly #transitions = new Map<string, { readonly from: readonly string[]; readonly to: string }>()

  /** @throws OptionError for a machine that cannot work, or not without a record. */
  constructor(options: MachineOptions, hasRecord: boolean) {
    this.#initial = listOf('initial', options.initial)
    const final = listOf('final', options.final)
    for (const [name, transition] of Object.entries(requireTransitions(options.transitions))) {
      const from = listOf(`transitions.${name}.from`, transition?.from)
      this.#transitions.set(name, { from, to: stateOf(`transitions.${name}.to`, transition?.to) })
    }
    this.#edges = [...this.#transitions].flatMap(([name, { from, to }]) =>
      from.map((state): Edge => [state, to, name]),
    )
    const named = [...this.#initial, ...final, ...this.#edges.flatMap(([from, to]) => [from, to])]
    this.states = [...new Set(named)]
    this.#requireReachable()
    this.#requireEnds(new Set(final))
    const isCyclic = this.states.some((state) => this.#after(state).has(state))
    if (isCyclic && !hasRecord) throw cyclic(this.states.filter((state) => this.#after(state).has(state)))
    for (const name of this.#transitions.keys()) {
      this.#places.set(name, this.#placesOf(name, hasRecord ? 'dead-letter' : options.onAmbiguous))
    }
  }

  /** The transition of this name, if there is one. */
  transition(name: string): { readonly from: readonly string[]; readonly to: string } | undefined {
    return this.#transitions.get(name)
  }

  /**
   * Where a row in `state` stands for a transition. A state that is none of the machine's is `impossible`.
   */
  place(transition: string, state: string): Place {
    return this.#places.get(transition)?.get(state) ?? 'impossible'
  }

  #placesOf(name: string, onAmbiguous: MachineOptions['onAmbiguous']): ReadonlyMap<string, Place> {
    const { from, to } = this.#transitions.get(name) ?? { from: [], to: '' }
    const withIt = new Set([to, ...this.#after(to)])
    const withoutIt = this.#reachable(this.#initial, (edge) => edge[2] !== name)
    return new Map(
      this.states.map((state): [string, Place] => {
        if (from.includes(state)) return [state, 'here']
        const after = this.#after(state)
        if (from.some((each) => after.has(each))) return [state, 'behind']
        if (!withIt.has(state)) return [state, 'impossible']
        if (!withoutIt.has(state)) return [state, 'past']
        if (onAmbiguous === undefined) throw ambiguous(name, state)
        return [state, onAmbiguous === 'duplicate' ? 'past' : 'impossible']
      }),
    )
  }

  /** The states that can be reached from `state` by one transition or more. */
  #after(state: string): ReadonlySet<string> {
    const next = this.#edges.filter(([from]) => from === state).map(([, to]) => to)
    return this.#reachable(next)
  }

  #reachable(from: readonly string[], passes: (edge: Edge) => boolean = () => true): ReadonlySet<string> {
    const found = new Set(from)
    for (const state of found) {
      for (const edge of this.#edges) if (edge[0] === state && passes(edge)) found.add(edge[1])
    }
    return found
  }

  #requireReachable(): void {
    const reachable = this.#reachable(this.#initial)
    const lost = this.states.filter((state) => !reachable.has(state))
    if (lost.length === 0) return
    throw new OptionError(
      `transitions: expected ways from the initial state to all, received none to ${quotedList(lost)}; ` +
        `add a transition, or name it in 'initial'`,
    )
  }

  #requireEnds(final: ReadonlySet<string>): void {
    const ends = this.states.filter((state) => this.#after(state).size === 0)
    const undeclared = ends.filter((state) => !final.has(state))
    const goesOn = [...final].filter((state) => !ends.includes(state))
    if (undeclared.length === 0 && goesOn.length === 0) return
    const what =
      undeclared.length > 0
        ? `the dead ends ${quotedList(undeclared)} besides`
        : `transitions that lead on from ${quotedList(goesOn)}`
    throw new OptionError(
      `final: expected the states from which nothing leads on, received ${what}; ` +
        `name each dead end in 'final', and nothing else`,
    )
  }
}

function requireTransitions(given: unknown): Readonly<Record<string, Transition | undefined>> {
  if (typeof given === 'object' && given !== null && Object.keys(given).length > 0) {
    return given as Readonly<Record<string, Transition | undefined>>
  }
  throw new OptionError(
    `transitions: expected an object of transitions by name, received ${received(given)}; ` +
      `such as { pay: { from: 'pending', to: 'paid' } }`,
  )
}

function listOf(option: string, given: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(given) ? given : [given]
  if (list.length > STATES_MAX || (list.length === 0 && option !== 'final')) {
    throw new OptionError(`${option}: expected 1 to ${STATES_MAX} states, received ${list.length}; name them`)
  }
  return [...new Set(list.map((state) => stateOf(option, state)))]
}

function stateOf(option: string, state: unknown): string {
  if (typeof state === 'string' && state !== '' && state.length <= STATE_MAX) return state
  const what = typeof state === 'string' ? `one of ${state.length} characters` : received(state)
  throw new OptionError(
    `${option}: expected a state (1 to ${STATE_MAX} characters), received ${what}; ` +
      `write it as the column holds it`,
  )
}

function cyclic(states: readonly string[]): OptionError {
  return new OptionError(
    `transitions: expected no way back to a state without a record, received one to ${quotedList(states)}; ` +
      `a state that comes again does not tell a duplicate from a new event: set record to true`,
  )
}

function ambiguous(transition: string, state: string): OptionError {
  return new OptionError(
    `onAmbiguous: expected 'duplicate' or 'dead-letter', received undefined, and '${state}' can be reached ` +
      `with '${transition}' and without; say what a late '${transition}' means there, or set record to true`,
  )
}

function quotedList(states: readonly string[]): string {
  return states.map((state) => `'${state}'`).join(', ')
}
