import { expect, test } from 'vitest'
import { run } from './command.ts'

test('a program that ends before it has read its input tells why, and takes nobody along', async () => {
  const input = 'x'.repeat(8 * 1024 * 1024)
  const failure = run('sh', ['-c', 'echo "error: no room" >&2; exit 1'], { input })
  await expect(failure).rejects.toThrow('failed: error: no room')
})
