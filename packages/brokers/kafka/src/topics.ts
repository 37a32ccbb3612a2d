import { OncemqError } from '@oncemq/core'
import type { KafkaClient } from './client.ts'

interface RawAdmin {
  connect(): Promise<void>
  disconnect(): Promise<void>
  listTopics(): Promise<string[]>
  createTopics(options: { topics: readonly NewTopic[]; waitForLeaders: boolean }): Promise<unknown>
  describeConfigs(options: {
    includeSynonyms: boolean
    resources: readonly { type: number; name: string; configNames: readonly string[] }[]
  }): Promise<{ readonly resources: readonly { readonly configEntries: readonly ConfigEntry[] }[] }>
}

interface NewTopic {
  readonly topic: string
  readonly configEntries: readonly { name: string; value: string }[]
}

interface ConfigEntry {
  readonly configName: string
  readonly configValue: string
}

const TOPIC = 2
const SIZE_MAX = 'max.message.bytes'
/** Half of what a broker can take. */
const SIZE_BOUND = 2 ** 30 - 1

/**
 * Sees to it that there are topics to consume from and to park in, and makes those to park in.
 * @throws OncemqError `ONCEMQ_CONSUMER_UNSAFE` for a topic that is missing, or cannot be made.
 */
export async function prepareTopics(
  client: KafkaClient,
  topics: readonly string[],
  parkingTopic: (topic: string) => string,
): Promise<void> {
  const admin = client.admin() as RawAdmin
  await admin.connect()
  try {
    const known = new Set(await admin.listTopics())
    const missing = topics.find((topic) => !known.has(topic))
    if (missing !== undefined) {
      throw refusal(`a topic '${missing}'`, 'none, or no right to see it', 'create it, or correct topics')
    }
    const sources = topics.filter((topic) => !known.has(parkingTopic(topic)))
    if (sources.length > 0) await create(admin, await parkingTopicsOf(admin, sources, parkingTopic))
  } finally {
    await admin.disconnect().catch(() => undefined)
  }
}

/** Each takes larger records than its source: dead letters have more headers, and are compressed anew. */
async function parkingTopicsOf(
  admin: RawAdmin,
  sources: readonly string[],
  parkingTopic: (topic: string) => string,
): Promise<readonly NewTopic[]> {
  const wanted = new Map<string, NewTopic>()
  for (const source of sources) {
    const topic = parkingTopic(source)
    const sizeMax = await sizeMaxOf(admin, source)
    const configEntries = sizeMax === undefined ? [] : [{ name: SIZE_MAX, value: `${2 * sizeMax}` }]
    wanted.set(topic, { topic, configEntries })
  }
  return [...wanted.values()]
}

/** `undefined` for one who has no right to see it. */
async function sizeMaxOf(admin: RawAdmin, name: string): Promise<number | undefined> {
  const resources = [{ type: TOPIC, name, configNames: [SIZE_MAX] }]
  try {
    const answer = await admin.describeConfigs({ includeSynonyms: false, resources })
    const entry = answer.resources[0]?.configEntries.find(({ configName }) => configName === SIZE_MAX)
    const sizeMax = Number(entry?.configValue)
    return Number.isSafeInteger(sizeMax) ? Math.min(sizeMax, SIZE_BOUND) : undefined
  } catch (error) {
    if (isAnswer(error)) return undefined
    throw error
  }
}

async function create(admin: RawAdmin, topics: readonly NewTopic[]): Promise<void> {
  try {
    // The client's own wait for their leaders fails on a broker that makes topics in the background.
    await admin.createTopics({ topics, waitForLeaders: false })
  } catch (cause) {
    if (!isAnswer(cause)) throw cause
    const names = topics.map(({ topic }) => topic).join(', ')
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
