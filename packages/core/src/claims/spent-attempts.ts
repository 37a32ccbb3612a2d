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
