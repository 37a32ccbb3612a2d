import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type Event, History } from './history.ts'

const events: readonly Event[] = [{ type: 'kill', pid: 1 }, { type: 'down' }]

test('what a process that was killed did not write to its end is no event, and spoils no other', () => {
  const folder = mkdtempSync(join(tmpdir(), 'oncemq-history-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'history')
  const history = new History(file)
  const [first, second] = events as [Event, Event]
  history.append(first)
  appendFileSync(file, '\n{"type":"ack","pid"')
  expect(history.events()).toMatchObject([first])
  history.append(second)
  expect(history.events()).toMatchObject(events)
})
