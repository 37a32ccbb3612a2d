import { StoreError } from '@oncemq/core/store'
import type { Commands } from './commands.ts'

const SCHEMA_VERSION = 1
// The note of the version stands among the records; theirs are 16 bytes, so that none has this id.
const NOTE_ID = 'oncemq_schema'

/** An index as `listIndexes` answers it. */
export interface Index {
  readonly name: string
  readonly key: Readonly<Record<string, unknown>>
  readonly expireAfterSeconds?: number
}

/**
 * The commands that create what the store needs. The index lets the server remove expired records by itself:
 * it looks each minute for those whose `expiresAt` is past.
 */
export function schemaCommands(collection: string): readonly object[] {
  return [
    {
      createIndexes: collection,
      indexes: [{ key: { expiresAt: 1 }, name: 'oncemq_expires_at', expireAfterSeconds: 0 }],
    },
    {
      update: collection,
      updates: [{ q: { _id: NOTE_ID }, u: { $setOnInsert: { version: SCHEMA_VERSION } }, upsert: true }],
      writeConcern: { w: 'majority', j: true },
    },
  ]
}

/**
 * Creates what is missing, and answers the indexes. Safe when several processes do it at once: to create an
 * index that is there does nothing, and of two notes one finds the other. Where all is there nothing is
 * written, so that a user without the right to create an index can open.
 * @throws StoreError `ONCEMQ_STORE_CORRUPT` when it is missing and not to be created, or of another version.
 */
export async function ensureSchema(commands: Commands, createSchema: boolean): Promise<readonly Index[]> {
  if (createSchema && (await versionOf(commands)) === undefined) await create(commands)
  const version = await versionOf(commands)
  if (version === SCHEMA_VERSION) return indexesOf(commands)
  throw new StoreError(
    'ONCEMQ_STORE_CORRUPT',
    `MongoStore: expected schema version ${SCHEMA_VERSION} in ${commands.where}, received ` +
      (version === undefined
        ? 'none; run what schema() answers, or leave createSchema out'
        : `${typeof version === 'number' ? version : typeof version}; ` +
          'use the version of @oncemq/mongodb that created it, or another collection'),
  )
}

async function create(commands: Commands): Promise<void> {
  for (const command of schemaCommands(commands.collection.collectionName)) {
    await commands.run(command)
  }
}

async function versionOf(commands: Commands): Promise<unknown> {
  const [note] = await commands.find<{ version: unknown }>({ _id: NOTE_ID }, { version: 1 })
  return note === undefined ? undefined : (note.version ?? null)
}

async function indexesOf(commands: Commands): Promise<readonly Index[]> {
  const { cursor } = await commands.run({ listIndexes: commands.collection.collectionName })
  return (cursor?.firstBatch ?? []) as readonly Index[]
}
