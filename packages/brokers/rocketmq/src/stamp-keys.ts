import { OptionError } from '@oncemq/core'
import { received } from '@oncemq/core/broker'

/**
 * For producers: the message with these keys, so that a consumer knows a message that is sent again. Take the
 * id of the business event, made once, and keep it when you send again: RocketMQ's own id is new for each
 * `send()`.
 *
 * @throws OptionError for no key, and for one that is empty or has white space: RocketMQ joins keys by
 * spaces, so `'a b'` arrives as two.
 * @example
 * await producer.send(stampKeys({ topic: 'payments', body }, payment.id))
 */
export function stampKeys<Message extends object>(
  message: Message,
  ...keys: readonly string[]
): Message & { keys: string[] } {
  if (keys.length === 0) throw refusal('at least one key', 'none')
  for (const key of keys as readonly unknown[]) {
    if (typeof key !== 'string') throw refusal('a string', received(key))
    if (key === '') throw refusal('a string that is not empty', 'an empty one')
    if (/\s/.test(key)) throw refusal('a key without white space', 'one with')
  }
  return { ...message, keys: [...keys] }
}

function refusal(expected: string, what: string): OptionError {
  return new OptionError(
    `stampKeys: expected ${expected}, received ${what}; give the business event's id, such as an order id`,
  )
}
