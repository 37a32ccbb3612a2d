import { startProgram } from '@oncemq/test-stores/children'
import type { Child } from '@oncemq/test-stores/children'

const program = new URL('child.ts', import.meta.url)

/** Starts another process on a server. */
export function startChild(url: string, prefix: string): Child {
  return startProgram(program, [url, prefix])
}
