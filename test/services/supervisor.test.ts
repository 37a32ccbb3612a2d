import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { openConnection, SOCKET_VARIABLE, startSupervisor } from './client/connection.ts'
import { describeService } from './client/describe-service.ts'
import { service, Unavailable } from './index.ts'
import { isAlive, startTime, waitFor } from './run/processes.ts'
import type { NodeDescription } from './run/server.ts'

const GONE_MAX_MS = 10_000
// These tests look at processes, so the servers must not be containers, nor those of the whole run.
process.env['DOCKER_HOST'] = 'unix:///nonexistent'
delete process.env[SOCKET_VARIABLE]
// Each supervisor removes what dead ones have left in the folder for temporary files, and another test file
// may start one at any time.
const folder = mkdtempSync(join(tmpdir(), 'oncemq-supervisor-'))
process.env['TMPDIR'] = folder
afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))

const settings = { args: [], env: {} }
const children: ChildProcess[] = []

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

/** A process that owns a redis by a supervisor of its own. */
async function startHolder(): Promise<{
  holder: ChildProcess
  redis: number
  supervisor: number
  folder: string
}> {
  const script = fileURLToPath(new URL('fixtures/hold-server.ts', import.meta.url))
  const holder = spawn(process.execPath, [script, 'redis-8'], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(holder)
  const [line] = (await once(holder.stdout, 'data')) as [Buffer]
  const [node] = JSON.parse(line.toString()) as NodeDescription[]
  const folder = dirname(dirname(node?.log ?? ''))
  return { holder, redis: node?.pid ?? 0, supervisor: await ownerOf(folder), folder }
}

async function ownerOf(folder: string): Promise<number> {
  return Number((await readFile(join(folder, 'owner'), 'utf8')).split(' ')[0])
}

function isGone(pid: number): Promise<boolean> {
  return waitFor(async () => !(await isAlive(pid)), GONE_MAX_MS)
}

function isRemoved(folder: string): Promise<boolean> {
  return waitFor(() => Promise.resolve(!existsSync(folder)), GONE_MAX_MS)
}

test('a client that vanishes amid an answer takes nobody along', async () => {
  const socketPath = await startSupervisor()
  const staying = await openConnection(socketPath)
  for (let attempt = 0; attempt < 20; attempt++) {
    const vanishing = connect(socketPath)
    await once(vanishing, 'connect')
    // The answer is there, unread, when the other end closes: that end then hears of a reset.
    vanishing.write(`${JSON.stringify({ id: 1, method: 'list', params: {} })}\n`.repeat(100))
    await staying.call('list', {})
    vanishing.destroy()
  }
  expect(await staying.call('list', {})).toEqual([])
  await staying.endSupervisor()
})

describeService('redis-8', () => {
  describe('the end of a parent', () => {
    test('ends its servers and removes their data, even if it was killed', async () => {
      const { holder, redis, supervisor, folder } = await startHolder()
      expect(await isAlive(redis)).toBe(true)
      holder.kill('SIGKILL')
      expect(await isGone(redis)).toBe(true)
      expect(await isRemoved(folder)).toBe(true)
      expect(await isGone(supervisor)).toBe(true)
    })

    test('ends its servers even if the supervisor was killed, whose data the next one removes', async () => {
      const { redis, supervisor, folder } = await startHolder()
      process.kill(supervisor, 'SIGKILL')
      expect(await isGone(redis)).toBe(true)
      expect(existsSync(folder)).toBe(true)
      const connection = await openConnection(await startSupervisor())
      expect(existsSync(folder)).toBe(false)
      await connection.endSupervisor()
    })

    test('ends the servers of one of several clients', async () => {
      const socketPath = await startSupervisor()
      const [staying, leaving] = [await openConnection(socketPath), await openConnection(socketPath)]
      onTestFinished(() => staying.endSupervisor())
      const own = await leaving.call('acquire', { name: 'redis-8', own: true, settings })
      leaving.close()
      expect(await isGone(own.nodes[0]?.pid ?? 0)).toBe(true)
      expect(await staying.call('list', {})).toEqual([])
    })
  })

  describe('a shared server', () => {
    test('is the same for all that ask for the same', async () => {
      const [one, other, different] = await Promise.all([
        service('redis-8'),
        service('redis-8'),
        service('redis-8', { args: ['--maxmemory', '10mb'] }),
      ])
      expect(other.url).toBe(one.url)
      expect(different.url).not.toBe(one.url)
    })

    test('is not stopped by one of them', async () => {
      const server = await service('redis-8')
      await expect(server.kill9()).rejects.toThrow(/cannot kill9 a shared server.*own: true/)
      await server.close()
      expect(await startTime(server.pid ?? 0)).toBeDefined()
    })
  })

  test('an own server is not the shared one', async () => {
    await using own = await service('redis-8', { own: true })
    expect(own.url).not.toBe((await service('redis-8')).url)
  })
})

test('a process finds servers though the owner of those of the run was killed', async () => {
  const { promise: ended, resolve } = Promise.withResolvers<string>()
  const socketPath = await startSupervisor({ onEnd: resolve })
  process.kill(await ownerOf(dirname(socketPath)), 'SIGKILL')
  expect(await ended).toBe('SIGKILL')
  const script = fileURLToPath(new URL('fixtures/hold-server.ts', import.meta.url))
  const env = { ...process.env, [SOCKET_VARIABLE]: socketPath }
  const holder = spawn(process.execPath, [script, 'redis-8'], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(holder)
  const [said] = (await once(holder.stderr, 'data')) as [Buffer]
  expect(said.toString()).toContain('is gone (ECONNREFUSED): starting another')
  const [line] = (await once(holder.stdout, 'data')) as [Buffer]
  expect(JSON.parse(line.toString())).toHaveLength(1)
})

test('an unknown server is unavailable', async () => {
  await expect(service('oracle' as 'redis-8')).rejects.toThrow(Unavailable)
})
