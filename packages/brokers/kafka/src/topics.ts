import { OncemqError } from '@oncemq/core'
import type { KafkaClient } from './client.ts'

interface RawAdmin {
  connect(): Promise<void>
  disconnect(): Promise<void>
  listTopics(): Promise<string[]>
  createTopics(options: { topics: readonly { topic: string }[]; waitForLeaders: boolean }): Promise<unknown>
}

/**
 * Sees to it that there are topics to consume from and to park in, and makes those to park in.
 * @throws OncemqError `ONCEMQ_CONSUMER_UNSAFE` for a topic that is missing, or cannot be made.
 */
export async function prepareTopics(
  client: KafkaClient,
  topics: readonly string[],
  parkingTopics: readonly string[],
): Promise<void> {
  const admin = client.admin() as RawAdmin
  await admin.connect()
  try {
    const known = new Set(await admin.listTopics())
    const missing = topics.find((topic) => !known.has(topic))
    if (missing !== undefined) {
      throw refusal(`a topic '${missing}'`, 'none, or no right to see it', 'create it, or correct topics')
    }
    const wanted = [...new Set(parkingTopics)].filter((topic) => !known.has(topic))
    if (wanted.length > 0) await create(admin, wanted)
  } finally {
    await admin.disconnect().catch(() => undefined)
  }
}

async function create(admin: RawAdmin, topics: readonly string[]): Promise<void> {
  try {
    // The client's own wait for their leaders fails on a broker that makes topics in the background.
    await admin.createTopics({ topics: topics.map((topic) => ({ topic })), waitForLeaders: false })
  } catch (cause) {
    if (!isAnswer(cause)) throw cause
    const names = topics.join(', ')
    throw refusal(
      `topics for dead letters (${names})`,
      'a refusal to create them',
      'create them, or grant the right to',
      cause,
    )
  }
}

/** Whether the broker has answered: it will answer the same again. */
function isAnswer(error: unknown): boolean {
  const { name, errors } = error as { name?: unknown; errors?: unknown }
  return name === 'KafkaJSProtocolError' || Array.isArray(errors)
}

function refusal(expected: string, what: string, remedy: string, cause?: unknown): OncemqError {
  const message = `consume: expected ${expected}, received ${what}; ${remedy}`
  return new OncemqError('ONCEMQ_CONSUMER_UNSAFE', message, { cause })
}
