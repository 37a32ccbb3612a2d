/**
 * Runs `work` with a signal that aborts when `signal` does, and when `lost` does: what was received is
 * another's. Many messages share `lost`, and a signal remembers each that was ever joined with it, so that it
 * is listened to for as long as `work` takes.
 */
export async function untilLost<Value>(
  lost: AbortSignal,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const losing = new AbortController()
  const lose = (): void => losing.abort()
  if (lost.aborted) lose()
  lost.addEventListener('abort', lose, { once: true })
  try {
    return await work(AbortSignal.any([signal, losing.signal]))
  } finally {
    lost.removeEventListener('abort', lose)
  }
}
