// The packages in the projects that people have, with the tools that these have.
import { join } from 'node:path'
import { describeService } from '@oncemq/test-services/vitest'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestContext } from 'vitest'
import { packAll } from './tarballs.ts'
import type { Tarball } from './tarballs.ts'
import { OFFLINE, ToolSet } from './tool-set.ts'
import type { Project } from './tool-set.ts'

const INSTALL_TIMEOUT_MS = 300_000

const jest29 = new ToolSet('jest-29', {
  '@types/jest': '29.5.14',
  jest: '29.7.0',
  'ts-jest': '29.4.15',
  typescript: '5.9.3',
})
const nest11 = new ToolSet('nest-11', {
  '@golevelup/nestjs-rabbitmq': '9.0.2',
  '@nestjs/common': '11.1.21',
  '@nestjs/core': '11.1.21',
  '@nestjs/microservices': '11.1.21',
  '@nestjs/platform-express': '11.1.21',
  '@nestjs/terminus': '11.1.1',
  '@nestjs/testing': '11.1.21',
  '@types/jest': '30.0.0',
  '@types/node': '24.19.2',
  'amqp-connection-manager': '5.0.0',
  amqplib: '2.3.1',
  'class-transformer': '0.5.1',
  'class-validator': '0.15.1',
  jest: '30.5.2',
  'reflect-metadata': '0.2.2',
  rxjs: '7.8.2',
  'ts-jest': '29.4.15',
  typescript: '5.9.3',
})
const node20 = new ToolSet('node-20.12', { node: '20.12.2' })

const projects: Project[] = []
let tarballs: Tarball[] = []

beforeAll(async () => {
  tarballs = await packAll()
}, INSTALL_TIMEOUT_MS)

afterAll(() => {
  for (const project of projects) project.remove()
})

async function projectOf(tools: ToolSet, name: string, context: TestContext): Promise<Project> {
  context.skip(!(await tools.install()), OFFLINE)
  const project = tools.project(name)
  projects.push(project)
  for (const tarball of tarballs) await project.unpack(tarball.file, tarball.manifest.name)
  return project
}

/** The drivers, as this workspace has them. */
function linkDrivers(project: Project): void {
  project.link('packages/stores/postgres', 'pg', '@types/pg')
  project.link('packages/stores/mysql', 'mysql2')
  project.link('packages/stores/mongodb', 'mongodb')
  project.link('packages/stores/redis', 'ioredis', 'redis')
}

/** Puts another version of core beside the project's, and one below the store and the adapter. */
async function addCopiesOfCore(project: Project): Promise<void> {
  const core = tarballs.find(({ manifest }) => manifest.name === '@oncemq/core')?.file ?? ''
  await project.unpack(core, 'other-core', '7.0.0')
  for (const owner of ['rabbitmq', 'sqlite'])
    await project.unpack(core, `@oncemq/${owner}/node_modules/@oncemq/core`, '9.0.0')
}

async function output(run: Promise<{ code: number; output: string }>): Promise<string> {
  const { code, output: text } = await run
  expect(code, text).toBe(0)
  return text
}

describe('jest with ts-jest, in a CommonJS project', { timeout: INSTALL_TIMEOUT_MS }, () => {
  test.for([
    ['29', jest29],
    ['30', nest11],
  ] as const)('jest %s', async ([, tools], context) => {
    const project = await projectOf(tools, 'jest', context)
    linkDrivers(project)
    expect(await output(project.node(tools.file('jest/bin/jest.js')))).toContain('9 passed')
  })
})

describe('a plain NestJS 11 project', { timeout: INSTALL_TIMEOUT_MS }, () => {
  test('is built, and runs', async (context) => {
    const project = await projectOf(nest11, 'nest', context)
    await output(project.node(nest11.file('typescript/bin/tsc')))
    expect(await output(project.node('--no-warnings', 'dist/main.js'))).toBe('completed duplicate 1\n')
  })

  test('is tested, with the settings that nest writes', async (context) => {
    const project = await projectOf(nest11, 'nest', context)
    expect(await output(project.node(nest11.file('jest/bin/jest.js')))).toContain('1 passed')
  })
})

describeService('rabbitmq-4.0', ({ url }) => {
  test(
    'a NestJS 11 service with all that the package has',
    { timeout: INSTALL_TIMEOUT_MS },
    async (context) => {
      const project = await projectOf(nest11, 'nest-service', context)
      await output(project.node(nest11.file('typescript/bin/tsc')))
      const queue = `nest-service-${process.pid}-${Date.now()}`
      const env = [`AMQP_URL=${url}`, `QUEUE=${queue}`, `ONCEMQ_PATH=${join(project.folder, 'oncemq.db')}`]
      const jest = project.run('env', ...env, process.execPath, nest11.file('jest/bin/jest.js'))
      expect(await output(jest)).toContain('10 passed')
    },
  )
})

describe('TypeScript 5', { timeout: INSTALL_TIMEOUT_MS }, () => {
  test.for(['commonjs', 'module'])('in a project of type %s', async (type, context) => {
    const project = await projectOf(jest29, 'types', context)
    project.write('package.json', { type })
    linkDrivers(project)
    await addCopiesOfCore(project)
    expect(await output(project.node('check.cjs', type, 'with-drivers.ts', 'copies.ts'))).toBe('')
    project.unlink('pg', '@types/pg', 'mysql2', 'mongodb')
    expect(await output(project.node('check.cjs', type, 'without-drivers.ts'))).toBe('')
  })
})

describe('plain JavaScript', { timeout: INSTALL_TIMEOUT_MS }, () => {
  const works = { loaded: true, doors: Array(3).fill('function'), statuses: ['completed', 'duplicate'] }

  test.for(['required.cjs', 'imported.mjs'])('%s runs on Node.js 20.12', async (file, context) => {
    const project = await projectOf(node20, 'plain', context)
    const text = await output(project.run(node20.file('node/bin/node'), file))
    const { sqlite, ...seen } = JSON.parse(text) as { sqlite: string }
    expect(seen).toEqual(works)
    expect(sqlite).toContain('Node.js 22.16 or newer for its node:sqlite, received v20.12.2')
  })

  test('a process that loads both forms has one state', async (context) => {
    const project = await projectOf(node20, 'plain', context)
    project.link('packages/brokers/rabbitmq', '@onify/fake-amqplib')
    expect(JSON.parse(await output(project.node('both-forms.mjs')))).toEqual({
      key: 'm1',
      once: 1,
      status: 'duplicate',
      classes: [true, true],
      brands: [true, true],
    })
  })

  test('two versions of core work together', async (context) => {
    const project = await projectOf(node20, 'plain', context)
    await addCopiesOfCore(project)
    const version = tarballs.find(({ manifest }) => manifest.name === '@oncemq/core')?.manifest.version
    expect(JSON.parse(await output(project.node('--no-warnings', 'copies.mjs')))).toEqual({
      versions: [version, '9.0.0'],
      statuses: ['completed', 'duplicate', 'duplicate', 'duplicate'],
      errors: [true, 'ONCEMQ_PERMANENT', false],
      closed: 'ONCEMQ_CLOSED',
    })
  })
})
