// The last lines of every test run: what was skipped and why, then `N passed, N failed` alone on a line.
// "What was not run" is as loud as "what failed": green must not mean "not started".

/**
 * @typedef {{ reason: string, file: string, count: number }} Skip
 * @typedef {{ passed: number, failed: number, skipped: Skip[] }} Tally
 */

/** @returns {Tally} */
export function emptyTally() {
  return { passed: 0, failed: 0, skipped: [] }
}

/** @param {Tally[]} tallies */
export function sum(tallies) {
  const total = emptyTally()
  for (const { passed, failed, skipped } of tallies) {
    total.passed += passed
    total.failed += failed
    total.skipped.push(...skipped)
  }
  return total
}

/** @param {Tally} tally */
export function closingLines({ passed, failed, skipped }) {
  const reasons = new Map()
  for (const { reason, file, count } of skipped) {
    const group = reasons.get(reason) ?? { count: 0, files: new Set() }
    group.count += count
    group.files.add(file)
    reasons.set(reason, group)
  }
  const lines = [...reasons].map(
    ([reason, { count, files }]) => `skipped ${count} (${[...files].join(', ')}): ${reason}`,
  )
  return [...lines, `${passed} passed, ${failed} failed`]
}
