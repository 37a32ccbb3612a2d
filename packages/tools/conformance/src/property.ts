/** What every store, or every broker adapter, must keep: cases that run without a test runner too. */
export interface Property<Context, Need extends string> {
  readonly name: string
  readonly cases: readonly PropertyCase<Context, Need>[]
}

/** One case of a {@link Property}. */
export interface PropertyCase<Context, Need extends string> {
  readonly name: string
  /** The case is skipped, with its reason, where this is not so. */
  readonly needs?: Need
  /** Rejects when the property is not kept. */
  run(context: Context): Promise<void>
}
