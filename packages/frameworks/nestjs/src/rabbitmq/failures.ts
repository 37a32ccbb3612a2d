import { HttpException } from '@nestjs/common'
import { RpcException } from '@nestjs/microservices'
import { isOncemqError, PermanentError } from '@oncemq/core'
import { isError } from '@oncemq/core/broker'
import { thrownBy } from '../thrown.ts'

const WRONG_MESSAGE = new Set([400, 422])

/** What Nest answers to errors that it does not know. */
const UNKNOWN = Object.freeze({ status: 'error', message: 'Internal server error' })

/**
 * Whether the message itself is wrong, so that no attempt can succeed: what Nest's pipes throw for what they
 * refuse, `BadRequestException` and `UnprocessableEntityException`.
 */
export function isWrongMessage(error: unknown): boolean {
  return error instanceof HttpException && WRONG_MESSAGE.has(error.getStatus())
}

/** What handlers threw, as Nest's exception filters answer it. */
export class Failures {
  readonly #isPermanent: (error: unknown) => boolean
  readonly #answers = new WeakMap<object, unknown>()

  constructor(isPermanent: (error: unknown) => boolean = isWrongMessage) {
    this.#isPermanent = isPermanent
  }

  /** The error of a handler, from what its exception filters made of it. */
  of(context: object, answered: unknown): Error {
    const thrown = thrownBy(context, answered)
    const error = this.#isPermanent(thrown) ? permanent(thrown) : errorOf(thrown)
    this.#answers.set(error, isError(answered) ? UNKNOWN : answered)
    return error
  }

  /** A message whose pattern has no handler. A sender names the pattern: it is no part of the text. */
  unhandled(): Error {
    const message = 'there is no handler for the pattern of this message'
    const error = new PermanentError(message)
    this.#answers.set(error, message)
    return error
  }

  /** What a client is answered when its message has been dead-lettered. */
  answerTo(error: unknown): unknown {
    return (isError(error) ? this.#answers.get(error) : undefined) ?? UNKNOWN
  }
}

function permanent(thrown: unknown): Error {
  if (isOncemqError(thrown) && thrown.code === 'ONCEMQ_PERMANENT') return thrown
  const { name, message } = errorOf(thrown)
  return Object.defineProperty(new PermanentError(message, { cause: thrown }), 'name', { value: name })
}

function errorOf(thrown: unknown): Error {
  if (isError(thrown)) return thrown
  return new RpcException(typeof thrown === 'string' ? thrown : (thrown as object))
}
