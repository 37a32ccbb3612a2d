/** Resolves `reached` when `down` has been called that many times. */
export function countdown(from: number): { down: () => void; reached: Promise<void> } {
  let left = from
  const { promise: reached, resolve } = Promise.withResolvers<void>()
  return {
    reached,
    down() {
      left -= 1
      if (left === 0) resolve()
    },
  }
}
