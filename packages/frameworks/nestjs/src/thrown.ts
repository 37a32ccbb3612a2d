import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common'
import { Injectable } from '@nestjs/common'
import { isError } from '@oncemq/core/broker'
import type { Observable } from 'rxjs'
import { catchError } from 'rxjs'

const THROWN = Symbol.for('oncemq.nestjs.thrown')

interface Marked {
  [THROWN]?: { readonly error: unknown }
}

/**
 * Keeps what a handler of a microservice throws. Nest answers an unknown error with another one, which says
 * nothing, and hides a `PermanentError`.
 */
export class ThrownInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (context.getType() !== 'rpc') return next.handle()
    const marked = context.switchToRpc().getContext<Marked>()
    return next.handle().pipe(
      catchError((error: unknown) => {
        if (typeof marked === 'object' && marked !== null) marked[THROWN] = { error }
        throw error
      }),
    )
  }
}

Injectable()(ThrownInterceptor)

/** What the handler has thrown that was given this context, or the error that a filter made of it. */
export function thrownBy(context: object, answered: unknown): unknown {
  if (isError(answered)) return answered
  const thrown = (context as Marked)[THROWN]
  return thrown === undefined ? answered : thrown.error
}
