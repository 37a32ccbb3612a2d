/**
 * What all copies of this package in a process share. npm installs several where their versions differ, and a
 * store may come to two of them. Its shape is a contract between versions, like that of a record.
 */
export function perProcess<Value>(name: string, make: () => Value): Value {
  const shared = globalThis as unknown as Record<symbol, Value | undefined>
  return (shared[Symbol.for(`oncemq.${name}`)] ??= make())
}
