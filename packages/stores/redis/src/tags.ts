/**
 * The hash tags of the keys. A script's keys must lie in one slot of a cluster, and random ids would lie in
 * as many slots as there are ids: so ids are put into a few slots by their first digit, and a batch becomes
 * at most so many scripts. Sixteen were measured to be twice as fast as 256. These names are the two-letter
 * words whose slots lie next to the middle of each sixteenth of the 16384 slots, so that 2 to 16 nodes with
 * equal ranges get nearly equal shares.
 */
const TAGS = 'ma qp dj wz lg pv uh iy ly ph uv yc rz qn dt ha'.split(' ')

/** How the keys of a store are made: what stands before the id, by the id's first digit. */
export function keysWith(prefix: string): (id: string) => string {
  const starts = TAGS.map((tag) => `${prefix}:{${tag}}:`)
  return (id) => `${starts[tagOf(id)]}${id}`
}

/** Which tag the record with this id has: records with one tag are in one slot. */
export function tagOf(id: string): number {
  return Number.parseInt(id.charAt(0), 16)
}
