export interface PipelineAssignment {
  readonly url: string
  readonly topic: string
  readonly target: string
  readonly historyFile: string
  readonly batchMax: number
  /** Whether offsets commit after what was sent, as without a transaction: to see that the test sees it. */
  readonly isApart: boolean
}

/** What is sent of each record, so that half of a record would be seen. */
export const SIDES = ['debit', 'credit'] as const
