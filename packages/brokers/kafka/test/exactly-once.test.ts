import { PermanentError } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'
import { parkedHeaders } from '../src/index.ts'
import { Pipeline, textOf } from './pipeline.ts'
import { until } from './set-up.ts'

describeService('kafka-4.4', ({ url }) => {
  test('outputs and offsets commit together', async () => {
    const pipeline = await Pipeline.open(url)
    const outputs = await pipeline.outputs()
    const { target } = pipeline
    const { dedup } = await pipeline.run(async (message, { tx }) => {
      await tx.send({ topic: target, messages: [{ value: `${textOf(message)}!` }] })
    })
    await pipeline.send('a', 'b', 'c')
    await pipeline.done(3)
    await until('the outputs', () => outputs.length === 3)
    expect(outputs).toEqual(['a!', 'b!', 'c!'])
    expect(dedup.counts()).toMatchObject({ completed: 3, failed: 0 })
    expect(pipeline.warnings).toEqual([])
  })

  test('what a handler sent that fails is aborted, and it is tried again', async () => {
    const pipeline = await Pipeline.open(url)
    const outputs = await pipeline.outputs()
    const { target } = pipeline
    const { dedup } = await pipeline.run(async (message, { tx, attempt }) => {
      await tx.send({ topic: target, messages: [{ value: `${textOf(message)} ${attempt}` }] })
      if (textOf(message) === 'b' && attempt < 3) throw new Error('not yet')
    })
    await pipeline.send('a', 'b', 'c')
    await pipeline.done(3)
    await until('the outputs', () => outputs.length === 3)
    expect(outputs).toEqual(['a 1', 'b 3', 'c 1'])
    expect(dedup.counts()).toMatchObject({ completed: 3, failed: 2 })
  })

  test('a send that fails ends the transaction, also where the handler goes on', async () => {
    const pipeline = await Pipeline.open(url)
    const outputs = await pipeline.outputs()
    const { target } = pipeline
    await pipeline.run(async (message, { tx, attempt }) => {
      await tx.send({ topic: target, messages: [{ value: `${textOf(message)} ${attempt}` }] })
      // Larger than a broker takes.
      const messages = [{ value: Buffer.alloc(2_000_000) }]
      if (attempt === 1) await tx.send({ topic: target, messages }).catch(() => undefined)
    })
    await pipeline.send('a')
    await pipeline.done(1)
    await until('the output', () => outputs.length > 0)
    expect(outputs).toEqual(['a 2'])
  })

  test('a send after the end of its handler is refused, and enters no other transaction', async () => {
    const pipeline = await Pipeline.open(url)
    const outputs = await pipeline.outputs()
    const { target } = pipeline
    const [left, late]: [(() => Promise<void>)[], unknown[]] = [[], []]
    await pipeline.run(async (message, { tx }) => {
      for (const send of left.splice(0)) await send().catch((error: unknown) => late.push(error))
      left.push(() => tx.send({ topic: target, messages: [{ value: `late ${textOf(message)}` }] }))
      // Not awaited, and still within its handler: it belongs to this record.
      void tx.send({ topic: target, messages: [{ value: textOf(message) }] })
    })
    await pipeline.send('a', 'b')
    await pipeline.done(2)
    await until('the outputs', () => outputs.length === 2)
    expect(outputs).toEqual(['a', 'b'])
    expect(late).toMatchObject([{ code: 'ONCEMQ_TRANSACTION_ENDED' }])
  })

  test('a poison record is parked with its offset, and the partition goes on', async () => {
    const pipeline = await Pipeline.open(url)
    const [outputs, parked] = await Promise.all([pipeline.outputs(), pipeline.topic.deadLetters()])
    const { target } = pipeline
    const { dedup } = await pipeline.run(
      async (message, { tx }) => {
        await tx.send({ topic: target, messages: [{ value: textOf(message) }] })
        if (textOf(message) === 'poison') throw new Error('always')
        if (textOf(message) === 'permanent') throw new PermanentError('never')
      },
      { attemptsMax: 3 },
    )
    await pipeline.send('a', 'poison', 'permanent', 'b')
    await pipeline.done(4)
    await until('the dead letters', () => parked.length === 2)
    await until('the outputs', () => outputs.length === 2)
    expect(outputs).toEqual(['a', 'b'])
    expect(parked.map(({ value, headers }) => [value, headers[parkedHeaders.reason]])).toEqual([
      ['poison', 'attempts'],
      ['permanent', 'permanent'],
    ])
    expect(parked[0]?.headers[parkedHeaders.attempts]).toBe('3')
    expect(dedup.counts()).toMatchObject({ failed: 4, deadLettered: 2 })
  })

  test('records share a transaction, and one that fails runs alone', async () => {
    const pipeline = await Pipeline.open(url)
    const outputs = await pipeline.outputs()
    const { target } = pipeline
    const starts: string[] = []
    const values = Array.from({ length: 12 }, (_, index) => `${index}`)
    await pipeline.send(...values)
    await pipeline.run(
      async (message, { tx, attempt }) => {
        const value = textOf(message)
        starts.push(value)
        await tx.send({ topic: target, messages: [{ value }] })
        if (value === '5' && attempt === 1) throw new Error('once')
      },
      { batch: { max: 8 } },
    )
    await pipeline.done(12)
    await until('the outputs', () => outputs.length === 12)
    expect(outputs).toEqual(values)
    // All that were with the one that failed; it alone until it is done; then the rest.
    expect(starts.slice(0, 6)).toEqual(['0', '1', '2', '3', '4', '5'])
    expect(starts.slice(6, 12)).toEqual(['0', '1', '2', '3', '4', '5'])
    expect(starts.slice(12)).toEqual(['5', '6', '7', '8', '9', '10', '11'])
    // Each transaction has an end, with an offset of its own: one was aborted, then 0 to 4 alone, then the 5
    // that failed, and the rest with it.
    expect((await pipeline.size()) - starts.length).toBe(1 + 5 + 1 + 1)
  })
})
