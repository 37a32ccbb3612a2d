import type { Dialect } from './dialect.ts'

/** A batch's entries in a statement. */
export interface Entries<Column extends string> {
  /** The derived table `entry`, a row an entry in the order of the batch. */
  readonly table: string
  /** Each column as an expression: of that table, or the value that all entries have in it. */
  readonly value: Readonly<Record<Column, string>>
}

/**
 * Writes a batch as a table. The first column tells the entries apart; of the others, what all entries have
 * in common is written once, where it is used: most of what a server does with a long statement is to read
 * its values. Of a batch of one that is all, and its table says nothing.
 */
export function entriesOf<Entry, Column extends string>(
  batch: readonly Entry[],
  columns: Readonly<Record<Column, (entry: Entry) => string>>,
  { rowsAs }: Dialect,
): Entries<Column> {
  const all = Object.entries<(entry: Entry) => string>(columns).map(([name, literalOf], position) => {
    const literals = batch.map(literalOf)
    const [first = 'NULL', second] = literals
    const isOwn = second !== undefined && (position === 0 || literals.some((literal) => literal !== first))
    return { name, literals, first, isOwn }
  })
  const own = all.filter(({ isOwn }) => isOwn)
  const rows = batch.map((_, entry) => own.map(({ literals }) => literals[entry]).join(','))
  const values = all.map(({ name, first, isOwn }) => [name, isOwn ? `entry.${name}` : first] as const)
  return {
    table: rowsAs(rows, 'entry', own.map(({ name }) => name).join(', ')),
    value: Object.fromEntries(values) as Readonly<Record<Column, string>>,
  }
}
