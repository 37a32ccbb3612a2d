// A client of Prisma as `prisma generate` makes it, by hand: that command downloads a program from elsewhere.
// All else is Prisma's own, from its packages.
import type { PrismaPg } from '@prisma/adapter-pg'
import type { GetPrismaClientConfig } from '@prisma/client/runtime/client'
import { getPrismaClient } from '@prisma/client/runtime/client'

const SCHEMA = `
  generator client {
    provider = "prisma-client"
  }
  datasource db {
    provider = "postgresql"
  }
  model Effect {
    name String @id
    ref  String @unique
    @@map("effects")
  }`

const WASM = '@prisma/client/runtime/query_compiler_fast_bg.postgresql'
/** What Prisma says of the parts of a query that it may cache; none here. */
const NO_GRAPH_BYTES = 64

const { WebAssembly } = globalThis as unknown as {
  readonly WebAssembly: { readonly Module: new (bytes: Buffer) => object }
}

const text = (name: string) => ({ name, kind: 'scalar', type: 'String' }) as never

const config: GetPrismaClientConfig = {
  previewFeatures: [],
  clientVersion: '7.10.0',
  engineVersion: '0edf323efd1d98336f3f0a68684b56f689b900d3',
  activeProvider: 'postgresql',
  inlineSchema: SCHEMA,
  runtimeDataModel: {
    models: { Effect: { fields: [text('name'), text('ref')], dbName: 'effects', schema: null } as never },
    enums: {},
    types: {},
  },
  parameterizationSchema: { strings: [], graph: Buffer.alloc(NO_GRAPH_BYTES).toString('base64') },
  compilerWasm: {
    getRuntime: async () => (await import(`${WASM}.mjs`)) as never,
    async getQueryCompilerWasmModule() {
      const { wasm } = (await import(`${WASM}.wasm-base64.mjs`)) as { readonly wasm: string }
      return new WebAssembly.Module(Buffer.from(wasm, 'base64')) as never
    },
    importName: './query_compiler_fast_bg.js',
  },
}

/** What is used of an interactive transaction. */
export interface PrismaTx {
  readonly effect: { create(given: { data: { name: string; ref: string } }): Promise<unknown> }
  $executeRawUnsafe(sql: string): Promise<number>
  $transaction<Answer>(work: (tx: PrismaTx) => Promise<Answer>): Promise<Answer>
}

export interface Prisma extends PrismaTx {
  $transaction<Answer>(
    work: (tx: PrismaTx) => Promise<Answer>,
    options?: { maxWait?: number; timeout?: number },
  ): Promise<Answer>
  $disconnect(): Promise<void>
}

export function prismaClient(adapter: PrismaPg): Prisma {
  return new (getPrismaClient(config))({ adapter }) as unknown as Prisma
}
