import 'vitest'

declare module 'vitest' {
  interface TaskMeta {
    /** Why a test or a suite is skipped; printed at the end of the run. */
    skipReason?: string
  }
}
