/** A promise, and what settles it. */
export interface Deferred<Value> {
  readonly promise: Promise<Value>
  readonly resolve: (value: Value | PromiseLike<Value>) => void
  readonly reject: (error: unknown) => void
}

/** `Promise.withResolvers` of Node.js 22, which the oldest one that these packages promise does not have. */
export function deferred<Value>(): Deferred<Value> {
  let settle: Omit<Deferred<Value>, 'promise'> | undefined
  const promise = new Promise<Value>((resolve, reject) => (settle = { resolve, reject }))
  return { promise, ...(settle as Omit<Deferred<Value>, 'promise'>) }
}
