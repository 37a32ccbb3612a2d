/** The names of all headers of ours begin so. Whoever else sends one is not believed. */
export const OWN_PREFIX = 'x-oncemq-'

/** A name beside a queue's that may be declared: those that the server makes up are reserved. */
export function declarable(queue: string): string {
  return queue.startsWith('amq.') ? `oncemq.${queue}` : queue
}

/** How the names of the queues begin in which messages of a queue wait. */
export function waitQueuePrefix(queue: string): string {
  return `${declarable(queue)}.retry.`
}
