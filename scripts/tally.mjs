// A vitest reporter that counts. Alone it prints the closing lines; under `npm test`, which runs vitest
// several times, it leaves its counts in the file that ONCEMQ_TALLY names.
import { writeFileSync } from 'node:fs'
import { closingLines } from './closing.mjs'

const SETUP_FAILED = 'what prepares them failed, see above'
const NO_REASON = 'no reason given (use context.skip(reason) or meta: { skipReason })'

export default class TallyReporter {
  onTestRunEnd(testModules, unhandledErrors) {
    const tally = count(testModules, unhandledErrors)
    const file = process.env.ONCEMQ_TALLY
    if (file === undefined) process.stdout.write(`${closingLines(tally).join('\n')}\n`)
    else writeFileSync(file, JSON.stringify(tally))
  }
}

/** A file that does not load and a hook that throws are failures too, though no test case carries them. */
export function count(testModules, unhandledErrors) {
  const tally = { passed: 0, failed: unhandledErrors.length, skipped: [] }
  for (const testModule of testModules) {
    if (testModule.errors().length > 0) tally.failed += 1
    for (const suite of testModule.children.allSuites()) if (suite.errors().length > 0) tally.failed += 1
    for (const test of testModule.children.allTests()) countTest(tally, test, testModule.relativeModuleId)
  }
  return tally
}

function countTest(tally, test, file) {
  const { state } = test.result()
  if (state === 'passed') tally.passed += 1
  else if (state === 'failed') tally.failed += 1
  else tally.skipped.push({ reason: reasonOf(test), file, count: 1 })
}

function reasonOf(test) {
  const { note } = test.result()
  if (note !== undefined) return note
  for (let task = test; task !== undefined; task = task.parent) {
    const { skipReason } = task.meta()
    if (skipReason !== undefined) return skipReason
    if (task.type !== 'test' && task.errors().length > 0) return SETUP_FAILED
  }
  return test.options.mode === 'todo' ? 'todo' : NO_REASON
}
