import { OncemqError } from '@oncemq/core'
import type { ProducerTransaction, TransactionFault, TransactionMessage } from '../clients/port.ts'

/**
 * What a handler sends with: it reaches readers when the offset of the handler's record is committed, or
 * never.
 */
export interface KafkaTransaction {
  /**
   * Sends records in the transaction. One that fails ends the transaction, also where the handler goes on.
   * @throws what the client throws; OncemqError `ONCEMQ_TRANSACTION_ENDED` after the end of the handler.
   * @example await tx.send({ topic: 'receipts', messages: [{ key: order.id, value: receipt }] })
   */
  send(record: OutgoingRecords): Promise<void>
}

/** Records for one topic. */
export interface OutgoingRecords {
  readonly topic: string
  readonly messages: readonly TransactionMessage[]
}

/** A transaction that is lent to one handler, until it settles. */
export class LentTransaction implements KafkaTransaction {
  readonly #transaction: ProducerTransaction
  readonly #faultOf: (error: unknown) => TransactionFault
  #isOver = false
  /** What is sent, one after the other. Never rejects. */
  #sending: Promise<void> = Promise.resolve()
  #failure: { readonly error: unknown; readonly fault: TransactionFault } | undefined

  constructor(transaction: ProducerTransaction, faultOf: (error: unknown) => TransactionFault) {
    this.#transaction = transaction
    this.#faultOf = faultOf
  }

  /** What a handler gets: nothing but `send`, bound, so that it may be taken apart. */
  get handle(): KafkaTransaction {
    return Object.freeze({ send: (record: OutgoingRecords) => this.send(record) })
  }

  /** The first send that failed. */
  get failure(): { readonly error: unknown; readonly fault: TransactionFault } | undefined {
    return this.#failure
  }

  async send({ topic, messages }: OutgoingRecords): Promise<void> {
    if (this.#isOver) throw ended()
    const sent = this.#sending.then(() => this.#send(topic, messages))
    this.#sending = sent.catch(() => undefined)
    return sent
  }

  /** Takes it back. Resolves when what was sent before is answered: nothing of it is on its way any more. */
  async end(): Promise<void> {
    this.#isOver = true
    await this.#sending
  }

  async #send(topic: string, messages: readonly TransactionMessage[]): Promise<void> {
    // After one that failed nothing can be committed.
    if (this.#failure !== undefined) throw this.#failure.error
    try {
      await this.#transaction.send(topic, messages)
    } catch (error) {
      this.#failure = { error, fault: this.#faultOf(error) }
      throw error
    }
  }
}

function ended(): OncemqError {
  return new OncemqError(
    'ONCEMQ_TRANSACTION_ENDED',
    'exactlyOnce: expected no use of tx after the end of its handler, received one, which sent nothing; ' +
      'await all that the handler sends, also when a part of it fails (Promise.allSettled)',
  )
}
