export interface Transfer {
  readonly id: string
  readonly from: string
  readonly to: string
  readonly cents: number
}

/** One side of a transfer. */
export interface Posting {
  readonly account: string
  readonly cents: number
}

export const OPENING: readonly Posting[] = [
  { account: 'alice', cents: 1_000_000 },
  { account: 'bob', cents: 1_000_000 },
]

/** The same transfers in each run, but for their ids: two of three go from alice to bob. */
export function makeTransfers(run: string, count: number): Transfer[] {
  return Array.from({ length: count }, (_, index) => {
    const [from, to] = index % 3 === 0 ? (['bob', 'alice'] as const) : (['alice', 'bob'] as const)
    return { id: `${run}-${index}`, from, to, cents: 1 + ((index * 7919) % 9973) }
  })
}

/** In the order of the accounts' names: two transfers that touch accounts in two orders would deadlock. */
export function postingsOf({ from, to, cents }: Transfer): readonly [Posting, Posting] {
  const debit = { account: from, cents: -cents }
  const credit = { account: to, cents }
  return from < to ? [debit, credit] : [credit, debit]
}

/** What the accounts must hold in the end. */
export function expectedBalances(transfers: readonly Transfer[]): Readonly<Record<string, number>> {
  const balances: Record<string, number> = {}
  for (const { account, cents } of [...OPENING, ...transfers.flatMap(postingsOf)]) {
    balances[account] = (balances[account] ?? 0) + cents
  }
  return balances
}
