import { OncemqError } from '@oncemq/core'
import { has } from './clients/platformatic-raw.ts'

const CAUSES_MAX = 8
/** What kafkajs makes of every answer about a coordinator that it does not take. */
const NO_COORDINATOR = 'KafkaJSGroupCoordinatorNotFound'

const REMEDIES = [
  ['GROUP_AUTHORIZATION_FAILED', 'a group that may be joined', 'grant READ on the group'],
  ['TOPIC_AUTHORIZATION_FAILED', 'topics that may be read', 'grant READ on the topics'],
] as const

/** The error of a member that has not the right to be one; any other error as it is. */
export function refusalOf(cause: unknown): unknown {
  const causes = causesOf(cause)
  for (const [name, expected, remedy] of REMEDIES) {
    const isIt = (each: Error): boolean =>
      has(each, 'apiId', name) || (each as { type?: unknown }).type === name
    if (causes.some(isIt)) {
      const message = `consume: expected ${expected}, received ${name}; ${remedy}`
      return new OncemqError('ONCEMQ_CONSUMER_UNSAFE', message, { cause })
    }
  }
  if (!causes.some(({ name }) => name === NO_COORDINATOR)) return cause
  return new OncemqError(
    'ONCEMQ_BROKER_UNAVAILABLE',
    `consume: expected a coordinator of the group, received ${NO_COORDINATOR}; it is tried again. If it ` +
      'stays, grant READ on the group, and see that the cluster can keep offsets',
    { cause },
  )
}

function causesOf(error: unknown): readonly Error[] {
  const causes: Error[] = []
  for (let next = error; next instanceof Error && causes.length < CAUSES_MAX; next = next.cause)
    causes.push(next)
  return causes
}
