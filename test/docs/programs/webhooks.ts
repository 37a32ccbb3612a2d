// One webhook with a signature and an event id, below Express, Fastify and Hono.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import createExpress from 'express'
import createFastify from 'fastify'
import { Hono } from 'hono'

const secret = 'whsec_test'
let failures = 1

async function ship(order: string): Promise<void> {
  if (order === 'order-8' && failures-- > 0) throw new Error('the warehouse does not answer')
  console.log(`shipped ${order}`)
}

// #region webhook
const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'shipping', busyTimeoutMs: 5000 })

/** The same for all: the signature covers the raw bytes, and is checked before the id is believed. */
async function webhook(raw: Uint8Array, signature = ''): Promise<{ status: number; retryAfter?: string }> {
  const expected = createHmac('sha256', secret).update(raw).digest()
  const given = Buffer.from(signature, 'hex')
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return { status: 400 }
  const event = JSON.parse(Buffer.from(raw).toString()) as { id: string; order: string }
  if (typeof event.id !== 'string') return { status: 400 } // else all events without one had one key
  try {
    const outcome = await dedup.run(`shop:${event.id}`, () => ship(event.order), { body: raw })
    if (outcome.status !== 'busy') return { status: 200 }
    return { status: 503, retryAfter: `${Math.ceil(outcome.retryAfterMs / 1000)}` }
  } catch (error) {
    console.log(error instanceof Error ? error.message : error)
    return { status: 500 } // the sender calls again, and that is another attempt
  }
}
// #endregion

// #region express
const express = createExpress()
express.post('/webhook', createExpress.raw({ type: '*/*' }), async (request, response) => {
  const { status, retryAfter } = await webhook(request.body as Buffer, request.get('signature'))
  if (retryAfter !== undefined) response.set('retry-after', retryAfter)
  response.sendStatus(status)
})
// #endregion

// #region fastify
const fastify = createFastify()
fastify.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
fastify.removeContentTypeParser('application/json')
fastify.post('/webhook', async (request, reply) => {
  const { status, retryAfter } = await webhook(request.body as Buffer, String(request.headers['signature']))
  if (retryAfter !== undefined) reply.header('retry-after', retryAfter)
  return reply.code(status).send()
})
// #endregion

// #region hono
const hono = new Hono()
hono.post('/webhook', async (context) => {
  const raw = new Uint8Array(await context.req.arrayBuffer())
  const { status, retryAfter } = await webhook(raw, context.req.header('signature'))
  return new Response(null, {
    status,
    ...(retryAfter !== undefined && { headers: { 'retry-after': retryAfter } }),
  })
})
// #endregion

const server = createServer(express as unknown as RequestListener)
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address() as { port: number }
await fastify.ready()

async function call(framework: string, event: { id: string; order: string }, key = secret): Promise<void> {
  const body = JSON.stringify(event)
  const signature = createHmac('sha256', key).update(body).digest('hex')
  const headers = { 'content-type': 'application/json', signature }
  const request = { method: 'POST' as const, headers, body }
  const answers: Record<string, () => Promise<number>> = {
    express: async () => (await fetch(`http://127.0.0.1:${port}/webhook`, request)).status,
    fastify: async () =>
      (await fastify.inject({ method: 'POST', url: '/webhook', headers, body })).statusCode,
    hono: async () => (await hono.request('/webhook', request)).status,
  }
  console.log(framework, event.id, await answers[framework]?.())
}

for (const framework of ['express', 'fastify', 'hono']) {
  await call(framework, { id: `${framework}_1`, order: 'order-7' })
  await call(framework, { id: `${framework}_1`, order: 'order-7' })
  await call(framework, { id: `${framework}_2`, order: 'order-9' }, 'another secret')
}
await call('hono', { id: 'evt_8', order: 'order-8' })
await call('fastify', { id: 'evt_8', order: 'order-8' })
await call('express', { id: 'evt_8', order: 'order-8' })
server.close()
await fastify.close()
await dedup.close()
