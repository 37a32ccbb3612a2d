/**
 * The hash tags of the keys. A script's keys must lie in one slot of a cluster, and random ids would lie in
 * as many slots as there are ids: so ids are put into a few slots by their first digit, and a batch becomes
 * at most so many scripts. Sixteen were measured to be twice as fast as 256. These names are the two-letter
 * words whose slots lie next to the middle of each sixteenth of the 16384 slots, so that 2 to 16 nodes with
 * equal ranges get nearly equal shares.
 */
const TAGS = 'ma qp dj wz lg pv uh iy ly ph uv yc rz qn dt ha'.split(' ')

/** The key of the record with this id. */
export function keyOf(prefix: string, id: string): string {
  return `${prefix}:{${tagOf(id)}}:${id}`
}

/** The tag of the record with this id: records with one tag are in one slot. */
export function tagOf(id: string): string {
  return TAGS[Number.parseInt(id.charAt(0), 16)] as string
}
