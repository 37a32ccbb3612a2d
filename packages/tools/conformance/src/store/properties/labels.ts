import { assertBusy, assertRecord } from '../answers.ts'
import type { StoreProperty } from '../property.ts'
import { newClaim, rivalOf } from '../requests.ts'
import { LONG_MS } from '../worker.ts'

const LABEL_MAX = 256

const HOSTILE: readonly string[] = [
  '',
  ' ',
  'trailing space ',
  `'; DROP TABLE oncemq; --`,
  '"quoted" `ticked` \\escaped\\',
  '$where: 1',
  '{"$gt":""}',
  '__proto__',
  'constructor',
  '%s %d %n _ *',
  'line\nbreak\r\ttab',
  '\u0001\u001b[31m',
  '../../etc/passwd',
  'null',
  'undefined',
  '0',
  '1e3',
  'Stra\u00dfe stra\u00dfe STRASSE',
  '\u00e9 e\u0301 \u00c9',
  '\u202eright to left',
  '\u200bzero width\ufeff',
  '\u{1F600}'.repeat(LABEL_MAX / 2),
  '\u4e2d'.repeat(LABEL_MAX),
  '\uffff\u{10FFFF}',
  'a:b|c\u001fd',
  'x'.repeat(LABEL_MAX),
]

export const labels: StoreProperty = {
  name: 'hostile labels',
  cases: [
    {
      name: 'a label is text for people and comes back as it was',
      async run({ worker, another }) {
        const other = await another()
        const claims = HOSTILE.map((label) => newClaim({ label }))
        for (const claim of claims) {
          await worker.claim(claim)
          assertRecord(await other.inspect(claim.id), { state: 'running', label: claim.label })
        }
      },
    },
    {
      name: 'a label stays through completion and release',
      async run({ worker }) {
        const [done, free] = [newClaim({ label: 'billing:1' }), newClaim({ label: 'billing:2' })]
        await worker.claim(done)
        await worker.claim(free)
        await worker.complete(done)
        await worker.release(free)
        assertRecord(await worker.inspect(done.id), { state: 'done', label: 'billing:1' })
        assertRecord(await worker.inspect(free.id), { state: 'free', label: 'billing:2' })
      },
    },
    {
      name: 'a label is no identity: one label on two ids, two labels on one id',
      async run({ worker }) {
        const [first, second] = [newClaim({ label: 'same' }), newClaim({ label: 'same' })]
        await worker.claim(first)
        await worker.complete(first)
        const { status } = await worker.claim(second)
        assertRecord(await worker.inspect(second.id), { state: 'running', label: 'same' })
        if (status === 'granted')
          assertBusy(await worker.claim(rivalOf(second, { label: 'other' })), 1, LONG_MS)
        assertRecord(await worker.inspect(second.id), { label: 'same' })
      },
    },
  ],
}
