/** How a test wants its server; a server with settings is never one that somebody else started. */
export interface Settings {
  /**
   * More arguments, or lines of configuration where the server has a file for that; the recipe says which.
   */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Megabytes of a disk that it has for itself, so that a test can fill it. */
  readonly diskMb?: number | undefined
}

/**
 * Where one server lives: a folder of its own, removed with it, and loopback ports that no one else takes.
 */
export interface Place {
  readonly folder: string
  readonly settings: Settings
  /** Answers the first of `count` adjacent free ports. */
  readonly ports: (count: number) => Promise<number>
}

/** One process of a server. */
export interface Program {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  /** The whole environment, so that nothing of the caller's leaks in; PATH is the least a shell needs. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** It is ready when it, and no stranger, listens here, and has written `readyLine` since its start. */
  readonly port: number
  readonly readyLine?: RegExp
  /** The signal for an orderly end. */
  readonly stopSignal: 'SIGTERM' | 'SIGINT'
  /** Serves the others (a name server): it stays up when a test stops or kills the server. */
  readonly auxiliary?: boolean
  /** Refuses to be root, so root starts it as another user. */
  readonly unprivileged?: boolean
}

export interface Plan {
  readonly url: string
  readonly programs: readonly Program[]
  /** Before the first start: makes an empty database. */
  prepare?(): Promise<void>
  /** After each start: joins the programs to one server, and answers when all of it serves. */
  join?(): Promise<void>
}

/** A server of docker compose, by the same name in `compose.yaml`. */
export interface Container {
  /** The port inside of the container. */
  readonly port: number
  url(port: number): string
}

/** What has to be known of one server to start it; one for each version that the tests use. */
export interface Recipe<Name extends string = string> {
  readonly name: Name
  /** The family's variable (ONCEMQ_RABBITMQ_URL) means this version. */
  readonly isDefault: boolean
  readonly container?: Container
  /** Gets the programs, from the cache or from the package registries, and says how they are started. */
  install(): Promise<(place: Place) => Promise<Plan>>
}
