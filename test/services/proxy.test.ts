import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { FaultProxy } from './proxy.ts'

/** A proxy in front of a server that answers with what it got. */
async function openProxy(): Promise<FaultProxy> {
  const server = createServer((socket) => socket.on('error', () => {}).pipe(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const proxy = await FaultProxy.open(`echo://127.0.0.1:${(server.address() as AddressInfo).port}/path`)
  onTestFinished(async () => {
    await proxy.close()
    server.close()
  })
  return proxy
}

async function openClient(proxy: FaultProxy): Promise<Socket> {
  const client = startClient(proxy)
  await once(client, 'connect')
  return client
}

function startClient(proxy: FaultProxy): Socket {
  const { hostname: host, port } = new URL(proxy.url)
  const client = connect({ host, port: Number(port) })
  client.on('error', () => {})
  onTestFinished(() => void client.destroy())
  return client
}

function closed(client: Socket): Promise<void> {
  return new Promise((resolve) => client.once('close', () => resolve()))
}

async function ask(client: Socket, text: string): Promise<string> {
  client.write(text)
  const [answer] = (await once(client, 'data')) as [Buffer]
  return answer.toString()
}

test('passes on what goes through', async () => {
  const proxy = await openProxy()
  expect(await ask(await openClient(proxy), 'hello')).toBe('hello')
  expect(proxy.connections).toBe(1)
  expect(new URL(proxy.url).pathname).toBe('/path')
})

test('cuts connections and takes new ones', async () => {
  const proxy = await openProxy()
  const client = await openClient(proxy)
  await ask(client, 'hello')
  proxy.cut()
  await closed(client)
  expect(await ask(await openClient(proxy), 'again')).toBe('again')
})

test('lets a host vanish: the server does not learn that its client is gone', async () => {
  const heard: string[] = []
  const server = createServer((socket) => {
    socket.on('data', (chunk) => heard.push(chunk.toString())).on('close', () => heard.push('closed'))
    socket.on('error', () => {}).pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const proxy = await FaultProxy.open(`echo://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const client = await openClient(proxy)
  await ask(client, 'hello')
  proxy.vanish()
  client.end('goodbye')
  client.destroy()
  expect(await ask(await openClient(proxy), 'again')).toBe('again')
  expect(heard).toEqual(['hello', 'again'])
  await proxy.close()
  await expect.poll(() => heard).toEqual(['hello', 'again', 'closed', 'closed'])
  server.close()
})

test('cuts in the middle of a reply', async () => {
  const proxy = await openProxy()
  const client = await openClient(proxy)
  let received = ''
  client.on('data', (chunk: Buffer) => (received += chunk.toString()))
  proxy.cutReplyAfter(7)
  client.write('hello')
  await once(client, 'data')
  client.write('world')
  await closed(client)
  expect(received).toBe('hellowo')
})

test('refuses until it resumes', async () => {
  const proxy = await openProxy()
  proxy.refuse()
  await closed(startClient(proxy))
  proxy.resume()
  expect(await ask(await openClient(proxy), 'again')).toBe('again')
})

test('holds replies and requests up', async () => {
  const proxy = await openProxy()
  const client = await openClient(proxy)
  proxy.delay(50)
  const start = performance.now()
  await ask(client, 'hello')
  expect(performance.now() - start).toBeGreaterThanOrEqual(99)
})

test('swallows replies, and cuts when it resumes', async () => {
  const proxy = await openProxy()
  const client = await openClient(proxy)
  const bystander = await openClient(proxy)
  await ask(bystander, 'hello')
  let answered = false
  client.on('data', () => (answered = true))
  proxy.swallowReplies()
  client.write('lost')
  await expect.poll(() => proxy.swallowed).toBe(4)
  proxy.resume()
  await closed(client)
  expect(answered).toBe(false)
  expect(await ask(bystander, 'still here')).toBe('still here')
})
