import type { SuiteDeadLetter } from './options.ts'

/** Of several dead letters, the payloads. */
export function bodiesOf(letters: readonly SuiteDeadLetter[]): string[] {
  return letters.map(({ body }) => body)
}
