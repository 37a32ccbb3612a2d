import type { Client, Wired } from './wire.ts'

interface AckRequest {
  getEntriesList(): { getMessageId(): string }[]
}

interface AckResponse {
  getStatus(): { getCode(): number } | undefined
}

const OK = 20_000

/**
 * Which messages were sent and not acked yet, by what the server has answered: it hides what it has handed
 * out, so asking it for messages tells nothing of those.
 */
export class Ledger {
  readonly #sent = new Set<string>()
  readonly #acked = new Set<string>()

  get left(): number {
    return [...this.#sent].filter((id) => !this.#acked.has(id)).length
  }

  sent(messageId: string): void {
    this.#sent.add(messageId)
  }

  /** Notes what this consumer acks. */
  watch({ calls }: Wired<Client>): void {
    const ack = calls['ackMessage']
    calls['ackMessage'] = async (endpoints, request, timeoutMs) => {
      const response = (await ack?.call(calls, endpoints, request, timeoutMs)) as AckResponse
      if (response.getStatus()?.getCode() === OK) {
        for (const entry of (request as AckRequest).getEntriesList()) this.#acked.add(entry.getMessageId())
      }
      return response
    }
  }
}
