/** The names of all headers of ours begin so. Whoever else sends one is not believed. */
export const OWN_PREFIX = 'x-oncemq-'

/** Whether the server has made a queue's name up: hardly anybody declares such a one again. */
export function isServerNamed(queue: string): boolean {
  return queue.startsWith('amq.')
}

/** A name beside a queue's that may be declared: those that the server makes up are reserved. */
export function declarable(queue: string): string {
  return isServerNamed(queue) ? `oncemq.${queue}` : queue
}

/** How the names of the queues begin in which messages of a queue wait. */
export function waitQueuePrefix(queue: string): string {
  return `${declarable(queue)}.retry.`
}
