import { type AddressInfo, createServer } from 'node:net'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { urlFromEnvironment, variables } from './environment.ts'
import type { Recipe } from './recipe.ts'

const recipe: Recipe = {
  name: 'rabbitmq-4.0',
  isDefault: true,
  install: () => Promise.reject(new Error('unused')),
}

afterEach(() => {
  vi.unstubAllEnvs()
})

async function listeningPort(): Promise<number> {
  const server = createServer((socket) => socket.destroy())
  onTestFinished(() => void server.close())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

test('a kind has a variable for its default version', () => {
  expect(variables(recipe)).toEqual(['ONCEMQ_RABBITMQ_4_0_URL', 'ONCEMQ_RABBITMQ_URL'])
  expect(variables({ ...recipe, isDefault: false })).toEqual(['ONCEMQ_RABBITMQ_4_0_URL'])
})

test.each([
  (port: number) => `amqp://127.0.0.1:${port}`,
  (port: number) => `amqp://user:p%2Fss@127.0.0.1:${port}/vhost`,
  (port: number) => `mongodb://127.0.0.1:${port},127.0.0.1:1/?replicaSet=rs0`,
])('a URL is taken as it is if something answers there (%#)', async (urlOf) => {
  const url = urlOf(await listeningPort())
  vi.stubEnv('ONCEMQ_RABBITMQ_URL', url)
  expect(await urlFromEnvironment(recipe)).toBe(url)
})

test('the exact variable counts more', async () => {
  const url = `amqp://127.0.0.1:${await listeningPort()}`
  vi.stubEnv('ONCEMQ_RABBITMQ_URL', 'amqp://127.0.0.1:1')
  vi.stubEnv('ONCEMQ_RABBITMQ_4_0_URL', url)
  expect(await urlFromEnvironment(recipe)).toBe(url)
})

test('a password is not told when nothing answers', async () => {
  vi.stubEnv('ONCEMQ_RABBITMQ_URL', 'amqp://user:secret@127.0.0.1:1/')
  const message = 'ONCEMQ_RABBITMQ_URL: nothing answers at 127.0.0.1:1'
  await expect(urlFromEnvironment(recipe)).rejects.toThrow(new RegExp(`^${message}$`))
})

test('what is no URL is refused', async () => {
  vi.stubEnv('ONCEMQ_RABBITMQ_URL', 'localhost')
  await expect(urlFromEnvironment(recipe)).rejects.toThrow('ONCEMQ_RABBITMQ_URL is no URL')
})
