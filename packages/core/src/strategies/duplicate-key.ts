import { causes } from '../store/causes.ts'

/**
 * Reads a duplicate-key error of a driver: the names under which its user may know the violated unique key;
 * `undefined` for any other error. Each store package exports one for its database.
 */
export type DuplicateKeyOf = (error: unknown) => readonly string[] | undefined

/**
 * The names of the unique key whose violation stands behind an error, whatever wraps it; none for other
 * errors. Prisma keeps the driver's error to itself and makes one of its own, so its shape is known here.
 */
export function violatedKeyIn(thrown: unknown, duplicateKeyOf: DuplicateKeyOf): readonly string[] {
  for (const error of causes(thrown)) {
    const names = duplicateKeyOf(error) ?? prismaDuplicateKey(error)
    if (names !== undefined) return names
  }
  return []
}

interface PrismaError {
  readonly code?: unknown
  readonly clientVersion?: unknown
  readonly meta?: {
    readonly target?: unknown
    readonly modelName?: unknown
    readonly driverAdapterError?: { readonly cause?: { readonly constraint?: unknown } }
  }
}

/**
 * Prisma's P2002. Its engine names the constraint, or its columns (`meta.target`); a driver adapter has
 * either deeper inside. Columns are named with their model, as in `Order.id` or `Order.shop, Order.number`.
 */
function prismaDuplicateKey(error: unknown): readonly string[] | undefined {
  if (!(error instanceof Error)) return undefined
  const { code, clientVersion, meta } = error as PrismaError
  if (code !== 'P2002' || typeof clientVersion !== 'string') return undefined
  const { index, fields } = (meta?.driverAdapterError?.cause?.constraint ?? {}) as {
    readonly index?: unknown
    readonly fields?: unknown
  }
  return [...namesOf(index, meta?.modelName), ...namesOf(meta?.target ?? fields, meta?.modelName)]
}

function namesOf(target: unknown, model: unknown): readonly string[] {
  if (typeof target === 'string') return [target]
  if (!Array.isArray(target) || typeof model !== 'string') return []
  return [target.map((column) => `${model}.${unquoted(column)}`).join(', ')]
}

function unquoted(column: unknown): string {
  return String(column).replace(/^["`]|["`]$/g, '')
}
