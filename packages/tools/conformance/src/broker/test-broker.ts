import { registerProperties } from '../register.ts'
import type { BrokerSuiteOptions } from './options.ts'
import type { BrokerCase } from './property.ts'
import { brokerProperties } from './properties.ts'
import { runBrokerCase } from './run-case.ts'

/**
 * Registers with vitest every property that an adapter must keep on its broker, whatever its API looks like.
 * What its client cannot do by its nature is skipped with the reason that you give.
 * @example testBroker('rabbitmq, managed', { open: ({ namespace }) => openBench(url, namespace) })
 */
export function testBroker(name: string, options: BrokerSuiteOptions): void {
  const { concurrent } = options
  const runCase = (testCase: BrokerCase): Promise<string | undefined> => runBrokerCase(options, testCase)
  registerProperties(`broker ${name}`, brokerProperties, runCase, { concurrent })
}
