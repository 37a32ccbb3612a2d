import { errorNameOf, isError, readable } from '../errors.ts'

const TEXT_MAX = 300
const PLACE_MAX = 120

/**
 * An error of a client for a log: its name, its code and the beginning of its message. What stands in an
 * address before the host, or is named like a password, is left out.
 */
export function publicText(thrown: unknown): string {
  const error = readable(thrown)
  if (!isError(error)) return typeof error
  const text = withoutSecrets(error.message)
  return text === '' ? kindOf(error) : `${kindOf(error)}: ${text}`
}

/** An error of a handler for a log: its name, code and place. Its message may quote a payload. */
export function placeOf(thrown: unknown): string {
  const error = readable(thrown)
  if (!isError(error)) return typeof error
  const place = madeAt(error)
  return place === undefined ? kindOf(error) : `${kindOf(error)} at ${place}`
}

/**
 * The beginning of a text of others, without the user names, passwords and tokens that are written as such.
 * It may quote a payload of any size: the time that this takes grows with its length, and no faster.
 */
export function withoutSecrets(text: string): string {
  return text
    .replace(/:\/\/[^\s/?#]*@/g, '://***@')
    .replace(/\b((?:password|passwd|pwd|secret|token|api[-_]?key)["']?\s*[=:]\s*)[^\s&;,]+/gi, '$1***')
    .slice(0, TEXT_MAX)
}

/** Codes are short words, such as ECONNREFUSED or 23505. */
function kindOf(error: Error): string {
  const name = errorNameOf(error)
  const { code } = error as { readonly code?: unknown }
  const isShown = (typeof code === 'string' && /^\w{1,40}$/.test(code)) || typeof code === 'number'
  return isShown ? `${name} ${code}` : name
}

/** File, line and column of the first line of its stack that is not of Node.js or of a package. */
function madeAt(error: Error): string | undefined {
  const { stack } = error
  const head = `${error.name}: ${error.message}`
  // A message of several lines may look like a stack.
  if (typeof stack !== 'string' || (error.message !== '' && !stack.startsWith(head))) return undefined
  const places = stack
    .slice(error.message === '' ? 0 : head.length)
    .split('\n')
    .flatMap(placeIn)
  return places.find((place) => !/node_modules|^node:/.test(place))?.slice(-PLACE_MAX)
}

function placeIn(line: string): string[] {
  const [, place] = /^ {4}at (?:.*\()?((?:file:\/\/|node:)?[^()]+:\d+:\d+)\)?$/.exec(line) ?? []
  return place === undefined ? [] : [place.replace('file://', '')]
}
