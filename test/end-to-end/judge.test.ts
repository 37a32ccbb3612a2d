// The judge is judged: each wrong must be found, and its good neighbour must not.
import { describe, expect, test } from 'vitest'
import type { Event } from './history.ts'
import { wrongsIn } from './judge.ts'

const key = 'k'
const run = (pid: number, epoch: number): Event => ({ type: 'run', pid, key, epoch })
const step = (type: 'ran' | 'done' | 'known' | 'unconfirmed' | 'copy' | 'ack', pid: number): Event => ({
  type,
  pid,
  key,
})
const granted = (pid: number, epoch: number): Event => ({ type: 'granted', pid, key, epoch })
const handled = (pid: number, epoch = 1): Event[] => [run(pid, epoch), step('ran', pid), step('done', pid)]
const kill = (pid: number): Event => ({ type: 'kill', pid })
const frozen = (type: 'freeze' | 'kept' | 'thaw', pid: number): Event => ({ type, pid })
const [down, up]: readonly Event[] = [{ type: 'down' }, { type: 'up' }] as const

const right: Readonly<Record<string, readonly Event[]>> = {
  'a run and a copy of its message': [...handled(1), step('ack', 1), step('known', 2), step('ack', 2)],
  'a run after a kill': [run(1, 1), kill(1), ...handled(2, 2), step('ack', 2)],
  'a kill between the completion and what is told of it': [
    run(1, 1),
    step('ran', 1),
    kill(1),
    step('known', 2),
    step('ack', 2),
  ],
  'a run after an outage': [run(1, 1), down as Event, step('ran', 1), up as Event, ...handled(2, 2)],
  'a run during an outage': [down as Event, run(1, 1), ...handled(2, 2), up as Event],
  'a run after a freeze': [run(1, 1), frozen('freeze', 1), ...handled(2, 2), frozen('thaw', 1)],
  'a run between the note of a freeze and the freeze': [frozen('freeze', 1), run(1, 1), ...handled(2, 2)],
  'a run that was frozen on its way from the grant': [
    granted(1, 1),
    frozen('freeze', 1),
    granted(2, 2),
    ...handled(2, 2),
    frozen('thaw', 1),
    run(1, 1),
  ],
  'a run after one that was frozen on its way from the grant': [
    granted(1, 1),
    frozen('freeze', 1),
    frozen('thaw', 1),
    run(1, 1),
    ...handled(2, 2),
  ],
  'a run after a freeze of somebody else, who kept the store': [
    run(1, 1),
    frozen('freeze', 3),
    step('ran', 1),
    step('unconfirmed', 1),
    frozen('kept', 3),
    frozen('thaw', 3),
    ...handled(2, 2),
  ],
  'an original acked after its copy': [run(1, 1), step('copy', 2), step('ack', 2), ...handled(1, 2).slice(1)],
}

const wrong: Readonly<Record<string, readonly [finding: RegExp, events: readonly Event[]]>> = {
  'a key that never ran': [/^k: lost/, []],
  'a handler that never came to its end': [/^k: lost/, [run(1, 1), kill(1)]],
  'an ack before the handler': [/acked by 1 before/, [step('ack', 1), ...handled(1)]],
  'an ack before the completion': [/acked by 1 before/, [run(1, 1), step('ran', 1), step('ack', 1)]],
  'two acks for one copy': [/acked by 2 before/, [step('copy', 2), step('ack', 2), step('ack', 2)]],
  'an ack for a copy of somebody else': [/acked by 1 before/, [step('copy', 2), step('ack', 1)]],
  'a key done without a run': [/known in 1 before/, [step('known', 1)]],
  'a run after it was done': [/after it was done/, [...handled(1), run(1, 2)]],
  'a run after it was done, with a kill': [/after it was done/, [...handled(1), kill(1), run(2, 2)]],
  'a second run for no reason': [/was not killed/, [run(1, 1), run(2, 2)]],
  'a second run after a kill of somebody else': [/was not killed/, [run(1, 1), kill(3), run(2, 2)]],
  'a second run after the end of a freeze': [
    /was not killed/,
    [frozen('freeze', 1), frozen('thaw', 1), run(1, 1), run(2, 2)],
  ],
  'a run that is granted late, after a freeze': [
    /after it was done/,
    [frozen('freeze', 1), ...handled(2, 2), frozen('thaw', 1), granted(1, 1), run(1, 1)],
  ],
  'a run without a grant, after a freeze': [
    /after it was done/,
    [frozen('freeze', 1), ...handled(2, 2), frozen('thaw', 1), run(1, 1)],
  ],
  'a second run after a freeze of somebody else, who did not keep the store': [
    /was not killed/,
    [run(1, 1), frozen('freeze', 3), step('unconfirmed', 1), frozen('thaw', 3), run(2, 2)],
  ],
  'a second run long after the store was kept by somebody': [
    /was not killed/,
    [frozen('freeze', 3), frozen('kept', 3), frozen('thaw', 3), run(1, 1), run(2, 2)],
  ],
  'a second run long after an outage': [/was not killed/, [down as Event, up as Event, run(1, 1), run(2, 2)]],
  'an epoch that stays': [/epoch 1 after 1/, [run(1, 1), kill(1), run(2, 1)]],
}

describe('the judge finds nothing in', () => {
  test.each(Object.entries(right))('%s', (_, events) => expect(wrongsIn(events, [key])).toEqual([]))
})

describe('the judge finds', () => {
  test.each(Object.entries(wrong))('%s', (_, [finding, events]) => {
    expect(wrongsIn(events, [key])).toContainEqual(expect.stringMatching(finding))
  })
})

test('the first wrong of a key comes with its story, and with that of no other', () => {
  const other: Event = { type: 'run', pid: 4, key: 'other', epoch: 1 }
  const events = [run(1, 1), other, kill(3), run(2, 1)].map((event, atMs) => ({ ...event, atMs }))
  const [wrong = '', ...wrongs] = wrongsIn(events, [])
  expect(wrong.split('\n').slice(1)).toEqual([
    '  00:00:00.000 run pid 1 key k epoch 1',
    '  00:00:00.002 kill pid 3',
    '  00:00:00.003 run pid 2 key k epoch 1',
  ])
  expect(wrongs).toEqual(['k: epoch 1 after 1'])
})
