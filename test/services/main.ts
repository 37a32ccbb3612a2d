// `npm run services -- up|down|status|install [name ...] [--json]`: the servers of the tests, for people.
import { parseArgs } from 'node:util'
import { findBackground, findOrStartBackground } from './client/background.ts'
import type { Connection } from './client/connection.ts'
import { Progress } from './client/progress.ts'
import { family, variables } from './run/environment.ts'
import type { Listed } from './run/protocol.ts'
import type { Recipe } from './run/recipe.ts'
import { servers } from './servers/catalogue.ts'

const USAGE = `npm run services -- COMMAND [NAME ...] [--json]

  up        start servers in the background, each on a free port of 127.0.0.1; without names, one of each kind
  down      stop them and remove their data; without names, all
  status    what runs, and where
  install   only get the programs, so that later starts are quick; without names, all

Tests start servers of their own. To let them use one of these, give its URL by the variable shown.
--json prints this alone on stdout:
{ "servers": [{ "name", "state", "source", "url", "pids", "variable", "reason" }] }
A kind's name, such as rabbitmq, means its newest version.
Names: ${servers.map(({ name }) => name).join(', ')}
`

const COMMANDS = { up, down, status, install }
const SHOWN_EVERY_MS = 250

interface Row extends Partial<Omit<Listed, 'name' | 'state' | 'own'>> {
  readonly name: string
  readonly state: Listed['state'] | 'installed' | 'stopped'
  readonly variable?: string | undefined
}

async function up(names: readonly string[]): Promise<Row[]> {
  const chosen =
    names.length > 0 ? names : servers.filter(({ isDefault }) => isDefault).map(({ name }) => name)
  const connection = await findOrStartBackground()
  const progress = new Progress()
  const timer = setInterval(() => void list(connection).then((rows) => progress.show(rows)), SHOWN_EVERY_MS)
  const settings = { args: [], env: {} }
  await Promise.allSettled(chosen.map((name) => connection.call('acquire', { name, own: false, settings })))
  clearInterval(timer)
  const rows = await list(connection)
  progress.show(rows)
  // What failed is not tried again by the same supervisor; nothing is lost by another one.
  if (rows.every(({ state }) => state === 'unavailable')) await connection.endSupervisor()
  return rows.filter(({ name }) => chosen.includes(name))
}

async function down(names: readonly string[]): Promise<Row[]> {
  const connection = await findBackground()
  if (connection === undefined) return []
  const running = await list(connection)
  const stopped = running.filter(({ name }) => names.length === 0 || names.includes(name))
  await Promise.all(stopped.map(({ name }) => connection.call('close', { name })))
  if (stopped.length === running.length) await connection.endSupervisor()
  return stopped.map(({ name }) => ({ name, state: 'stopped' }))
}

async function status(names: readonly string[]): Promise<Row[]> {
  const connection = await findBackground()
  const running = connection === undefined ? [] : await list(connection)
  return servers
    .filter(({ name }) => names.length === 0 || names.includes(name))
    .map(({ name }) => running.find((row) => row.name === name) ?? { name, state: 'stopped' })
}

async function install(names: readonly string[]): Promise<Row[]> {
  const chosen = servers.filter(({ name }) => names.length === 0 || names.includes(name))
  return Promise.all(
    chosen.map(async (recipe: Recipe): Promise<Row> => {
      const { name } = recipe
      return recipe.install().then(
        (): Row => ({ name, state: 'installed' }),
        (error: Error): Row => ({ name, state: 'unavailable', reason: error.message }),
      )
    }),
  )
}

async function list(connection: Connection): Promise<Row[]> {
  const listed = await connection.call('list', {})
  return listed.map(({ own: _own, url, ...rest }) => ({
    ...rest,
    ...(url === undefined ? {} : { url: withoutPassword(url), variable: variableOf(rest.name) }),
  }))
}

function variableOf(name: string): string | undefined {
  const recipe = servers.find((server) => server.name === name)
  return recipe === undefined ? undefined : variables(recipe)[0]
}

/**
 * Ours have none, but one that the environment names may. A list of addresses, as MongoDB's, is no URL to
 * Node.
 */
function withoutPassword(url: string): string {
  return url.replace(/(\/\/[^:@/]*):[^@/]*@/, '$1@')
}

function table(rows: readonly Row[]): string {
  const width = Math.max(...rows.map(({ name }) => name.length))
  const lines = rows.map(({ name, state, url, variable, reason }) => {
    const where = url === undefined ? (reason ?? '') : `${variable}=${url}`
    return `${name.padEnd(width)}  ${state.padEnd('unavailable'.length)}  ${where}`.trimEnd()
  })
  return `${lines.join('\n')}\n`
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const [command = '', ...given] = positionals
  const names = given.map((name) => serverOf(name)?.name ?? name)
  const unknown = given.filter((name) => serverOf(name) === undefined)
  if (values.help) return void process.stdout.write(USAGE)
  if (!isCommand(command))
    throw new Error(`expected up, down, status or install, received "${command}"; see --help`)
  if (unknown.length > 0) throw new Error(`no server is called ${unknown.join(', ')}; --help lists the names`)
  const rows = await COMMANDS[command](names)
  const nothing = rows.length === 0 ? 'nothing runs\n' : table(rows)
  process.stdout.write(values.json ? `${JSON.stringify({ servers: rows }, null, 2)}\n` : nothing)
  if (rows.some(({ state }) => state === 'unavailable')) process.exitCode = 1
}

/** By its name, or by that of its kind. */
function serverOf(name: string): Recipe | undefined {
  return (
    servers.find((server) => server.name === name) ??
    servers.find((server) => server.isDefault && family(server) === name)
  )
}

function isCommand(command: string): command is keyof typeof COMMANDS {
  return Object.hasOwn(COMMANDS, command)
}

try {
  await main()
} catch (error) {
  process.stderr.write(`services: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 2
}
