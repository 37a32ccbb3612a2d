import { attempts } from './properties/attempts.ts'
import { batches } from './properties/batches.ts'
import { claim } from './properties/claim.ts'
import { closing } from './properties/closing.ts'
import { conflict } from './properties/conflict.ts'
import { concurrency } from './properties/concurrency.ts'
import { guarantees } from './properties/guarantees.ts'
import { idempotence } from './properties/idempotence.ts'
import { handlers } from './properties/handlers.ts'
import { ids } from './properties/ids.ts'
import { labels } from './properties/labels.ts'
import { lease } from './properties/lease.ts'
import { locks } from './properties/locks.ts'
import { logs } from './properties/logs.ts'
import { model } from './properties/model.ts'
import { neighbours } from './properties/neighbours.ts'
import { operators } from './properties/operators.ts'
import { ownership } from './properties/ownership.ts'
import { payload } from './properties/payload.ts'
import { retention } from './properties/retention.ts'
import { sweeping } from './properties/sweeping.ts'
import { transactionBatches } from './properties/transaction-batches.ts'
import { transactions } from './properties/transactions.ts'
import type { StoreProperty } from './property.ts'

/** All that a store must keep, one file a property. */
export const storeProperties: readonly StoreProperty[] = Object.freeze([
  guarantees,
  claim,
  lease,
  ownership,
  attempts,
  retention,
  payload,
  conflict,
  labels,
  ids,
  batches,
  neighbours,
  idempotence,
  operators,
  closing,
  sweeping,
  concurrency,
  model,
  transactions,
  transactionBatches,
  handlers,
  locks,
  logs,
])
