import { expect, test } from 'vitest'
import { admits } from './host-node.ts'
import type { HostNode } from './host-node.ts'

function node(major: number, minor: number): HostNode {
  return { path: '', version: [major, minor] }
}

test('engines admit what is new enough', () => {
  expect(admits('>=20', node(20, 0))).toBe(true)
  expect(admits('>=22.13', node(22, 12))).toBe(false)
  expect(admits('>=22.13.0', node(22, 13))).toBe(true)
  expect(admits('>=22.13', node(24, 0))).toBe(true)
  expect(() => admits('^20', node(20, 0))).toThrow('"^20"')
})
