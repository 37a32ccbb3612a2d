/** Whole numbers from 0 to below `bound`, the same for the same seed. Numerical Recipes' generator. */
export function randomOf(seed: number): (bound: number) => number {
  let state = seed >>> 0
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * bound)
  }
}

export function shuffled<Item>(items: readonly Item[], random: (bound: number) => number): Item[] {
  return items
    .map((item) => ({ item, rank: random(2 ** 31) }))
    .toSorted((one, other) => one.rank - other.rank)
    .map(({ item }) => item)
}
