/**
 * One process of several on a server, for the tests: `child.ts <url> <prefix>`. It claims the ids that it is
 * told, one batch after the other, and tells which it got.
 */
import type { ClaimRequest } from '@oncemq/core/store'
import { RedisStore } from '@oncemq/redis'
import { tell, told } from '@oncemq/test-stores/child'

const [, , url = '', prefix = ''] = process.argv
const store = new RedisStore({ url, prefix })

await store.open()
tell('ready')
for (;;) {
  const batch = await told<ClaimRequest[]>()
  const answers = await store.claim(batch)
  tell(batch.filter((_, position) => answers[position]?.status === 'granted').map(({ id }) => id))
}
