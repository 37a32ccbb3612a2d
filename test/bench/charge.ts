import type { Pool, PoolClient } from 'pg'

/** Writes the effect of a message: one row, by the pool itself or in a transaction. */
export type Charge = (client: Pool | PoolClient, id: string) => Promise<unknown>

const CENTS = 1999

/** Into a table that takes it any number of times. */
export const charge: Charge = (client, id) =>
  client.query({ name: 'charge', text: 'INSERT INTO charges VALUES ($1, $2)', values: [id, CENTS] })

/** Into a table whose key it is. */
export const enterPayment: Charge = (client, id) =>
  client.query({ name: 'payment', text: 'INSERT INTO payments VALUES ($1, $2)', values: [id, CENTS] })
