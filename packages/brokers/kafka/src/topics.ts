import { OncemqError } from '@oncemq/core'
import type { NewTopic, TopicAdmin } from './clients/port.ts'

const SIZE_MAX = 'max.message.bytes'
/** Half of what a broker can take. */
const SIZE_BOUND = 2 ** 30 - 1

/**
 * Sees to it that there are topics to consume from and to park in, and makes those to park in.
 * @throws OncemqError `ONCEMQ_CONSUMER_UNSAFE` for a topic that is missing, or cannot be made.
 */
export async function prepareTopics(
  admin: TopicAdmin,
  topics: readonly string[],
  parkingTopic: (topic: string) => string,
): Promise<void> {
  await admin.connect()
  try {
    const known = await admin.topics()
    const missing = topics.find((topic) => !known.has(topic))
    if (missing !== undefined) {
      throw refusal(`a topic '${missing}'`, 'none, or no right to see it', 'create it, or correct topics')
    }
    const sources = topics.filter((topic) => !known.has(parkingTopic(topic)))
    if (sources.length > 0) await create(admin, await parkingTopicsOf(admin, sources, parkingTopic))
  } finally {
    await admin.close()
  }
}

/** Each takes larger records than its source: dead letters have more headers, and are compressed anew. */
async function parkingTopicsOf(
  admin: TopicAdmin,
  sources: readonly string[],
  parkingTopic: (topic: string) => string,
): Promise<readonly NewTopic[]> {
  const wanted = new Map<string, NewTopic>()
  for (const source of sources) {
    const topic = parkingTopic(source)
    const sizeMax = await sizeMaxOf(admin, source)
    wanted.set(topic, { topic, config: sizeMax === undefined ? {} : { [SIZE_MAX]: `${2 * sizeMax}` } })
  }
  return [...wanted.values()]
}

/** `undefined` for one who has no right to see it. */
async function sizeMaxOf(admin: TopicAdmin, name: string): Promise<number | undefined> {
  try {
    const value = await admin.config(name, SIZE_MAX)
    const sizeMax = Number(value)
    return Number.isSafeInteger(sizeMax) ? Math.min(sizeMax, SIZE_BOUND) : undefined
  } catch (error) {
    if (admin.isAnswer(error)) return undefined
    throw error
  }
}

async function create(admin: TopicAdmin, topics: readonly NewTopic[]): Promise<void> {
  try {
    await admin.create(topics)
  } catch (cause) {
    if (!admin.isAnswer(cause)) throw cause
    const names = topics.map(({ topic }) => topic).join(', ')
    throw refusal(
      `topics for dead letters (${names})`,
      'a refusal to create them',
      'create them, or grant the right to',
      cause,
    )
  }
}

function refusal(expected: string, what: string, remedy: string, cause?: unknown): OncemqError {
  const message = `consume: expected ${expected}, received ${what}; ${remedy}`
  return new OncemqError('ONCEMQ_CONSUMER_UNSAFE', message, { cause })
}
