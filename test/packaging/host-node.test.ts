import { expect, test } from 'vitest'
import { admits, requiresModules } from './host-node.ts'
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

test('require of ES modules needs 20.19 or 22.12', () => {
  expect([node(20, 18), node(20, 19), node(21, 7), node(22, 11), node(22, 12)].map(requiresModules)).toEqual([
    false,
    true,
    false,
    false,
    true,
  ])
})
