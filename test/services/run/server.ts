import type { Ports } from './ports.ts'
import type { Settings } from './recipe.ts'

/** What a client is told of a server. */
export interface Description {
  readonly url: string
  readonly nodes: readonly NodeDescription[]
}

export interface NodeDescription {
  readonly name: string
  readonly port: number
  /** Undefined while it does not run. */
  readonly pid?: number | undefined
  /** What it wrote; gone with the server. */
  readonly log: string
}

/** What a test may do to its own server, or to one node of it. */
export type Action = 'start' | 'stop' | 'kill9' | 'pause' | 'resume'

export type Source = 'environment' | 'docker' | 'binaries'

export interface RunningServer {
  readonly source: Source
  describe(): Description
  do(action: Action, node?: string): Promise<void>
}

export type State = 'installing' | 'starting' | 'ready' | 'unavailable'

export interface Wanted {
  /** Only for the one who asks: it may be killed, and it is never one that somebody else started. */
  readonly own: boolean
  readonly settings: Settings
}

/** Whether it must be started with them, so that one that runs already will not do. */
export function hasSettings({ settings }: Wanted): boolean {
  return settings.args.length > 0 || Object.keys(settings.env).length > 0 || settings.diskMb !== undefined
}

/** Where an instance may be put: an empty folder that does not exist yet, and free ports. */
export interface Room {
  readonly folder: string
  readonly ports: Ports
  /** Hears how far it is. */
  readonly enter: (state: State) => void
  /** Takes note of how to end it, as soon as there is something to end. */
  readonly atEnd: (close: () => Promise<void>) => void
}
