/** A business event: one customer owes this much, once. */
export interface Payment {
  readonly id: string
  readonly cents: number
}

export const payments: readonly Payment[] = [
  { id: 'payment-1', cents: 1990 },
  { id: 'payment-2', cents: 4950 },
  { id: 'payment-3', cents: 1200 },
  { id: 'payment-4', cents: 8900 },
  { id: 'payment-5', cents: 2500 },
]

export const owedCents = payments.reduce((sum, { cents }) => sum + cents, 0)

export function euros(cents: number): string {
  return `${(cents / 100).toFixed(2)} EUR`
}
