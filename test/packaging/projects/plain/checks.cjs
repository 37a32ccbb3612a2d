// What both programs do with what they have loaded, each in its way.
exports.check = async ({ core, sqlite, doors, adapters }) => {
  const loaded = adapters.every((each) => Object.keys(each).length > 0)
  const dedup = core.createDeduplicator({ store: new core.MemoryStore(), consumerGroup: 'billing' })
  const outcomes = [await dedup.run('a', () => 1), await dedup.run('a', () => 2)]
  await dedup.close()
  let said = 'works'
  try {
    new sqlite.SqliteStore({ path: ':memory:' })
  } catch (error) {
    said = error.message
  }
  const statuses = outcomes.map(({ status }) => status)
  console.log(JSON.stringify({ loaded, doors: doors.map((each) => typeof each), statuses, sqlite: said }))
}
