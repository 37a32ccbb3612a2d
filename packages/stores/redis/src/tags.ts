/**
 * The hash tags of the keys. A script's keys must lie in one slot of a cluster, and random ids would lie in as
 * many slots as there are ids: so ids are put into a few slots by their first digit, and a batch becomes at
 * most so many scripts. Sixteen were measured to be twice as fast as 256. These names are the two-letter
 * words whose slots lie next to the middle of each sixteenth of the 16384 slots, so that 2 to 16 nodes with
 * equal ranges get nearly equal shares.
 */
const TAGS = 'ma qp dj wz lg pv uh iy ly ph uv yc rz qn dt ha'.split(' ')

/** The key of the record with this id. */
export function keyOf(prefix: string, id: string): string {
  return `${prefix}:{${TAGS[Number.parseInt(id.charAt(0), 16)]}}:${id}`
}

/** Positions in `ids` that share a tag, and so a slot: those that may be in one script. */
export function positionsByTag(ids: readonly string[]): readonly (readonly number[])[] {
  const byDigit = new Map<string, number[]>()
  for (const [position, id] of ids.entries()) {
    const digit = id.charAt(0)
    const positions = byDigit.get(digit)
    if (positions === undefined) byDigit.set(digit, [position])
    else positions.push(position)
  }
  return [...byDigit.values()]
}
