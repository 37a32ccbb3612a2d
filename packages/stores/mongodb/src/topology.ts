import type { Commands } from './commands.ts'
import { SERVER } from './errors.ts'

/** What the store asks of the server about itself and the collection. */
export interface Topology {
  /** No member of a replica set, nor a router of a sharded cluster. */
  readonly isStandalone: boolean
  /** `undefined` where the user may not ask. */
  readonly isCapped: boolean | undefined
}

interface Hello {
  readonly setName?: string
  readonly msg?: string
}

interface CollectionInfo {
  readonly options?: { readonly capped?: boolean }
}

export async function readTopology(commands: Commands): Promise<Topology> {
  const { setName, msg } = (await commands.run({ hello: 1 })) as Hello
  const isStandalone = setName === undefined && msg !== 'isdbgrid'
  return { isStandalone, isCapped: await readCapped(commands) }
}

async function readCapped(commands: Commands): Promise<boolean | undefined> {
  try {
    const filter = { name: commands.collection.collectionName }
    const { cursor } = await commands.run({ listCollections: 1, filter })
    const [info] = (cursor?.firstBatch ?? []) as readonly CollectionInfo[]
    return info?.options?.capped ?? false
  } catch (error) {
    if ((error as { code?: unknown }).code === SERVER.Unauthorized) return undefined
    throw error
  }
}
