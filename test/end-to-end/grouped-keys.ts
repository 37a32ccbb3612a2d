const GROUPS = 10

/** Keys `group-number`, numbered through within their group, and the same ones by their groups. */
export function groupedKeys(count: number) {
  const keys = Array.from({ length: count }, (_, index) => `g${index % GROUPS}-${index}`)
  const groups = Array.from({ length: GROUPS }, (_, group) =>
    keys.filter((key) => groupOf(key) === `g${group}`),
  )
  return { keys, groups }
}

export function groupOf(key: string): string {
  return key.split('-')[0] ?? ''
}
