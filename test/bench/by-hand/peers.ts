import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { POOL } from './hand-written.ts'

const VERSIONS = {
  '@aws-lambda-powertools/idempotency': '2.35.0',
  '@dbos-inc/dbos-sdk': '5.3.0',
  '@node-idempotency/core': '1.0.11',
  '@node-idempotency/storage-adapter-redis': '1.0.2',
  redis: '6.3.1',
}

/** Handles a message whose work is nothing, as a peer's documentation has it. */
type Handle = (key: string) => Promise<unknown>

/** Libraries that a user would pick instead, on the same server. */
export interface Peers {
  readonly handles: Readonly<Record<string, Handle>>
  close(): Promise<void>
}

/** Those of a server; none but for Redis and PostgreSQL. They are installed for this run alone. */
export async function peersOf(store: string, url: string | undefined): Promise<Peers> {
  if (url === undefined || (store !== 'redis' && store !== 'postgres')) {
    return { handles: {}, close: async () => {} }
  }
  const folder = await mkdtemp(join(tmpdir(), 'oncemq-peers-'))
  await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies: VERSIONS }))
  await promisify(execFile)('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts'], {
    cwd: folder,
  })
  const load = createRequire(join(folder, 'package.json'))
  const opened = store === 'redis' ? await onRedis(load, url) : await onPostgres(load, url)
  const close = async (): Promise<void> => {
    await opened.close()
    await rm(folder, { recursive: true })
  }
  return { handles: opened.handles, close }
}

/** What is used of them. */
interface Powertools {
  makeIdempotent(
    work: (event: object) => Promise<unknown>,
    options: object,
  ): (event: object) => Promise<unknown>
  IdempotencyConfig: new (options: object) => object
}
interface NodeIdempotency {
  Idempotency: new (
    adapter: object,
    options: object,
  ) => {
    onRequest(request: object): Promise<unknown>
    onResponse(request: object, response: object): Promise<void>
  }
}
interface Adapter {
  RedisStorageAdapter: new (options: object) => { connect(): Promise<void>; disconnect(): Promise<void> }
}
interface Redis {
  createClient(options: object): { connect(): Promise<{ destroy(): void }> }
}

async function onRedis(load: NodeJS.Require, url: string): Promise<Peers> {
  const powertools = load('@aws-lambda-powertools/idempotency') as Powertools
  const { CachePersistenceLayer } = load('@aws-lambda-powertools/idempotency/cache') as {
    CachePersistenceLayer: new (options: object) => object
  }
  const { Idempotency } = load('@node-idempotency/core') as NodeIdempotency
  const { RedisStorageAdapter } = load('@node-idempotency/storage-adapter-redis') as Adapter
  const client = await (load('redis') as Redis).createClient({ url }).connect()
  const adapter = new RedisStorageAdapter({ url })
  await adapter.connect()
  const lambdaContext = { getRemainingTimeInMillis: () => 30_000 }
  const handle = powertools.makeIdempotent(async () => 'done', {
    keyPrefix: 'bench',
    persistenceStore: new CachePersistenceLayer({ client }),
    config: new powertools.IdempotencyConfig({ eventKeyJmesPath: 'key', lambdaContext }),
  })
  const idempotency = new Idempotency(adapter, {})
  return {
    handles: {
      powertools: (key) => handle({ key }),
      async 'node-idempotency'(key) {
        const request = { headers: { 'Idempotency-Key': key }, path: '/', method: 'POST', body: { key } }
        if ((await idempotency.onRequest(request)) === undefined) {
          await idempotency.onResponse(request, { body: 'done' })
        }
      },
    },
    async close() {
      client.destroy()
      await adapter.disconnect()
    },
  }
}

interface Dbos {
  setConfig(config: object): void
  launch(): Promise<void>
  shutdown(): Promise<void>
  registerWorkflow<Args extends unknown[]>(
    work: (...args: Args) => Promise<unknown>,
    options: object,
  ): typeof work
  startWorkflow<Args extends unknown[]>(
    workflow: (...args: Args) => Promise<unknown>,
    options: { workflowID: string },
  ): (...args: Args) => Promise<{ getResult(): Promise<unknown> }>
}

async function onPostgres(load: NodeJS.Require, url: string): Promise<Peers> {
  const { DBOS } = load('@dbos-inc/dbos-sdk') as { DBOS: Dbos }
  DBOS.setConfig({
    name: 'bench',
    systemDatabaseUrl: url,
    systemDatabasePoolSize: POOL,
    logLevel: 'error',
    runAdminServer: false,
  })
  const workflow = DBOS.registerWorkflow(async () => 'done', { name: 'message' })
  await DBOS.launch()
  const dbos: Handle = async (key) => {
    const handle = await DBOS.startWorkflow(workflow, { workflowID: key })()
    return handle.getResult()
  }
  return { handles: { dbos }, close: () => DBOS.shutdown() }
}
