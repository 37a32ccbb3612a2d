import { describe, expect, test } from 'vitest'
import { Semaphore } from '../../src/store/index.ts'

describe('a semaphore', () => {
  test('lets so many pass, and the others in the order in which they came', async () => {
    const semaphore = new Semaphore(2)
    const order: number[] = []
    const runs = [0, 1, 2, 3].map((at) => semaphore.acquire().then(() => order.push(at)))
    await Promise.all(runs.slice(0, 2))
    expect([order, semaphore.free]).toEqual([[0, 1], 0])
    semaphore.release()
    await runs[2]
    semaphore.release()
    await runs[3]
    expect(order).toEqual([0, 1, 2, 3])
    semaphore.release()
    semaphore.release()
    expect(semaphore.free).toBe(2)
  })

  test('gives no permit to one that has stopped waiting', async () => {
    const semaphore = new Semaphore(1)
    await semaphore.acquire()
    const controller = new AbortController()
    const given = semaphore.acquire(controller.signal)
    const next = semaphore.acquire(new AbortController().signal)
    controller.abort(new Error('no longer'))
    await expect(given).rejects.toThrow('no longer')
    semaphore.release()
    await next
    expect(semaphore.free).toBe(0)
    await expect(semaphore.acquire(AbortSignal.abort(new Error('before')))).rejects.toThrow('before')
  })
})
