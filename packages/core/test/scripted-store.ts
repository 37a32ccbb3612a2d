import { MemoryStore } from '../src/index.ts'
import type {
  ClaimAnswer,
  ClaimOptions,
  ClaimRequest,
  ClaimUpdate,
  Clock,
  StoreBatching,
  StoreGuarantees,
  UpdateAnswer,
} from '../src/store/index.ts'
import type { Store } from '../src/index.ts'

/** One call of the store, before it is made: `apply` makes it. */
export interface Call {
  readonly operation: 'open' | 'claim' | 'update' | 'inspect' | 'forget' | 'close'
  readonly batch: readonly (ClaimRequest | ClaimUpdate)[]
}

type Around = (call: Call, apply: () => Promise<unknown>) => Promise<unknown>

const applied: Around = (_, apply) => apply()

/** A MemoryStore whose calls a test sees, and may delay, refuse, or answer otherwise. */
export class ScriptedStore implements Store {
  readonly name = 'scripted'
  readonly guarantees: StoreGuarantees
  readonly batching: StoreBatching
  readonly memory: MemoryStore
  readonly calls: Call[] = []
  readonly claimOptions: (ClaimOptions | undefined)[] = []
  around: Around = applied

  /** With the records of `memory`, as another connection to the same server. */
  constructor(
    clock: Clock,
    batching = { batchMax: 1024, batchesInFlightMax: 1 },
    memory = new MemoryStore({ clock }),
  ) {
    this.memory = memory
    // Several deduplicators of a test share it, as workers on several machines do.
    this.guarantees = { ...this.memory.guarantees, sharedBy: 'network' }
    this.batching = batching
  }

  open() {
    return this.#call('open', [], () => this.memory.open())
  }

  claim(batch: readonly ClaimRequest[], options?: ClaimOptions): Promise<readonly ClaimAnswer[]> {
    this.claimOptions.push(options)
    return this.#call('claim', batch, () => this.memory.claim(batch))
  }

  update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    return this.#call('update', batch, () => this.memory.update(batch))
  }

  inspect(ids: readonly string[]) {
    return this.#call('inspect', [], () => this.memory.inspect(ids))
  }

  forget(ids: readonly string[]) {
    return this.#call('forget', [], () => this.memory.forget(ids))
  }

  close() {
    return this.#call('close', [], () => this.memory.close())
  }

  /** The calls of one kind so far, without those of the self-test. */
  callsOf(operation: Call['operation']): readonly Call[] {
    return this.calls.filter((call) => call.operation === operation)
  }

  /** The updates of one kind so far. */
  updates(op: ClaimUpdate['op']): readonly ClaimUpdate[] {
    return this.calls
      .flatMap(({ batch }) => batch)
      .filter((entry) => 'op' in entry && entry.op === op) as ClaimUpdate[]
  }

  /** What a process sees after its end, or a client whose server is gone: no answer, ever. */
  hangs(): void {
    this.around = () => new Promise(() => {})
  }

  works(): void {
    this.around = applied
  }

  #call<Answer>(
    operation: Call['operation'],
    batch: Call['batch'],
    apply: () => Promise<Answer>,
  ): Promise<Answer> {
    const call = { operation, batch }
    this.calls.push(call)
    return this.around(call, apply) as Promise<Answer>
  }
}
