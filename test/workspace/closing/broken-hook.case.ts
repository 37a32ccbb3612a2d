import { beforeAll, describe, expect, test } from 'vitest'

describe('its hook throws', () => {
  beforeAll(() => {
    throw new Error('no table')
  })
  test('never starts', () => expect.unreachable())
})
