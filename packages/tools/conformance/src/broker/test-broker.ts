import { registerProperties } from '../register.ts'
import type { BrokerSuiteOptions } from './options.ts'
import { brokerProperties } from './properties.ts'
import { runBrokerCase } from './run-case.ts'

/**
 * Registers with vitest every property that an adapter must keep on its broker, whatever its API looks like.
 * @example testBroker('rabbitmq, managed', { open: ({ namespace }) => openBench(url, namespace) })
 */
export function testBroker(name: string, options: BrokerSuiteOptions): void {
  registerProperties(`broker ${name}`, brokerProperties, (testCase) => runBrokerCase(options, testCase))
}
