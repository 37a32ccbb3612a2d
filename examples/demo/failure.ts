/** What ends the demo with a sentence and an exit code, and no stack trace. */
export class Failure extends Error {
  readonly exitCode: number

  constructor(message: string, { exitCode = 1, cause }: { exitCode?: number; cause?: unknown } = {}) {
    super(message, { cause })
    this.exitCode = exitCode
  }

  static {
    this.prototype.name = 'Failure'
  }
}

/** The short reason of an error of the network or the broker: a code where there is one. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error
  // A host with several addresses fails with one error for each of them.
  const first = error instanceof AggregateError ? (error.errors[0] as unknown) : error
  const { code, message } = first as NodeJS.ErrnoException
  return typeof code === 'string' ? code : (message.split('\n')[0] ?? error.name)
}
