import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['packages/**/*.test.ts', 'examples/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    // Most files wait for a broker most of the time: three of them keep two cores busy. No file may count on
    // being alone with a shared server, or with the machine.
    maxWorkers: 3,
    // Bounds, not expectations: real servers start within them on a busy machine with two cores.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 20_000 } },
    // Of the few tests that run side by side, as they mostly wait for a broker.
    maxConcurrency: 12,
    // One supervisor owns the real servers that the test files share, and one build serves all of them.
    globalSetup: ['test/services/client/setup.ts', 'test/packaging/setup.ts'],
    // A file that breaks its process leaves its neighbours alone.
    isolate: true,
    reporters: ['default', './scripts/tally.mjs'],
  },
  // Packages read each other's sources: no build is needed to run the tests.
  ssr: { resolve: { conditions: ['@oncemq/source', 'node', 'module'] } },
})
