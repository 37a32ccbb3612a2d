import type { BenchStore } from './bench-store.ts'
import { memory } from './memory.ts'
import { mongodb } from './mongodb.ts'
import { postgres } from './postgres.ts'
import { sqlite } from './sqlite.ts'

/** Every store that is measured. */
export const benchStores: readonly BenchStore[] = [memory, sqlite, mongodb, postgres]
