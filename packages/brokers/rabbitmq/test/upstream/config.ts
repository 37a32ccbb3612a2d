/** Where the child process finds its configuration, as JSON. */
export const CONFIG_VARIABLE = 'ONCEMQ_UPSTREAM'

export type Channels = 'bare' | 'wrapped' | 'wrapped, keyed'

export interface UpstreamConfig {
  /** The path of the library's package, whose own tests run. */
  readonly entry: string
  readonly url: string
  /** What the channels are; `keyed` gives each message that is published an id of its own. */
  readonly channels: Channels
}

/** One test's end, a line of the child's output. */
export interface UpstreamResult {
  readonly name: string
  readonly passed: boolean
  readonly error?: string | undefined
}
