import type { Event } from './history.ts'

/**
 * What a history must not show where order is kept: a key that ran before the one that was sent before it in
 * its group was done. Each group is given as its keys in the order in which they were sent.
 */
export function disorderIn(events: readonly Event[], groups: readonly (readonly string[])[]): string[] {
  const [firstRun, firstDone] = [new Map<string, number>(), new Map<string, number>()]
  for (const [position, event] of events.entries()) {
    const moments =
      event.type === 'run'
        ? firstRun
        : event.type === 'done' || event.type === 'known'
          ? firstDone
          : undefined
    if (moments === undefined || !('key' in event) || moments.has(event.key)) continue
    moments.set(event.key, position)
  }
  return groups.flatMap((keys) =>
    keys.slice(1).flatMap((key, index) => {
      const before = keys[index] ?? ''
      const [ran, done] = [firstRun.get(key), firstDone.get(before)]
      if (ran === undefined || (done !== undefined && done < ran)) return []
      return [`${key}: ran before ${before} was done`]
    }),
  )
}
