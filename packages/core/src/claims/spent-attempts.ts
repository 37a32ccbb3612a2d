/** Above every `attemptsMax`. */
const SPENT = 1_000_000

/**
 * What the attempts of a record become of which no start is left: more than any limit, with how many there
 * were, since a person who finds the message put aside is told.
 */
export function spentAfter(starts: number): number {
  return SPENT + starts
}

/** How many starts there were, of attempts that may be spent. */
export function startsOf(attempts: number): number {
  return attempts > SPENT ? attempts - SPENT : attempts
}

interface Told {
  readonly startsBefore?: number | undefined
  readonly returnsBefore?: number | undefined
}

/**
 * How many starts a copy tells, for certain. One that was sent before its key was forgiven goes on from them:
 * did each copy begin anew and leave another one behind now and then, there would be no end of them.
 */
export function startsTold({ startsBefore = 0, returnsBefore = startsBefore }: Told): number {
  return startsBefore - returnsBefore
}
