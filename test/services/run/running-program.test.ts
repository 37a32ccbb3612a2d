import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { listensOn } from './processes.ts'
import { RunningProgram } from './running-program.ts'
import type { Program } from './recipe.ts'

async function strangerPort(): Promise<number> {
  const stranger = createServer()
  onTestFinished(() => void stranger.close())
  await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve))
  return (stranger.address() as AddressInfo).port
}

async function program(port: number, script: string): Promise<RunningProgram> {
  const folder = await mkdtemp(join(tmpdir(), 'oncemq-program-'))
  const described: Program = {
    name: 'program',
    command: process.execPath,
    args: ['--eval', script],
    port,
    readyLine: /ready/,
    stopSignal: 'SIGTERM',
  }
  const running = new RunningProgram(described, folder)
  onTestFinished(async () => {
    await running.kill9()
    await rm(folder, { recursive: true })
  })
  return running
}

test('a stranger on the port is noticed', async () => {
  const port = await strangerPort()
  const running = await program(port, `console.log('ready'); setInterval(() => {}, 1000)`)
  await expect(running.start()).rejects.toThrow(`port ${port} is taken by another process`)
})

test('a port belongs to the process that listens, and to no other', async () => {
  const port = await strangerPort()
  expect(await listensOn(process.pid, port)).toBe(true)
  expect(await listensOn(process.ppid, port)).toBe(false)
})

test('a program that ends while it starts tells its last words', async () => {
  const running = await program(1, `console.error('no such option'); process.exit(1)`)
  await expect(running.start()).rejects.toThrow(/ended while it started: no such option/)
})

test('a program that was killed is started again, and must say anew that it is ready', async () => {
  const port = 19_999
  const script = `require('net').createServer().listen(${port}, '127.0.0.1', () => console.log('ready'))`
  const running = await program(port, script)
  await running.start()
  const first = running.pid
  await running.kill9()
  expect(running.pid).toBeUndefined()
  await running.start()
  expect(running.pid).not.toBe(first)
  await running.stop()
  expect(running.pid).toBeUndefined()
})
