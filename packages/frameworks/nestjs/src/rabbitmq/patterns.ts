const ANY_WORD = '*'
const ANY_WORDS = '#'

/** Whether a pattern has the wildcards of a topic exchange. */
export function hasWildcards(pattern: string): boolean {
  return pattern.split('.').some((word) => word === ANY_WORD || word === ANY_WORDS)
}

/** Whether a routing key fits a binding key, as a topic exchange decides it. */
export function fits(bindingKey: string, routingKey: string): boolean {
  const words = routingKey.split('.')
  // Which numbers of leading words of the routing key the binding key, so far as it is read, stands for.
  let ends = new Set([0])
  for (const part of bindingKey.split('.')) {
    const next = new Set<number>()
    for (const end of ends) {
      if (part === ANY_WORDS) for (let each = end; each <= words.length; each += 1) next.add(each)
      else if (end < words.length && (part === ANY_WORD || part === words[end])) next.add(end + 1)
    }
    ends = next
  }
  return ends.has(words.length)
}
